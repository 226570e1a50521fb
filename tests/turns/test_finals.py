"""Final words that arrive in the moment of an interruption, whose queue Pipecat empties."""

from __future__ import annotations

import asyncio

import pytest
from pipecat.frames.frames import Frame, InterimTranscriptionFrame, TranscriptionFrame
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    LLMContextAggregatorPair,
    LLMUserAggregatorParams,
)
from pipecat.turns.user_start import TranscriptionUserTurnStartStrategy
from pipecat.turns.user_stop import SpeechTimeoutUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies

from tests.fast_loop import run_fast
from tests.scripted_rungs import ScriptedRung, ladder, line, says
from tests.turns.stage import Stage, replies

WORDS = "No, stop, only the price."


def at_once() -> list[Frame]:
    """An interim transcript that interrupts, and the final one right behind it."""
    return [
        InterimTranscriptionFrame("No, stop, only", "caller", ""),
        TranscriptionFrame(WORDS, "caller", "", finalized=True),
    ]


async def remembered_by_stock() -> list[object]:
    context = LLMContext()
    pair = LLMContextAggregatorPair(
        context,
        user_params=LLMUserAggregatorParams(
            user_turn_strategies=UserTurnStrategies(
                start=[TranscriptionUserTurnStartStrategy()],
                stop=[SpeechTimeoutUserTurnStopStrategy()],
            )
        ),
    )
    rung = ScriptedRung([says("Ten.")])
    async with line(ladder(rung), pair.assistant(), before=[pair.user()]) as phone:
        for frame in at_once():
            await phone.send(frame)
        await asyncio.sleep(30)
    return [message for message in context.get_messages() if WORDS in str(message)]


@pytest.mark.stock
def test_stock_pipecat_loses_final_words_that_stand_behind_the_ones_that_interrupt() -> None:
    assert run_fast(remembered_by_stock()) == []


@pytest.mark.parametrize("detector", ["smart", "flux", "third"])
def test_final_words_right_behind_the_ones_that_interrupt_are_answered(detector: str) -> None:
    async def main() -> Stage:
        stage = Stage(detector, replies("One. Two. Three.", "Ten."))
        async with stage.running():
            await stage.final("Tell me everything.")
            await asyncio.sleep(6)
            await stage.agent("One.", "Two.", "Three.")
            await asyncio.sleep(1)
            await stage.send(*at_once())
            await asyncio.sleep(30)
        return stage

    stage = run_fast(main())
    assert WORDS in stage.caller_said
    assert len(stage.noted("interruption")) == 1
    assert [text for _, text in stage.mouth.heard].count("Ten.") == 1
