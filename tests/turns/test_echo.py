"""What is taken for the agent's own words, and what for the caller's."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import numpy as np
import pytest
from pipecat.frames.frames import (
    InputAudioRawFrame,
    InterimTranscriptionFrame,
    TranscriptionFrame,
)
from tipring.journal import Journal
from tipring.turns.echo import Echo
from tipring.turns.floor import Floor
from tipring.turns.nearness import Nearness
from tipring.turns.words import words_for

from tests.fast_loop import run_fast

HOURS = "We are open from Monday to Friday, from nine until six."
PLACE = "You can find us right behind the station, next to the library."


class Call:
    """A call of which only words are known, and how loud each side was."""

    def __init__(self, language: str = "en") -> None:
        self.floor = Floor()
        self.journal = Journal(clock=asyncio.get_running_loop().time)
        self.nearness = Nearness(floor=self.floor)
        self.echo = Echo(
            floor=self.floor,
            journal=self.journal,
            words=words_for(language),
            nearness=self.nearness,
        )
        self._random = np.random.default_rng(1)

    async def agent(self, text: str) -> None:
        """The agent says this, in 0.3 s a word."""
        self.floor.agent_audible = True
        for word in text.split():
            await asyncio.sleep(0.3)
            self.floor.agent_words.append((asyncio.get_running_loop().time(), word))

    async def sound(self, decibels: float, seconds: float = 1.2) -> None:
        """So loud is what is heard of the caller's side, from then to now."""
        size = 32768 * 10 ** (decibels / 20)
        noise = self._random.normal(0, size, round(seconds * 8000)).astype(np.int16)
        for at in range(0, len(noise), 160):
            piece = noise[at : at + 160].tobytes()
            await self.nearness.process_frame(InputAudioRawFrame(piece, 8000, 1))

    async def caller(self, decibels: float = -20.0) -> None:
        """The caller has been heard, for two seconds, and is known from then on."""
        self.floor.caller_speaking, self.floor.agent_audible = True, False
        await self.sound(decibels, 2.0)
        self.floor.caller_speaking = False

    def hears(self, text: str, *, final: bool = False) -> str:
        """What is left of a transcript."""
        kind = TranscriptionFrame if final else InterimTranscriptionFrame
        frame = kind(text, "caller", "")
        return frame.text if self.echo.leaves(frame) else ""

    @property
    def echoes(self) -> list[str]:
        return [event.detail["text"] for event in self.journal.events if event.name == "echo"]


def played(call: Coroutine[Any, Any, None]) -> None:
    run_fast(call)


@pytest.mark.parametrize(
    "heard",
    [
        # As Moonshine wrote them down, of a voice that came back 20 dB quieter.
        ["You can", "You can find us", "You can find us right, but"],
        ["You can", "You can find us right", "You can find us right behind the stick"],
        ["You can find us", "You can find us right, Baha'u'l"],
    ],
)
def test_the_agents_words_are_an_echo_however_the_newest_is_misheard(heard: list[str]) -> None:
    async def call() -> None:
        line = Call()
        await line.agent("You can find")
        for text in heard:
            await line.agent("us" if "us" not in text else "right behind")
            assert line.hears(text) == ""
        assert line.hears("You can find us right behind.", final=True) == ""
        assert line.echoes == ["You can find us right behind."]

    played(call())


def test_a_misheard_begin_makes_it_no_others_words() -> None:
    async def call() -> None:
        line = Call()
        await line.agent(f"{HOURS} On Saturdays we close at noon")
        assert line.hears("Easoning on Saturdays, we closed") == ""
        assert line.hears("Evening on Saturdays we close at noon.", final=True) == ""

    played(call())


def test_other_words_over_the_agent_are_the_callers() -> None:
    async def call() -> None:
        line = Call()
        await line.agent(PLACE)
        text = "Can you give me the number of the station?"
        for count in range(1, 10):
            part = " ".join(text.split()[:count])
            assert line.hears(part) == part
        assert line.hears(text, final=True) == text
        assert line.echoes == []

    played(call())


def test_what_the_caller_says_into_the_echo_is_left_of_it() -> None:
    async def call() -> None:
        line = Call()
        await line.agent("We are open from")
        assert line.hears("We are open") == ""
        await line.agent("Monday to Friday")
        assert line.hears("We are open from sorry I meant") == "sorry I meant"
        line.floor.turn_open, line.floor.agent_audible = True, False
        await asyncio.sleep(1.8)  # the words before are long past, and the utterance is the same
        # "Friday" was the agent's word, too.
        assert line.hears("We are open from sorry I meant not on Friday.", final=True) == (
            "sorry I meant not on Friday."
        )

    played(call())


