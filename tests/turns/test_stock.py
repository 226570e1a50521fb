"""What plain Pipecat does in eight calls, and what tipring does in the same ones.

They are those of Pipecat's issues 4279, 4343, 5425 and 5735, as far as Pipecat 1.14 still has them.
Two of the four were mended as they were reported: those calls end well with both, and next to each
stands the one that still does not.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import pytest
from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    Frame,
    InterimTranscriptionFrame,
    ProposedUserStartedSpeakingFrame,
    ProposedUserStoppedSpeakingFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    LLMContextAggregatorPair,
    LLMUserAggregator,
    LLMUserAggregatorParams,
)
from pipecat.turns.user_mute import MuteUntilFirstBotCompleteUserMuteStrategy
from pipecat.turns.user_start import (
    TranscriptionUserTurnStartStrategy,
    VADUserTurnStartStrategy,
)
from pipecat.turns.user_stop import TurnAnalyzerUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import ExternalUserTurnStrategies, UserTurnStrategies
from tipring.providers import RungEvent

from tests import scripted_rungs
from tests.fast_loop import run_fast
from tests.scripted_rungs import ladder, line, says
from tests.turns import detectors
from tests.turns.stage import Stage, replies

Script = Sequence[tuple[float, Frame]]

FOR_A_MINUTE = 60.0


def final(text: str) -> TranscriptionFrame:
    return TranscriptionFrame(text, "caller", "", finalized=True)


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
        (2.6, final("I need a table.")),
        (2.6, ProposedUserStoppedSpeakingFrame()),
    ]


def heard_late() -> Script:
    """A voice detector heard the turn end, and its words come long after (pipecat issue 4279).

    As it was reported it is mended: the version here answers them. What is left of it is
    :func:`transcribed_late` and :func:`said_after_the_end`.
    """
    return [
        (0.1, BotStartedSpeakingFrame()),
        (0.5, BotStoppedSpeakingFrame()),
        (1.0, VADUserStartedSpeakingFrame(start_secs=0.2)),
        (2.0, VADUserStoppedSpeakingFrame(stop_secs=0.2)),
        (8.0, final("I need a table.")),
    ]


def transcribed_late() -> Script:
    """The transcriber ends the turn, and its words come long after.

    It is what pipecat issue 4279 left, where the transcriber is the one who opens and ends turns.
    """
    return [
        (0.1, BotStartedSpeakingFrame()),
        (0.5, BotStoppedSpeakingFrame()),
        (1.0, ProposedUserStartedSpeakingFrame()),
        (2.0, ProposedUserStoppedSpeakingFrame()),
        (8.0, final("I need a table.")),
    ]


def said_after_the_end() -> Script:
    """A second sentence comes after the turn, and the transcriber opens no other for it.

    It is left of pipecat issue 4279 as well.
    """
    return [
        (1.0, ProposedUserStartedSpeakingFrame()),
        (2.0, final("I need a table.")),
        (2.0, ProposedUserStoppedSpeakingFrame()),
        (6.0, final("And a chair for the baby.")),
    ]


def a_noise() -> Script:
    """A voice detector hears something that has no words, and ends (pipecat issue 4343).

    As it was reported it is mended: the version here asks the caller again. What is left of it is
    :func:`a_noisy_room`.
    """
    return [
        (0.5, BotStartedSpeakingFrame()),
        (2.0, BotStoppedSpeakingFrame()),
        (3.0, VADUserStartedSpeakingFrame(start_secs=0.2)),
        (4.0, VADUserStoppedSpeakingFrame(stop_secs=0.2)),
    ]


def a_noisy_room() -> Script:
    """A voice detector hears something that has no words and no end.

    It is what pipecat issue 4343 left: a noise that ends was mended, one that does not was not.
    """
    return [
        (0.5, BotStartedSpeakingFrame()),
        (2.0, BotStoppedSpeakingFrame()),
        (3.0, VADUserStartedSpeakingFrame(start_secs=0.2)),
    ]


def a_sentence() -> Script:
    return [
        (1.0, VADUserStartedSpeakingFrame(start_secs=0.2)),
        (2.0, VADUserStoppedSpeakingFrame(stop_secs=0.2)),
        (2.1, final("I need a table.")),
    ]


async def send(script: Script, to: Callable[[Frame], Awaitable[None]]) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    for at, frame in script:
        await asyncio.sleep(began + at - loop.time())
        await to(frame)
    await asyncio.sleep(began + FOR_A_MINUTE - loop.time())


@dataclass
class Rung(scripted_rungs.ScriptedRung):
    """Knows when it was asked."""

    times: list[float] = field(default_factory=list)

    def stream(self, context: LLMContext, *, system: str) -> AsyncIterator[RungEvent]:
        self.times.append(asyncio.get_running_loop().time())
        return super().stream(context, system=system)


@dataclass(frozen=True)
class Stock:
    """What plain Pipecat did within a minute: when it asked the model, and when the caller."""

    asked: list[float]
    nudged: list[float]


async def stock(script: Script, strategies: UserTurnStrategies, *, mute: bool = False) -> Stock:
    loop = asyncio.get_running_loop()
    pair = LLMContextAggregatorPair(
        LLMContext(),
        user_params=LLMUserAggregatorParams(
            user_turn_strategies=strategies,
            user_mute_strategies=[MuteUntilFirstBotCompleteUserMuteStrategy()] if mute else [],
            user_idle_timeout=6.0,
        ),
    )
    rung = Rung([says("Sure.")])
    nudged: list[float] = []

    async def idle(_: LLMUserAggregator) -> None:
        nudged.append(loop.time())

    pair.user().add_event_handler("on_user_turn_idle", idle)
    async with line(ladder(rung), pair.assistant(), before=[pair.user()]) as phone:
        began = loop.time()
        await send(script, phone.send)
        return Stock([at - began for at in rung.times], [at - began for at in nudged])


def flux() -> UserTurnStrategies:
    """What Pipecat's Flux service recommends."""
    return ExternalUserTurnStrategies()


