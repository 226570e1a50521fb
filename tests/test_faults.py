"""Every row of the fault table, as a whole call; and the page that tells of it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any

import pytest

from tests.faults.docs import PAGE, lines, outcomes
from tests.faults.lines import LINES, MOMENT
from tests.faults.table import Row, rows

TABLE = rows()


@pytest.fixture(scope="module")
def played() -> dict[str, Mapping[str, Any]]:
    return asyncio.run(outcomes())


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("row", TABLE, ids=[row.name for row in TABLE])
def test_the_caller_hears_what_the_row_says_and_is_not_left_in_silence(
    row: Row, played: Mapping[str, Mapping[str, Any]]
) -> None:
    told = played[row.name]
    heard = [line for line in told["heard"] if not (row.may_wait and line == MOMENT)]
    assert heard == list(row.hears)
    assert told["ended"] == row.ended
    assert told["silence"] <= row.within


def test_the_table_has_every_provider_at_every_moment_and_no_row_twice() -> None:
    met = {(row.provider, row.moment) for row in TABLE}
    providers = ("Deepgram", "Flux", "ElevenLabs")
    moments = ("connect", "first token", "mid-sentence", "between turns")
    assert met >= {(who, when) for who in providers for when in moments}
    # A model is asked anew for every answer: between turns nothing of it is open.
    assert met >= {("gateway", when) for when in moments[:3]}
    assert len({row.name for row in TABLE}) == len(TABLE) >= 40


def test_a_row_promises_whole_sentences_and_each_once() -> None:
    half = [row for row in TABLE if set(row.hears) - set(LINES)]
    # With one voice, which refuses for good in the middle of a sentence, half of it was heard.
    assert [(row.provider, row.moment, row.fault) for row in half] == [
        ("ElevenLabs", "mid-sentence", "an error event")
    ]
    assert all(len(row.hears) == len(set(row.hears)) for row in TABLE)


def test_the_page_has_the_rows_of_the_table() -> None:
    page = PAGE.read_text(encoding="utf-8").splitlines()
    shown = [re.sub(r"\| [\d.]+ (?=\| [\d.]+ \|$)", "|  ", line) for line in page]
    told = [line for line in shown if re.match(r"\| (Deepgram|Flux|gateway|ElevenLabs) \|", line)]
    assert told == list(lines()), "run: python -m tests.faults.docs"