@pytest.mark.parametrize(("level", "left"), [(-20.0, "the"), (-40.0, "")])
def test_the_first_other_word_is_the_callers_where_it_sounds_near(level: float, left: str) -> None:
    async def call() -> None:
        line = Call()
        await line.caller()
        await line.agent("We are open from Monday")
        await line.sound(level)
        assert line.hears("We are open from the") == left

    played(call())


@pytest.mark.parametrize(("level", "left"), [(-20.0, "from Monday to Friday"), (-40.0, "")])
def test_who_repeats_it_from_near_by_is_no_echo(level: float, left: str) -> None:
    async def call() -> None:
        line = Call()
        await line.caller()
        await line.agent("We are open from Monday to Friday")
        await asyncio.sleep(1.2)
        await line.sound(level)
        assert line.hears("from Monday to Friday") == left

    played(call())


def test_who_answers_in_the_agents_words_is_no_echo_though_they_were_never_heard_before() -> None:
    async def call() -> None:
        line = Call()
        await line.agent("Is it a table for two people?")
        line.floor.agent_audible = False
        await asyncio.sleep(1.0)
        assert line.hears("For two") == "For two"
        await asyncio.sleep(0.3)
        assert line.hears("For two people.", final=True) == "For two people."

    played(call())


def test_the_same_words_long_after_are_the_callers() -> None:
    async def call() -> None:
        line = Call()
        await line.agent(HOURS)
        line.floor.agent_audible = False
        await asyncio.sleep(1.6)
        assert line.hears("from nine until six") == "from nine until six"

    played(call())


@pytest.mark.parametrize("word", ["Monday", "Nine"])
def test_one_word_that_the_agent_has_just_said_may_be_the_answer(word: str) -> None:
    async def call() -> None:
        line = Call()
        await line.agent("Is it on Monday at nine")
        line.floor.agent_audible = False
        await asyncio.sleep(0.3)
        assert line.hears(word, final=True) == word

    played(call())


def test_where_an_echo_was_heard_one_far_word_is_one_too() -> None:
    async def call() -> None:
        line = Call()
        await line.caller()
        await line.agent("You can find us")
        await line.sound(-40.0)
        assert line.hears("You can find us.", final=True) == ""
        await line.agent("next to the library")
        await line.sound(-40.0)
        line.floor.agent_audible = False
        assert line.hears("library.", final=True) == ""

    played(call())


def test_where_an_echo_was_heard_one_word_over_the_agent_is_waited_on_from_any_distance() -> None:
    async def call() -> None:
        line = Call()
        await line.caller()
        await line.agent("You can find us")
        await line.sound(-20.0)
        for text in ("You can", "You can find us"):
            assert line.hears(text) == ""
        assert line.hears("You can find us.", final=True) == ""
        await line.agent("right behind the station. Next")
        assert line.hears("Next") == ""

    played(call())


def test_where_an_echo_was_heard_a_far_voice_that_begins_is_waited_for() -> None:
    async def call() -> None:
        line = Call()
        await line.caller()
        await line.agent("You can find us")
        await line.sound(-40.0)
        assert line.hears("What") == "What"  # none has been heard yet
        assert line.hears("You can find us.", final=True) == ""
        await line.agent("next to the library")
        await line.sound(-40.0)
        assert line.hears("What") == ""
        assert line.hears("What did you say") == "What did you say"
        await line.sound(-20.0)
        assert line.hears("What") == "What"

    played(call())


@pytest.mark.parametrize("final", [False, True])
def test_two_words_from_near_by_over_the_agent_are_waited_on_if_more_may_come(final: bool) -> None:
    async def call() -> None:
        line = Call()
        await line.caller()
        await line.agent("We are open from")
        await line.sound(-20.0)
        assert line.hears("open from", final=final) == ("open from" if final else "")

    played(call())


def test_few_words_in_a_turn_that_is_open_are_the_callers() -> None:
    async def call() -> None:
        line = Call()
        await line.agent("We are open from Monday")
        line.floor.turn_open, line.floor.agent_audible = True, False
        assert line.hears("from Monday") == "from Monday"

    played(call())


def test_a_language_without_spaces_has_echoes_too() -> None:
    async def call() -> None:
        line = Call()
        await line.agent("お電話ありがとう ございます")
        assert line.hears("お電話ありがと") == ""
        assert line.hears("予約をお願いします") == "予約をお願いします"

    played(call())


def test_nothing_is_an_echo_of_an_agent_who_said_nothing() -> None:
    async def call() -> None:
        line = Call()
        assert line.hears("Hello") == "Hello"
        assert line.hears("  ", final=True) == "  "

    played(call())
