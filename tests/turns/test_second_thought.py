"""The first sound of an answer waits for a caller who goes on in that moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager

import numpy as np
import pytest
from pipecat.audio.vad.vad_analyzer import VADAnalyzer
from pipecat.frames.frames import (
    CancelFrame,
    Frame,
    InputAudioRawFrame,
    InterruptionFrame,
    TTSAudioRawFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.frame_processor import FrameDirection
from pipecat.workers.runner import WorkerRunner
from tipring.turns.floor import Floor
from tipring.turns.nearness import Nearness
from tipring.turns.second_thought import SecondThought

from tests.fast_loop import run_fast
from tests.scripted_rungs import Ear, now


class Stirring(VADAnalyzer):
    """A voice detector that hears what the test says."""

    stirring = False

    def num_frames_required(self) -> int:
        return 256

    def voice_confidence(self, buffer: bytes) -> float:
        return 0.0


class Phone:
    """The rule alone in a pipeline: when each piece of the answer left."""

    def __init__(self, floor: Floor) -> None:
        self.floor = floor
        self.vad = Stirring()
        self.nearness = Nearness(floor=floor)
        self.ear = Ear(FrameDirection.DOWNSTREAM)
        self.worker = PipelineWorker(
            Pipeline(
                [SecondThought(floor, vad=self.vad, nearness=self.nearness), self.ear],
            ),
            enable_rtvi=False,
            enable_turn_tracking=False,
            idle_timeout_secs=None,
        )

    @asynccontextmanager
    async def line(self) -> AsyncIterator[None]:
        started = asyncio.Event()

        async def on_started(_: PipelineWorker, __: Frame) -> None:
            started.set()

        self.worker.add_event_handler("on_pipeline_started", on_started)
        runner = WorkerRunner(handle_sigint=False, handle_sigterm=False)
        await runner.add_workers(self.worker)
        running = asyncio.create_task(runner.run())
        await started.wait()
        try:
            yield
        finally:
            await self.worker.queue_frame(CancelFrame())
            await running

    async def hears(self, seconds: float, decibels: float) -> None:
        """Sound comes from the phone."""
        sound = np.random.default_rng(1).normal(
            0, 32768 * 10 ** (decibels / 20), round(seconds * 8000)
        )
        pieces = sound.clip(-32768, 32767).astype(np.int16).reshape(-1, 160)
        for piece in pieces:
            await self.nearness.process_frame(InputAudioRawFrame(piece.tobytes(), 8000, 1))

    async def answer(self, pieces: int = 1) -> None:
        for _ in range(pieces):
            await self.worker.queue_frame(TTSAudioRawFrame(bytes(640), 8000, 1))

    def left(self) -> int:
        return len(self.ear.of(TTSAudioRawFrame))

    async def leaves(self, pieces: int) -> float:
        """Seconds until so many pieces have left."""
        began = now()
        await self.ear.until(lambda: self.left() >= pieces)
        return now() - began


def on_the_phone(floor: Floor, play: Callable[[Phone], Coroutine[None, None, None]]) -> None:
    async def main() -> None:
        phone = Phone(floor)
        async with phone.line():
            await play(phone)

    run_fast(main())


@pytest.mark.parametrize(
    "floor",
    [
        Floor(answer_owed=True),  # the caller is silent
        Floor(caller_speaking=True),  # no answer: a nudge, a greeting
        Floor(answer_owed=True, agent_audible=True, caller_speaking=True),  # it is heard already
    ],
)
def test_what_nobody_talks_into_leaves_at_once(floor: Floor) -> None:
    async def play(phone: Phone) -> None:
        await phone.answer(3)
        assert await phone.leaves(3) < 0.001

    on_the_phone(floor, play)


def test_an_answer_that_the_caller_takes_back_in_that_moment_is_never_heard() -> None:
    async def play(phone: Phone) -> None:
        await phone.answer(3)
        await asyncio.sleep(0.3)
        assert phone.left() == 0
        await phone.worker.queue_frame(InterruptionFrame())
        await asyncio.sleep(5)
        assert phone.left() == 0
        # The next one waits in its own right.
        await phone.answer()
        assert await phone.leaves(1) == pytest.approx(0.5, abs=0.03)

    on_the_phone(Floor(answer_owed=True, caller_speaking=True), play)


def test_a_cough_keeps_the_answer_back_only_while_it_lasts() -> None:
    async def play(phone: Phone) -> None:
        asyncio.get_running_loop().call_later(
            0.2, lambda: setattr(phone.floor, "caller_speaking", False)
        )
        await phone.answer(3)
        assert await phone.leaves(3) == pytest.approx(0.2, abs=0.03)

    on_the_phone(Floor(answer_owed=True, caller_speaking=True), play)


def test_a_noise_that_does_not_end_keeps_an_answer_back_once_and_not_for_long() -> None:
    async def play(phone: Phone) -> None:
        await phone.answer(3)
        assert await phone.leaves(3) == pytest.approx(0.5, abs=0.03)
        phone.floor.agent_audible = True
        await phone.answer()
        await phone.leaves(4)
        phone.floor.agent_audible = False
        await phone.answer()  # another answer
        assert await phone.leaves(5) == pytest.approx(0.5, abs=0.03)

    on_the_phone(Floor(answer_owed=True, caller_speaking=True), play)


def test_the_first_hint_of_a_voice_keeps_the_answer_back_until_it_is_one_or_gone() -> None:
    async def play(phone: Phone) -> None:
        phone.vad.stirring = True
        asyncio.get_running_loop().call_later(0.06, lambda: setattr(phone.vad, "stirring", False))
        await phone.answer(3)
        assert await phone.leaves(3) == pytest.approx(0.06, abs=0.03)

    on_the_phone(Floor(answer_owed=True), play)


@pytest.mark.parametrize(("level", "waits"), [(-22.0, 0.5), (-36.0, 0.0)])
def test_a_voice_in_the_room_keeps_no_answer_back(level: float, waits: float) -> None:
    async def play(phone: Phone) -> None:
        phone.floor.answer_owed, phone.floor.caller_speaking = False, True
        await phone.hears(3.0, -22.0)  # the caller, by whom the room is measured
        phone.floor.answer_owed = True
        await phone.hears(0.3, level)
        await phone.answer(3)
        assert await phone.leaves(3) == pytest.approx(waits, abs=0.03)

    on_the_phone(Floor(), play)
