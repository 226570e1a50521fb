"""A call reduced to the part under test: a real pipeline, its frames written down as they pass."""

from __future__ import annotations

import asyncio
import functools
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any, TypeVar

import numpy as np
import soundfile
from pipecat.frames.frames import EndFrame, ErrorFrame, Frame, InputAudioRawFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.workers.runner import WorkerRunner

from tipring.testing.contract import ContractBroken

resource: Any
try:
    import resource
except ImportError:  # Windows has none
    resource = None

F = TypeVar("F", bound=Frame)
T = TypeVar("T")

SAID = "I would like to book a cleaning on Tuesday."
"""What is said in the kit's piece of speech."""

STEP = 0.02
"""Seconds of audio in a frame, as a phone sends it."""


def now() -> float:
    """Seconds on the clock of the event loop, by which callers speak and rules wait."""
    return asyncio.get_running_loop().time()


@functools.cache
def speech(rate: int) -> bytes:
    """A caller saying :data:`SAID`, as a phone line carries it: PCM16 mono.

    Args:
        rate: Hz, 8000 or 16000.
    """
    with (files("tipring.testing") / "contract_speech.flac").open("rb") as file:
        samples, recorded = soundfile.read(file, dtype="int16")
    if rate not in (recorded, recorded // 2):
        raise ValueError(f"the kit has speech at 8000 and 16000 Hz, not at {rate}")
    # Nothing above 4 kHz is in it, so every second sample is the same speech.
    pcm: bytes = samples[:: recorded // rate].astype("<i2").tobytes()
    return pcm


def silence(seconds: float, rate: int) -> bytes:
    """A line on which nobody speaks: a little hiss, as lines have."""
    return _hiss(seconds, rate, 3)


def noise(seconds: float, rate: int) -> bytes:
    """A line with a noise on it, at about -36 dBFS."""
    return _hiss(seconds, rate, 500)


def _hiss(seconds: float, rate: int, loudness: float) -> bytes:
    samples = np.random.default_rng(1).normal(0, loudness, int(seconds * rate))
    return samples.astype("<i2").tobytes()


class _Ear(FrameProcessor):
    def __init__(self, note: Callable[[Frame, FrameDirection], None]) -> None:
        super().__init__()
        self._note = note

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        self._note(frame, direction)
        await self.push_frame(frame, direction)


class Line:
    """What a rule does with the pipeline, and what it sees of it.

    Args:
        parts: The processors.
        audio_in_rate: Hz of the caller's audio.
        audio_out_rate: Hz of the agent's.
    """

    def __init__(
        self, parts: list[FrameProcessor], *, audio_in_rate: int, audio_out_rate: int
    ) -> None:
        self.rate = audio_in_rate
        self.frames: list[tuple[float, Frame]] = []
        self._changed = asyncio.Event()
        self._worker = PipelineWorker(
            Pipeline([_Ear(self._note_error), *parts, _Ear(self._note)]),
            params=PipelineParams(
                audio_in_sample_rate=audio_in_rate, audio_out_sample_rate=audio_out_rate
            ),
            enable_rtvi=False,
            enable_turn_tracking=False,
            idle_timeout_secs=None,
        )

    def _note(self, frame: Frame, direction: FrameDirection) -> None:
        if not isinstance(frame, InputAudioRawFrame) and direction is FrameDirection.DOWNSTREAM:
            self.note(frame)

    def _note_error(self, frame: Frame, direction: FrameDirection) -> None:
        if isinstance(frame, ErrorFrame):
            self.note(frame)

    def note(self, frame: Frame) -> None:
        """Write a frame down."""
        self.frames.append((now(), frame))
        self._changed.set()

    def wake(self) -> None:
        """Say that something has changed which :meth:`until` waits for."""
        self._changed.set()

    def seen(self, kind: type[F]) -> list[F]:
        """Every frame of a kind so far."""
        return [frame for _, frame in self.frames if isinstance(frame, kind)]

    async def put(self, *frames: Frame) -> None:
        """Send frames in at the head of the pipeline."""
        await self._worker.queue_frames(list(frames))

    async def hear(self, pcm: bytes) -> None:
        """Let the phone send audio, as fast as a caller speaks."""
        size, began = int(self.rate * STEP) * 2, now()
        for number, at in enumerate(range(0, len(pcm), size)):
            await asyncio.sleep(max(0.0, began + number * STEP - now()))
            await self.put(InputAudioRawFrame(pcm[at : at + size], self.rate, 1))

    async def until(self, found: Callable[[], T], seconds: float) -> T:
        """Wait until something holds of what was seen; after so many seconds, give it as it is."""
        try:
            async with asyncio.timeout(seconds):
                while not (result := found()):
                    self._changed.clear()
                    await self._changed.wait()
            return result
        except TimeoutError:
            return found()

    def check(self) -> None:
        """Raise what went wrong in the pipeline.

        Raises:
            ContractBroken: An error was pushed.
        """
        if errors := self.seen(ErrorFrame):
            raise ContractBroken(
                f"it failed in the pipeline: {errors[0].error[:300]}",
                "handle it in the plugin: in a call this would be a part that is gone",
            )


@asynccontextmanager
async def line(
    *parts: FrameProcessor, audio_in_rate: int = 16000, audio_out_rate: int = 8000
) -> AsyncIterator[Line]:
    """Run a pipeline of these parts to its end.

    Raises:
        ContractBroken: It does not end within 10 s of being told to.
    """
    made = Line(list(parts), audio_in_rate=audio_in_rate, audio_out_rate=audio_out_rate)
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(made._worker)
    running = asyncio.create_task(runner.run())
    try:
        yield made
    finally:
        await made.put(EndFrame())
        done, _ = await asyncio.wait({running}, timeout=10)
        if not done:
            await runner.cancel()
            await asyncio.wait({running}, timeout=5)
    if not done:
        raise ContractBroken(
            "it did not end within 10 s of the end of the call",
            "pass EndFrame on, and end your own tasks in cleanup()",
        )
    await running


def leaves_nothing(once: Callable[[], Awaitable[None]]) -> None:
    """Hold a short call three times; the last two must leave nothing that the first had not.

    Args:
        once: The call.

    Raises:
        ContractBroken: A task, a thread or a socket is left.
    """

    async def run() -> None:
        await once()  # what the process keeps is there from now on
        before = _left()
        await once()
        await once()
        for _ in range(150):  # 3 s; nobody says when a thread or a socket is gone
            if not (more := _more(before, _left())):
                return
            # Threads go by the clock on the wall, tasks by that of the loop.
            await asyncio.gather(asyncio.sleep(0.02), asyncio.to_thread(time.sleep, 0.02))
        raise ContractBroken(
            f"after two more calls {more} left open",
            "cancel tasks, join threads and close connections in cleanup() or aclose()",
        )

    asyncio.run(run())


def _left() -> dict[str, int]:
    return {
        "task": len(asyncio.all_tasks()),
        # asyncio's own pool grows to its size and stays.
        "thread": sum(not t.name.startswith("asyncio_") for t in threading.enumerate()),
        "socket": _sockets(),
    }


def _more(before: dict[str, int], now: dict[str, int]) -> str:
    more = {what: now[what] - count for what, count in before.items() if now[what] - count >= 2}
    return " and ".join(f"{count} {what}s are" for what, count in more.items())


def _sockets() -> int:
    count, folder = 0, "/proc/self/fd"
    if os.path.isdir(folder):
        for name in os.listdir(folder):
            try:
                count += os.readlink(f"{folder}/{name}").startswith("socket:")
            except OSError:
                continue  # the descriptor with which the folder was read
    return count


class TimedSteps:
    """Times every step that tasks take on the event loop from now on.

    Attributes:
        longest: Seconds of the longest step.
        where: Whose it was.
    """

    def __init__(self) -> None:
        self.longest = 0.0
        self.where = ""

    def watch(self) -> None:
        """Begin, on the loop that runs."""
        asyncio.get_running_loop().set_task_factory(self._task)

    def _task(self, loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> Any:
        return asyncio.Task(self._timed(coro), loop=loop, **options)

    async def _timed(self, coro: Any) -> Any:
        return await _Steps(coro, self)


class _Watch:
    """How long a step has held the loop: other processes' turns on the CPU are left out."""

    def __init__(self) -> None:
        self._wall = time.perf_counter()
        self._cpu = time.thread_time()
        self._waits = _waits()

    def held(self) -> float:
        """Seconds: all of them if the thread waited for something, its CPU's if it never did."""
        if (waits := _waits()) is not None and waits == self._waits:
            return time.thread_time() - self._cpu
        return time.perf_counter() - self._wall


def _waits() -> int | None:
    """How often this thread gave up the CPU of itself, where the system counts that."""
    if resource is None or sys.platform != "linux":
        return None
    count: int = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
    return count


class _Steps:
    """Awaits a coroutine step by step, with a watch in hand."""

    def __init__(self, coro: Any, steps: TimedSteps) -> None:
        self._coro = coro
        self._steps = steps

    def __await__(self) -> Any:
        send: Any = None
        throw: BaseException | None = None
        while True:
            watch = _Watch()
            try:
                waits = self._coro.throw(throw) if throw else self._coro.send(send)
            except StopIteration as done:
                return done.value
            finally:
                self._took(watch.held())
            send = throw = None
            try:
                send = yield waits
            except GeneratorExit:
                self._coro.close()
                raise
            except BaseException as error:  # a cancellation is the coroutine's to handle
                throw = error

    def _took(self, seconds: float) -> None:
        if seconds > self._steps.longest:
            self._steps.longest = seconds
            self._steps.where = getattr(self._coro, "__qualname__", "a task")
