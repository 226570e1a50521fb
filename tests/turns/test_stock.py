"""What plain Pipecat does in three calls, and what tipring does in the same ones."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest
from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    Frame,
    InterimTranscriptionFrame,
    ProposedUserStartedSpeakingFrame,
    ProposedUserStoppedSpeakingFrame,
    TranscriptionFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    LLMContextAggregatorPair,
    LLMUserAggregatorParams,
)
from pipecat.turns.user_mute import MuteUntilFirstBotCompleteUserMuteStrategy
from pipecat.turns.user_turn_strategies import ExternalUserTurnStrategies

from tests.fast_loop import run_fast
from tests.scripted_rungs import ScriptedRung, ladder, line, says
from tests.turns.stage import Stage, replies

Script = Sequence[tuple[float, Frame]]


def forgotten_by_flux() -> Script:
    """Flux opens a turn, hears its words, and never ends it (pipecat issue 5735)."""
    return [
        (1.0, ProposedUserStartedSpeakingFrame()),
        (1.5, InterimTranscriptionFrame("I need a table.", "caller", "")),
    ]


def spoken_into_the_greeting() -> Script:
    """The caller's words straddle the end of the greeting (pipecat issue 5425)."""
    return [
        (0.5, BotStartedSpeakingFrame()),
        (1.0, ProposedUserStartedSpeakingFrame()),
        (1.4, InterimTranscriptionFrame("I need", "caller", "")),
        (2.0, BotStoppedSpeakingFrame()),
        (2.6, TranscriptionFrame("I need a table.", "caller", "", finalized=True)),
        (2.6, ProposedUserStoppedSpeakingFrame()),
    ]


async def send(script: Script, to: Callable[[Frame], Awaitable[None]]) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    for at, frame in script:
        await asyncio.sleep(began + at - loop.time())
        await to(frame)
    await asyncio.sleep(60)


async def asked_by_stock(script: Script, *, mute: bool) -> int:
    """How often plain Pipecat asks the model within a minute."""
    pair = LLMContextAggregatorPair(
        LLMContext(),
        user_params=LLMUserAggregatorParams(
            user_turn_strategies=ExternalUserTurnStrategies(),
            user_mute_strategies=[MuteUntilFirstBotCompleteUserMuteStrategy()] if mute else [],
        ),
    )
    rung = ScriptedRung([says("Sure.")])
    async with line(ladder(rung), pair.assistant(), before=[pair.user()]) as phone:
        await send(script, phone.send)
        return rung.asked


async def heard_from_tipring(script: Script) -> list[str]:
    """What the caller hears from tipring within a minute, the nudges left out."""
    stage = Stage("flux", replies("Sure."))
    async with stage.running():
        await send(script, stage.send)
    return [text for _, text in stage.mouth.heard if text == "Sure."]


@pytest.mark.stock
def test_stock_pipecat_never_answers_a_turn_that_flux_forgot() -> None:
    assert run_fast(asked_by_stock(forgotten_by_flux(), mute=False)) == 0


def test_tipring_answers_a_turn_that_flux_forgot() -> None:
    assert run_fast(heard_from_tipring(forgotten_by_flux())) == ["Sure."]


@pytest.mark.stock
def test_stock_pipecat_loses_what_is_begun_while_the_greeting_mutes_the_caller() -> None:
    assert run_fast(asked_by_stock(spoken_into_the_greeting(), mute=True)) == 0


def test_tipring_answers_what_is_begun_over_the_greeting() -> None:
    assert run_fast(heard_from_tipring(spoken_into_the_greeting())) == ["Sure."]
