"""What is told of the agent's voice may cross with a word that stops it, or with a filler."""

from __future__ import annotations

import asyncio

from pipecat.frames.frames import BotStartedSpeakingFrame, BotStoppedSpeakingFrame

from tests.fast_loop import run_fast
from tests.scripted_rungs import says
from tests.turns.stage import Stage


def test_a_word_that_crosses_with_the_first_sound_of_an_answer_is_owed_one_of_its_own() -> None:
    async def play() -> None:
        stage = Stage("smart", [[0.3, *says("One.")], [2.0, *says("Two.")], [0.3, *says("Three.")]])
        async with stage.running():
            await stage.voice(True)
            await asyncio.sleep(1.0)
            await stage.voice(False)
            await stage.final("A table for two.")
            await asyncio.sleep(0.35)  # its answer is said, and on its way to the phone
            await stage.final("Tonight.")
            await asyncio.sleep(0.01)
            assert [event.detail["text"] for event in stage.noted("turn.committed")] == [
                "A table for two.",
                "Tonight.",
            ]
            # The phone had begun with it when the word stopped it, and says so.
            await stage.mouth.broadcast_frame(BotStartedSpeakingFrame)
            await stage.mouth.broadcast_frame(BotStoppedSpeakingFrame)
            await asyncio.sleep(0.5)
            assert stage.noted("agent.stopped")
            assert stage.floor.answer_owed
            assert stage.floor.unanswered == "A table for two. Tonight."

            await stage.voice(True)
            await asyncio.sleep(0.5)
            await stage.interim("At eight")
            await asyncio.sleep(1.5)
            await stage.voice(False)
            await stage.final("At eight sharp.")
            await asyncio.sleep(3.0)
            assert [text for _, text in stage.mouth.heard] == ["Three."]

    run_fast(play())


def test_no_filler_comes_with_an_answer_that_the_voice_was_just_given() -> None:
    async def play() -> None:
        stage = Stage("smart", [[3.95, *says("One.")], [0.3, *says("Two.")]])
        async with stage.running():
            await stage.voice(True)
            await asyncio.sleep(1.0)
            await stage.voice(False)
            await stage.final("A table for two.")
            await asyncio.sleep(14.0)
            assert [text for _, text in stage.mouth.heard][:2] == ["One.", "Are you still there?"]

    run_fast(play())


def test_nobody_is_greeted_over_words_that_came_just_before_the_first_sound() -> None:
    async def play() -> None:
        stage = Stage("smart", [[0.3, *says("Sure.")]])
        async with stage.running():
            await stage.greet("This is Tipring. How can I help?")
            await asyncio.sleep(0.05)  # it is said, and on its way to the phone
            await stage.voice(True)
            await stage.interim("I need a table")
            await asyncio.sleep(1.0)
            await stage.voice(False)
            await stage.final("I need a table for two.")
            await asyncio.sleep(3.0)
            assert [text for _, text in stage.mouth.heard] == ["Sure."]

    run_fast(play())


def test_an_answer_in_the_moment_in_which_a_filler_was_stopped_is_not_the_end_of_that_filler() -> (
    None
):
    async def play() -> None:
        answers = [[9.0, *says("One.")], says("Two."), [0.3, *says("Three.")]]
        stage = Stage("smart", answers)
        async with stage.running():
            await stage.voice(True)
            await asyncio.sleep(1.0)
            await stage.voice(False)
            await stage.final("A table for two.")
            await asyncio.sleep(4.2)  # the filler is heard
            await stage.final("At eight, please.")
            await asyncio.sleep(0.01)
            assert [event.detail["text"] for event in stage.noted("agent.said")][-1] == "Two."
            await stage.final("By the window.")
            await asyncio.sleep(4.0)
            heard = [text for _, text in stage.mouth.heard]
            assert heard == ["One moment, please.", "Three."]

    run_fast(play())
