"""What a turn detector has to keep."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, ClassVar

from pipecat.frames.frames import InterimTranscriptionFrame, TranscriptionFrame
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    LLMContextAggregatorPair,
    LLMUserAggregatorParams,
)
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.turns.user_start import TranscriptionUserTurnStartStrategy, VADUserTurnStartStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies

from tipring.providers import TurnPlan
from tipring.testing import contract_line
from tipring.testing.contract import ContractBroken, ProviderContract, rule
from tipring.testing.contract_line import Line, TimedSteps, leaves_nothing, line, now

BLOCK = 0.02
"""Seconds for which a detector may hold the event loop: one frame of the phone's audio."""

RESUMED = 0.7
"""Seconds in which a detector has to notice that the caller speaks again. Voice detectors take 0.1
to 0.3; the rest is for a model that was under way."""

_LATE = 1.0  # what a busy machine may add to the patience of a plan


class TurnCall:
    """A call with this detector in it.

    Attributes:
        plan: What the plugin built.
        line: The pipeline.
        proposals: When it proposed the end of a turn, on the clock of the event loop.
    """

    def __init__(self, plan: TurnPlan, line: Line, words: str) -> None:
        self.plan = plan
        self.line = line
        self.words = words
        self.proposals: list[float] = []
        plan.stop.add_event_handler("on_user_turn_stopped", self._proposed)

    async def _proposed(self, *_: Any) -> None:
        self.proposals.append(now())
        self.line.wake()

    async def speaks(self, pcm: bytes) -> tuple[float, float]:
        """Let the caller say something, and give when it began and ended."""
        half = len(pcm) // 4 * 2
        began = now()
        await self.line.hear(pcm[:half])
        await self._told(InterimTranscriptionFrame, self.words[: len(self.words) // 2])
        await self.line.hear(pcm[half:])
        return began, now()

    async def pauses(self, seconds: float, *, told: bool = True) -> None:
        """Let the caller be silent; their words are told finally 0.15 s into it."""
        quiet = contract_line.silence(seconds, self.line.rate)
        early = int(0.15 * self.line.rate) * 2
        await self.line.hear(quiet[:early])
        if told:
            await self._told(TranscriptionFrame, self.words)
        await self.line.hear(quiet[early:])

    async def waits(self, count: int, seconds: float) -> bool:
        """Whether it has proposed so often within that many seconds of silence."""
        quiet = contract_line.silence(0.1, self.line.rate)
        deadline = now() + seconds
        while len(self.proposals) < count and now() < deadline:
            await self.line.hear(quiet)
        return len(self.proposals) >= count

    async def _told(self, kind: Any, text: str) -> None:
        if self.plan.stt is None:
            await self.line.put(kind(text, "caller", ""))


class TurnContract(ProviderContract):
    """What holds for a turn detector.

    The caller of these calls speaks real speech in real time. For a detector that needs a
    transcriber beside it, the words come from the script; one that transcribes hears them itself,
    so give it an emulator that does (``settings``), and its own ``speech`` if need be.

    Attributes:
        holds: Seconds of a pause within a sentence that the detector claims to sit out. 0: it
            claims nothing.
    """

    holds: ClassVar[float] = 0.0

    def speech(self, rate: int) -> bytes:
        """What the caller says, PCM16 mono at ``rate`` Hz."""
        return contract_line.speech(rate)

    @rule
    def test_proposes_when_the_caller_is_done(self) -> None:
        """Within the plan's own patience: later, the host decides without it."""

        async def run() -> None:
            async with self._talking() as call:
                _, done = await self._says(call)
                if not await call.waits(1, call.plan.patience + _LATE):
                    raise ContractBroken(
                        f"{call.plan.patience:g} s after the caller fell silent, with their words"
                        " told, it had proposed nothing",
                        "call trigger_user_turn_stopped() at the end of a turn, or say a longer"
                        " patience in the TurnPlan",
                    )
                if call.proposals[0] < done - 0.3:
                    raise ContractBroken(
                        "it proposed the end while the caller was speaking",
                        "propose in silence: after VADUserStoppedSpeakingFrame",
                    )

        _twice(run)

    @rule
    def test_takes_it_back_when_the_caller_goes_on(self) -> None:
        """Whoever speaks again is not done; and the next end is proposed all the same."""

        async def run() -> None:
            async with self._talking() as call:
                _, fell = await self._says(call)
                await call.pauses(self.holds or 0.2, told=False)
                began, done = await call.speaks(self.speech(call.line.rate))
                early = [at for at in call.proposals if fell < at < began]
                over = [at for at in call.proposals if began + RESUMED < at < done - 0.1]
                if self.holds and early:
                    raise ContractBroken(
                        f"it proposed in a pause of {self.holds:g} s, which it claims to sit out",
                        "lower holds in the test, or wait longer",
                    )
                if over:
                    raise ContractBroken(
                        "it proposed the end while the caller, who had gone on, was speaking",
                        "cancel what was under way at VADUserStartedSpeakingFrame",
                    )
                count = len(call.proposals)
                await call.pauses(0.2)
                if not await call.waits(count + 1, call.plan.patience + _LATE):
                    raise ContractBroken(
                        "after the caller had paused and gone on, it never proposed again",
                        "begin anew at VADUserStartedSpeakingFrame and handle_user_turn_started()",
                    )

        _twice(run)

    @rule
    def test_survives_silence_noise_and_no_audio_at_all(self) -> None:
        """Without a caller there is no end of a turn, and afterwards it works as before."""

        async def run() -> None:
            async with self._talking() as call:
                rate = call.line.rate
                await call.pauses(0.6, told=False)
                if call.proposals:
                    raise ContractBroken(
                        "it proposed an end before anybody had spoken",
                        "propose only after VADUserStartedSpeakingFrame or a transcript",
                    )
                await call.line.hear(contract_line.noise(0.6, rate))
                await asyncio.sleep(0.5)  # the phone sends nothing: a line can do that
                await call.pauses(0.4, told=False)
                call.line.check()
                count = len(call.proposals)
                await self._says(call)
                if not await call.waits(count + 1, call.plan.patience + _LATE):
                    raise ContractBroken(
                        "after silence, noise and a line without audio it proposes no end any more",
                        "keep no state that only audio without a gap can mend",
                    )

        _twice(run)

    @rule
    def test_never_blocks_the_loop_over_20_ms(self) -> None:
        """All audio of all calls waits for the loop."""
        best = ("", 10.0)
        for _ in range(3):  # another process's turn on the CPU is not the plugin's fault
            best = min(best, asyncio.run(self._longest_step()), key=lambda one: one[1])
            if best[1] <= BLOCK:
                return
        raise ContractBroken(
            f"{best[0]} held the event loop for {best[1] * 1000:.0f} ms, in each of three calls",
            "run models and everything that waits in asyncio.to_thread()",
        )

    @rule
    def test_close_leaves_no_task_thread_or_socket(self) -> None:
        """A thousand calls a day must not be a thousand threads."""

        async def once() -> None:
            async with self._talking() as call:
                await call.line.hear(self.speech(call.line.rate)[: call.line.rate])
                await call.pauses(0.3)

        leaves_nothing(once)

    async def _longest_step(self) -> tuple[str, float]:
        steps = TimedSteps()
        async with self._talking(steps) as call:
            await self._says(call)
            await call.waits(1, call.plan.patience + _LATE)
        return steps.where, steps.longest

    async def _says(self, call: TurnCall) -> tuple[float, float]:
        await call.line.hear(contract_line.silence(0.2, call.line.rate))
        spoke = await call.speaks(self.speech(call.line.rate))
        await call.pauses(0.2)
        return spoke

    @asynccontextmanager
    async def _talking(self, steps: TimedSteps | None = None) -> AsyncIterator[TurnCall]:
        call = self._call()
        plan: TurnPlan = self._part().build(call)
        starts: list[Any] = [TranscriptionUserTurnStartStrategy()]
        if plan.vad is not None:
            starts.insert(0, VADUserTurnStartStrategy())
        if steps:
            steps.watch()
        pair = LLMContextAggregatorPair(
            LLMContext(),
            user_params=LLMUserAggregatorParams(
                vad_analyzer=plan.vad,
                user_turn_strategies=UserTurnStrategies(start=starts, stop=[plan.stop]),
                user_turn_stop_timeout=60,  # the detector's word is wanted, not the aggregator's
            ),
        )
        parts: list[FrameProcessor] = [*([plan.stt] if plan.stt else []), pair.user()]
        async with line(*parts, audio_in_rate=call.audio_in_rate) as made:
            talking = TurnCall(plan, made, contract_line.SAID)
            yield talking
            made.check()


def _twice(run: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Look again before a detector is found wrong: the machine may be busy with something else."""
    try:
        asyncio.run(run())
    except ContractBroken:
        asyncio.run(run())