def smart(verdict: str = "complete") -> UserTurnStrategies:
    """What Pipecat does by itself, with an analyzer that does as it is told."""
    analyzer = detectors.ScriptedAnalyzer(detectors.Script(verdict))
    return UserTurnStrategies(
        start=[VADUserTurnStartStrategy(), TranscriptionUserTurnStartStrategy()],
        stop=[TurnAnalyzerUserTurnStopStrategy(turn_analyzer=analyzer)],
    )


async def tipring(
    script: Script, detector: str, *, verdict: str = "complete"
) -> list[tuple[float, str]]:
    """What the caller hears from tipring within a minute, and when."""
    stage = Stage(detector, replies("Sure."))
    stage.script.verdict = verdict
    async with stage.running():
        began = asyncio.get_running_loop().time()
        await send(script, stage.send)
        return [(at - began, text) for at, text in stage.mouth.heard]


def answers(heard: list[tuple[float, str]]) -> list[float]:
    """When the model's answer was heard, the nudges left out."""
    return [at for at, text in heard if text == "Sure."]


@pytest.mark.stock
def test_stock_pipecat_never_answers_a_turn_that_flux_forgot() -> None:
    assert run_fast(stock(forgotten_by_flux(), flux())).asked == []


def test_tipring_answers_a_turn_that_flux_forgot() -> None:
    assert len(answers(run_fast(tipring(forgotten_by_flux(), "flux")))) == 1


@pytest.mark.stock
def test_stock_pipecat_loses_what_is_begun_while_the_greeting_mutes_the_caller() -> None:
    assert run_fast(stock(spoken_into_the_greeting(), flux(), mute=True)).asked == []


def test_tipring_answers_what_is_begun_over_the_greeting() -> None:
    assert len(answers(run_fast(tipring(spoken_into_the_greeting(), "flux")))) == 1


@pytest.mark.stock
def test_stock_pipecat_answers_late_words_where_a_voice_detector_ends_turns() -> None:
    assert len(run_fast(stock(heard_late(), smart())).asked) == 1


def test_tipring_answers_late_words_where_a_voice_detector_ends_turns() -> None:
    assert len(answers(run_fast(tipring(heard_late(), "smart")))) == 1


@pytest.mark.stock
def test_stock_pipecat_never_answers_words_that_come_after_their_turn_was_given_up() -> None:
    assert run_fast(stock(transcribed_late(), flux())).asked == []


def test_tipring_answers_words_however_late_they_come() -> None:
    assert len(answers(run_fast(tipring(transcribed_late(), "flux")))) == 1


@pytest.mark.stock
def test_stock_pipecat_does_not_answer_a_sentence_that_flux_opens_no_turn_for() -> None:
    assert len(run_fast(stock(said_after_the_end(), flux())).asked) == 1


def test_tipring_answers_a_sentence_that_flux_opens_no_turn_for() -> None:
    assert len(answers(run_fast(tipring(said_after_the_end(), "flux")))) == 2


@pytest.mark.stock
def test_stock_pipecat_asks_a_silent_caller_after_a_noise_that_ends() -> None:
    assert run_fast(stock(a_noise(), smart())).nudged


def test_tipring_asks_a_silent_caller_after_a_noise_that_ends() -> None:
    heard = run_fast(tipring(a_noise(), "smart"))
    assert [text for _, text in heard][0] == "Are you still there?"


@pytest.mark.stock
def test_stock_pipecat_leaves_a_silent_caller_in_a_noisy_room_alone_for_ever() -> None:
    assert run_fast(stock(a_noisy_room(), smart())).nudged == []


def test_tipring_asks_a_silent_caller_in_a_noisy_room() -> None:
    heard = run_fast(tipring(a_noisy_room(), "smart"))
    assert "Are you still there?" in [text for _, text in heard]


@pytest.mark.stock
def test_stock_pipecat_stalls_for_five_seconds_when_the_analyzer_raises() -> None:
    (asked,) = run_fast(stock(a_sentence(), smart("raises"))).asked
    assert asked - 2.1 >= 5.0


def test_tipring_answers_within_two_seconds_when_the_analyzer_raises() -> None:
    (heard,) = answers(run_fast(tipring(a_sentence(), "smart", verdict="raises")))
    assert heard - 2.1 < 2.0
