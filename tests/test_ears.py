"""A transcriber that fails in mid-call, and the one that takes over from it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

import pytest
from pipecat.frames.frames import (
    CancelFrame,
    ErrorFrame,
    Frame,
    InputAudioRawFrame,
    InterimTranscriptionFrame,
    StartFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.settings import STTSettings
from pipecat.services.stt_service import STTService
from pipecat.workers.runner import WorkerRunner
from tipring.turns.ears import Ears

from tests.fast_loop import run_fast

WORDS = "zero one two three four five six seven eight nine ten eleven twelve thirteen".split()
RATE = 16000
SILENCE = len(WORDS)
WORD = 0.5


def sound(word: int) -> InputAudioRawFrame:
    """Half a second of audio that says which word it is."""
    return InputAudioRawFrame(bytes([word, 0]) * int(RATE * WORD), RATE, 1)


class Hears(STTService):
    """Knows each word by its sound; a silence makes them final.

    It stops making words of what it hears after so many, and fails after a few more.
    """

    def __init__(self, *, deaf_after: int = 1000, fails_after: int = 1000) -> None:
        super().__init__(settings=STTSettings(model="", language=None))
        self._deaf_after = deaf_after
        self._fails_after = fails_after
        self.heard: list[int] = []
        self.voices = 0
        self.cancelled = False
        self._guess: list[str] = []

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        self.voices += isinstance(frame, VADUserStartedSpeakingFrame)
        await super().process_frame(frame, direction)

    async def cancel(self, frame: CancelFrame) -> None:
        self.cancelled = True
        await super().cancel(frame)

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        self.heard.append(audio[0])
        count = len(self.heard)
        if count == self._fails_after:
            await self.fail()
        elif count <= self._deaf_after and audio[0] == SILENCE:
            guess, self._guess = self._guess, []
            yield TranscriptionFrame(" ".join(guess), "caller", "")
        elif count <= self._deaf_after:
            self._guess.append(WORDS[audio[0]])
            yield InterimTranscriptionFrame(" ".join(self._guess), "caller", "")
        yield None

    async def fail(self) -> None:
        """Make what there is final, as a careful service does, and give up."""
        if self._guess:
            await self.push_frame(TranscriptionFrame(" ".join(self._guess), "caller", ""))
        await self.push_error("it is over", force_treat_as_permanent=True)


class Fails(Hears):
    """Is never connected."""

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        await self.fail()


class Collects(FrameProcessor):
    def __init__(self) -> None:
        super().__init__()
        self.finals: list[str] = []
        self.starts = 0

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        self.starts += isinstance(frame, StartFrame)
        if isinstance(frame, TranscriptionFrame):
            self.finals.append(frame.text)
        await self.push_frame(frame, direction)


class Line:
    """A pipeline of ears, and what comes out of them."""

    def __init__(self, *hears: STTService, keep: float = 15.0) -> None:
        left = list(hears[1:])

        async def successor() -> STTService | None:
            return left.pop(0) if left else None

        self.ears = Ears(hears[0], successor=successor, keep=keep)
        self.out = Collects()
        self.errors = 0

    @property
    def words(self) -> list[str]:
        return " ".join(self.out.finals).split()

    async def play(self, sounds: Sequence[int | Frame]) -> None:
        worker = PipelineWorker(
            Pipeline([self.ears, self.out]), enable_rtvi=False, idle_timeout_secs=None
        )
        started = asyncio.Event()

        async def on_started(_: PipelineWorker, __: Frame) -> None:
            started.set()

        async def on_error(_: FrameProcessor, __: ErrorFrame) -> None:
            self.errors += 1

        worker.add_event_handler("on_pipeline_started", on_started)
        self.ears.add_event_handler("on_error", on_error)
        runner = WorkerRunner(handle_sigint=False, handle_sigterm=False)
        await runner.add_workers(worker)
        running = asyncio.create_task(runner.run())
        await started.wait()
        for one in sounds:
            if isinstance(one, Frame):
                await self.out.push_frame(one, FrameDirection.UPSTREAM)
            else:
                await worker.queue_frame(sound(one))
            await asyncio.sleep(WORD)
        await asyncio.sleep(5)
        await worker.queue_frame(CancelFrame())
        await running


def test_what_was_said_while_a_transcriber_died_is_heard_by_the_next_one() -> None:
    # Two words are final, two are a guess, and three fall on deaf ears.
    first, second = Hears(deaf_after=5, fails_after=8), Hears()
    line = Line(first, second)
    run_fast(line.play([0, 1, SILENCE, 2, 3, 4, 5, 6, 7, 8, SILENCE]))
    assert line.words == WORDS[:9]
    assert second.heard == [4, 5, 6, 7, 8, SILENCE]
    assert first.cancelled and line.errors == 0 and line.ears.is_usable


def test_a_transcriber_that_fails_at_once_is_passed_over() -> None:
    second = Hears()
    line = Line(Hears(fails_after=3), Fails(), second)
    run_fast(line.play([0, 1, 2, 3, SILENCE]))
    assert line.words == WORDS[:4]
    assert second.heard == [2, 3, SILENCE]
    assert line.ears.is_usable


def test_the_next_one_is_told_that_the_caller_is_speaking() -> None:
    second = Hears()
    line = Line(Hears(deaf_after=3, fails_after=5), second)
    run_fast(line.play([VADUserStartedSpeakingFrame(), 0, 1, 2, 3, 4, 5, SILENCE]))
    assert second.voices == 1
    assert line.words == WORDS[:6]


def test_only_so_much_audio_is_kept() -> None:
    second = Hears()
    line = Line(Hears(deaf_after=0, fails_after=10), second, keep=2.0)
    run_fast(line.play([*range(12), SILENCE]))
    assert second.heard == [6, 7, 8, 9, 10, 11, SILENCE]


def test_nobody_is_started_twice_and_the_pipeline_hears_of_one_start() -> None:
    line = Line(Hears(fails_after=2), Hears())
    run_fast(line.play([0, 1, SILENCE]))
    assert line.out.starts == 1


@pytest.mark.parametrize("hears", [1, 2])
def test_when_nobody_is_left_it_is_said(hears: int) -> None:
    line = Line(*(Hears(fails_after=2) for _ in range(hears)))
    run_fast(line.play([0, 1, 2, 3, 4, 5]))
    assert line.errors == 1
    assert not line.ears.is_usable
