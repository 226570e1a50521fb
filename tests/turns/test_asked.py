"""A tag in the model's reply says what it asks for, and is heard by nobody."""

from __future__ import annotations

import pytest
from pipecat.frames.frames import LLMFullResponseEndFrame, LLMFullResponseStartFrame, LLMTextFrame
from pipecat.tests.utils import run_test
from tipring.journal import Journal
from tipring.turns.asked import Asked
from tipring.turns.floor import Floor


async def through(*sentences: str) -> tuple[list[str], Floor, Journal]:
    floor, journal = Floor(), Journal(clock=lambda: 0.0)
    reply = [LLMFullResponseStartFrame(), *map(LLMTextFrame, sentences), LLMFullResponseEndFrame()]
    asked = Asked(floor=floor, journal=journal, language="en")
    down, _ = await run_test(asked, frames_to_send=reply)
    return [frame.text for frame in down if isinstance(frame, LLMTextFrame)], floor, journal


@pytest.mark.parametrize(
    ("sentences", "heard"),
    [
        (["What is it? <expect>code</expect>"], ["What is it?"]),
        (["What is it?", " <expect>code</expect>"], ["What is it?"]),
        (["<expect> Code </expect> What is it?"], [" What is it?"]),
    ],
)
async def test_the_tag_is_taken_out_and_the_next_turn_is_judged_by_it(
    sentences: list[str], heard: list[str]
) -> None:
    said, floor, _ = await through(*sentences)
    assert (said, floor.expecting) == (heard, "code")


async def test_a_tag_that_asks_for_nothing_known_is_noted_and_not_heard() -> None:
    said, floor, journal = await through("What is it? <expect>shoe size</expect>")
    assert (said, floor.expecting) == (["What is it?"], None)
    [problem] = [event for event in journal.events if event.name == "problem"]
    assert "phone number" in problem.detail["what"]
    assert "shoe" not in problem.detail["what"]


async def test_words_without_a_tag_are_left_alone() -> None:
    said, floor, _ = await through("I expect <so>.", "Yes.")
    assert (said, floor.expecting) == (["I expect <so>.", "Yes."], None)
