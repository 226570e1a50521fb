"""Every row of the fault table, as a whole call; and the page that tells of it."""

from __future__ import annotations

import asyncio
import re
import tomllib
from collections.abc import Mapping
from typing import Any

import pytest

from tests.faults.docs import PAGE, lines, outcomes
from tests.faults.lines import APOLOGY, GOODBYE, LINES, MOMENT
from tests.faults.table import ON, PRODUCTION, Row, alone, rows

TABLE = rows()
PLAYED = (*TABLE, *alone())


@pytest.fixture(scope="module")
def played() -> dict[str, Mapping[str, Any]]:
    return asyncio.run(outcomes())


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("row", PLAYED, ids=[row.name for row in PLAYED])
def test_the_caller_hears_what_the_row_says_and_is_not_left_in_silence(
    row: Row, played: Mapping[str, Mapping[str, Any]]
) -> None:
    told = played[row.name]
    heard = [line for line in told["heard"] if not (row.may_wait and line == MOMENT)]
    assert heard == list(row.hears)
    assert told["ended"] == row.ended
    assert told["second"] == row.second
    assert told["silence"] <= row.within


def test_the_table_has_every_provider_at_every_moment_and_no_row_twice() -> None:
    met = {(row.provider, row.moment) for row in TABLE}
    providers = ("Deepgram", "Flux", "ElevenLabs")
    moments = ("connect", "first token", "mid-sentence", "between turns")
    assert met >= {(who, when) for who in providers for when in moments}
    # A model is asked anew for every answer: between turns nothing of it is open.
    assert met >= {("gateway", when) for when in moments[:3]}
    assert len({row.name for row in TABLE}) == len(TABLE) >= 40


def test_every_row_promises_whole_sentences_and_each_once() -> None:
    assert all(set(row.hears) <= set(LINES) for row in TABLE)
    assert all(len(row.hears) == len(set(row.hears)) for row in PLAYED)


def test_every_row_promises_that_the_call_goes_on_or_ends_with_a_spoken_line() -> None:
    assert all(row.ended == ON or row.hears[-1] == GOODBYE for row in PLAYED)


def test_one_voice_breaks_off_where_it_is_refused_in_mid_sentence_and_then_apologises() -> None:
    half = [row for row in alone() if set(row.hears) - set(LINES)]
    assert [(row.moment, row.fault) for row in half] == [
        ("mid-sentence", "an error event, with one voice")
    ]
    assert half[0].hears[-2:] == (APOLOGY, GOODBYE)


def test_what_answers_is_the_production_configuration_which_has_a_second_voice() -> None:
    use = tomllib.loads(PRODUCTION.read_text(encoding="utf-8"))["use"]
    assert use["tts"] == ["elevenlabs", "hibari"]
    # Only Deepgram's rows, for which Flux must not hear, choose one name instead of the list.
    swapped = {key for row in TABLE for key in row.variables}
    assert swapped == {"TIPRING_TURN", "TIPRING_LADDER__HEDGE_AFTER"}
    assert {row.provider for row in TABLE if "TIPRING_TURN" in row.variables} == {"Deepgram"}


def test_the_page_has_the_rows_of_the_table() -> None:
    page = PAGE.read_text(encoding="utf-8").splitlines()
    shown = [re.sub(r"\| [\d.]+ (?=\| [\d.]+ \|$)", "|  ", line) for line in page]
    told = [line for line in shown if re.match(r"\| (Deepgram|Flux|gateway|ElevenLabs) \|", line)]
    assert told == [*lines(TABLE), *lines(alone())], "run: python -m tests.faults.docs"
