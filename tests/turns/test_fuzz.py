"""Random calls. TIPRING_FUZZ says how many; `make fuzz` plays many more."""

from __future__ import annotations

import os

import pytest

from tests.turns.fuzz import many

CALLS = int(os.environ.get("TIPRING_FUZZ", "200"))


@pytest.mark.timeout(600)
def test_every_turn_is_answered_once_no_word_is_lost_and_every_silence_has_an_owner() -> None:
    assert many(CALLS) == []
