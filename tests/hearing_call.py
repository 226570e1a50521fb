"""A call reduced to its ears: a real pipeline around one hearing service, fed as by a phone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import numpy as np
from pipecat.audio.vad.vad_analyzer import VADAnalyzer, VADParams
from pipecat.frames.frames import (
    EndFrame,
    ErrorFrame,
    Frame,
    InputAudioRawFrame,
    InterimTranscriptionFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    LLMContextAggregatorPair,
    LLMUserAggregatorParams,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.stt_service import STTService
from pipecat.turns.user_start import TranscriptionUserTurnStartStrategy
from pipecat.turns.user_stop import BaseUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies
from pipecat.workers.runner import WorkerRunner

RATE = 16000
PIECE = 640  # 20 ms, as a phone sends it

T = TypeVar("T")
F = TypeVar("F", bound=Frame)


class Loudness(VADAnalyzer):
    """A voice detector by loudness: certain, and no model."""

    def __init__(self) -> None:
        super().__init__(
            params=VADParams(confidence=0.5, start_secs=0.1, stop_secs=0.2, min_volume=0.0)
        )

    def num_frames_required(self) -> int:
        return 320

    def voice_confidence(self, buffer: bytes) -> float:
        samples = np.frombuffer(buffer, "<i2").astype(np.float64)
        return 1.0 if np.sqrt(np.mean(samples * samples)) > 500 else 0.0


class _Ear(FrameProcessor):
    """Writes down what passes."""

    def __init__(self, call: HearingCall) -> None:
        super().__init__()
        self._call = call

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if not isinstance(frame, InputAudioRawFrame):
            self._call.note(frame, direction)
        await self.push_frame(frame, direction)


class HearingCall:
    """What a test does with the call, and what it sees of it."""

    def __init__(self, service: STTService) -> None:
        self.service = service
        self.frames: list[tuple[float, Frame]] = []
        self.worker: PipelineWorker | None = None
        self._changed = asyncio.Event()

    def note(self, frame: Frame, direction: FrameDirection) -> None:
        if direction is FrameDirection.DOWNSTREAM or isinstance(frame, ErrorFrame):
            self.frames.append((time.monotonic(), frame))
            self._changed.set()

    def seen(self, kind: type[F]) -> list[F]:
        """Every frame of a kind so far."""
        return [frame for _, frame in self.frames if isinstance(frame, kind)]

    @property
    def finals(self) -> list[str]:
        return [frame.text for frame in self.seen(TranscriptionFrame)]

    @property
    def interims(self) -> list[str]:
        return [frame.text for frame in self.seen(InterimTranscriptionFrame)]

    @property
    def words(self) -> list[str]:
        """Every word that was said to be final."""
        return " ".join(self.finals).split()

    @property
    def errors(self) -> list[str]:
        return [frame.error for frame in self.seen(ErrorFrame)]

    async def until(self, found: Callable[[], T], *, within: float = 10.0) -> T:
        """Wait until something holds of the frames."""
        async with asyncio.timeout(within):
            while not (result := found()):
                self._changed.clear()
                await self._changed.wait()
        return result

    async def put(self, *frames: Frame) -> None:
        assert self.worker is not None
        await self.worker.queue_frames(list(frames))

    async def say(self, pcm: bytes, *, pace: float = 4.0) -> None:
        """Let the phone send audio, so many times faster than a caller speaks."""
        began = time.monotonic()
        for n, at in enumerate(range(0, len(pcm), PIECE)):
            ahead = began + n * 0.02 / pace - time.monotonic()
            if ahead > 0:
                await asyncio.sleep(ahead)
            await self.put(InputAudioRawFrame(pcm[at : at + PIECE], RATE, 1))

    async def starts_to_speak(self) -> None:
        await self.put(VADUserStartedSpeakingFrame(start_secs=0.1))

    async def falls_silent(self) -> None:
        await self.put(VADUserStoppedSpeakingFrame(stop_secs=0.2))


@asynccontextmanager
async def hearing(
    service: STTService,
    *,
    vad: VADAnalyzer | None = None,
    stop: BaseUserTurnStopStrategy | None = None,
    strategies: UserTurnStrategies | None = None,
) -> AsyncIterator[HearingCall]:
    """Hold a call with this service; with ``stop``, a user aggregator as the host's follows it."""
    call = HearingCall(service)
    parts: list[FrameProcessor] = [_Ear(call), service, _Ear(call)]
    if stop is not None:
        strategies = UserTurnStrategies(start=[TranscriptionUserTurnStartStrategy()], stop=[stop])
    if strategies is not None:
        pair = LLMContextAggregatorPair(
            LLMContext(),
            user_params=LLMUserAggregatorParams(
                user_turn_strategies=strategies, vad_analyzer=vad, user_turn_stop_timeout=1.0
            ),
        )
        parts += [pair.user(), _Ear(call)]
    call.worker = PipelineWorker(
        Pipeline(parts),
        params=PipelineParams(audio_in_sample_rate=RATE, audio_out_sample_rate=8000),
        enable_rtvi=False,
        idle_timeout_secs=None,
    )
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(call.worker)
    running = asyncio.create_task(runner.run())
    try:
        yield call
    finally:
        await call.put(EndFrame())
        async with asyncio.timeout(10):
            await running
