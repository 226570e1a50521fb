"""How near a voice is, by its loudness, and what that says of whom it is for."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from pipecat.frames.frames import InputAudioRawFrame
from tipring.turns.aside import Aside, others_for
from tipring.turns.floor import Floor
from tipring.turns.nearness import Nearness
from tipring.turns.words import words_for

LANGUAGES = ("en", "es")


class Line:
    """A caller's line, without a phone: so many seconds of a voice at a level."""

    def __init__(self) -> None:
        self.floor = Floor()
        self.nearness = Nearness(floor=self.floor)
        self._random = np.random.default_rng(1)

    def says(self, seconds: float, decibels: float, *, over: bool = False) -> None:
        self.floor.agent_audible, self.floor.caller_speaking = over, not over
        self._sound(seconds, decibels)

    def silent(self, seconds: float) -> None:
        self.floor.caller_speaking = False
        self._sound(seconds, -90.0)

    def _sound(self, seconds: float, decibels: float) -> None:
        size = 32768 * 10 ** (decibels / 20)
        sound = self._random.normal(0, size, round(seconds * 8000)).clip(-32768, 32767)

        async def hear() -> None:
            for at in range(0, len(sound), 160):
                piece = sound[at : at + 160].astype(np.int16).tobytes()
                await self.nearness.process_frame(InputAudioRawFrame(piece, 8000, 1))

        asyncio.run(hear())

    @property
    def aside(self) -> Aside:
        words = words_for("en")
        return Aside(
            "en",
            fillers=words.fillers,
            interrupters=words.interrupters,
            nearness=self.nearness,
        )


@pytest.mark.parametrize("level", [-15.0, -25.0, -40.0])
def test_a_voice_is_compared_with_the_same_caller_however_quiet_the_line_is(level: float) -> None:
    line = Line()
    line.says(2.0, level)
    line.says(0.5, level, over=True)
    assert abs(line.nearness.further()) < 1.5
    line.says(4.0, level - 10, over=True)
    assert 8.0 < line.nearness.further() < 12.0


def test_a_room_that_is_taken_for_the_caller_in_their_pauses_is_not_the_caller() -> None:
    line = Line()
    line.says(2.0, -20.0)
    line.says(6.0, -35.0)
    line.says(0.6, -28.0, over=True)
    assert 6.0 < line.nearness.further() < 10.0


def test_a_caller_who_was_not_heard_yet_is_as_near_as_can_be() -> None:
    line = Line()
    line.says(0.4, -40.0, over=True)
    assert line.nearness.further() == 0.0


def test_words_that_come_long_after_their_voice_are_not_judged_by_the_silence() -> None:
    line = Line()
    line.says(2.0, -25.0)
    line.floor.agent_audible = True
    line.silent(4.0)
    assert line.nearness.further() == 0.0


def test_what_the_caller_said_before_the_agent_is_no_part_of_what_comes_over_it() -> None:
    line = Line()
    line.says(2.0, -25.0)
    line.says(0.5, -35.0, over=True)
    assert line.nearness.further() > 8.0


@pytest.mark.parametrize("away", [7.0, 12.0])
@pytest.mark.parametrize(
    "text", ["No", "Wait, I have a question", "Um, stop", "What about", "Sorry"]
)
def test_a_word_that_asks_for_the_floor_is_for_the_agent_from_any_distance(
    text: str, away: float
) -> None:
    line = Line()
    line.says(2.0, -20.0)
    line.says(0.6, -20.0 - away, over=True)
    assert not line.aside.for_another(text)


@pytest.mark.parametrize(("away", "another"), [(0.0, False), (7.0, False), (12.0, True)])
def test_who_begins_as_one_begins_a_question_must_be_far_to_be_somebody_elses(
    away: float, another: bool
) -> None:
    line = Line()
    line.says(2.0, -20.0)
    line.says(0.6, -20.0 - away, over=True)
    assert line.aside.for_another("Can you close the door") is another


def test_a_voice_that_comes_back_to_the_phone_is_the_agents_caller_again() -> None:
    line = Line()
    line.says(2.0, -20.0)
    line.says(0.6, -30.0, over=True)
    assert line.aside.for_another("Put it")
    line.says(0.6, -21.0, over=True)
    assert not line.aside.for_another("Put it over there", before=True)


@pytest.mark.parametrize(
    "text",
    [
        "Honey, can you close the door?",
        "Close the door, honey.",
        "I can't, I'm on the phone",
        "I'll be right there!",
    ],
)
def test_some_words_alone_tell_that_they_are_for_somebody_else(text: str) -> None:
    assert others_for("en-US").called(text)


@pytest.mark.parametrize(
    "text", ["My mum called you", "I lost my phone", "Is she on the phone?", "Thanks, honey", "No"]
)
def test_others_do_not(text: str) -> None:
    assert not others_for("en").called(text)


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_word_is_a_vocative_and_takes_the_floor_as_well(language: str) -> None:
    others, words = others_for(language), words_for(language)
    assert others.vocatives and others.phrases and others.claims
    assert not others.vocatives & (others.claims | words.interrupters | words.fillers)
