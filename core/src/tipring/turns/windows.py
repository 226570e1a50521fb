"""Silero on the windows of every call of the process, as many at once as are waiting.

A window of one call is 32 ms and its inference a tenth of a millisecond; sending it to a thread
costs as much again. So a thread takes all that wait when it is free: a single call is served at
once, and the more calls there are, the less each costs (measured: eight windows in the time of
four).
"""

from __future__ import annotations

import asyncio
import functools
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

log = logging.getLogger(__name__)

_CONTEXT = {16_000: 64, 8_000: 32}  # samples of the window before, which the model wants as well
_AT_ONCE = 16  # windows; more would only make the first of them wait


class Memory:
    """What the model knows of one call: nothing, until it has heard a window."""

    def __init__(self) -> None:
        self.reset_states()

    def reset_states(self) -> None:
        """Forget everything, as Pipecat asks of the model now and then."""
        self.state = np.zeros((2, 1, 128), np.float32)
        self.context = np.zeros(64, np.float32)


@dataclass(frozen=True, kw_only=True)
class _Window:
    memory: Memory
    sound: bytes
    rate: int
    answer: asyncio.Future[float]


class Windows:
    """The windows that wait on one event loop.

    Args:
        session: Silero, which may be run from any thread.
        threads: Where it runs.
    """

    def __init__(self, session: Any, threads: ThreadPoolExecutor) -> None:
        self._session = session
        self._threads = threads
        self._loop = asyncio.get_running_loop()
        self._waiting: list[_Window] = []
        self._busy = False

    def ask(self, memory: Memory, sound: bytes, rate: int) -> asyncio.Future[float]:
        """How sure the model is of a voice, 0 to 1.

        Args:
            memory: The call's. One window of a call is asked about at a time.
            sound: PCM16 mono: 512 samples at 16 kHz, or 256 at 8 kHz.
            rate: 16000 or 8000 Hz.
        """
        window = _Window(memory=memory, sound=sound, rate=rate, answer=self._loop.create_future())
        self._waiting.append(window)
        if not self._busy:
            self._busy = True
            # Not yet: calls whose audio comes in the same moment go together.
            self._loop.call_soon(self._next)
        return window.answer

    def _next(self) -> None:
        self._waiting = [one for one in self._waiting if not one.answer.done()]
        if not self._waiting:
            self._busy = False
            return
        rate = self._waiting[0].rate
        batch = [one for one in self._waiting if one.rate == rate][:_AT_ONCE]
        self._waiting = [one for one in self._waiting if one not in batch]
        job = self._loop.run_in_executor(self._threads, _run, self._session, batch, rate)
        job.add_done_callback(functools.partial(self._tell, batch))

    def _tell(self, batch: list[_Window], job: asyncio.Future[list[float]]) -> None:
        if job.cancelled():
            return
        if error := job.exception():
            # Not a voice, then; the transcriber's words still count.
            log.error("the voice detector's model failed", exc_info=error)
        answers = [0.0] * len(batch) if error else job.result()
        for window, answer in zip(batch, answers, strict=True):
            if not window.answer.done():
                window.answer.set_result(answer)
        self._next()


def _run(session: Any, batch: list[_Window], rate: int) -> list[float]:
    """Run the model once for a batch, and keep what it remembers of each call."""
    context = _CONTEXT[rate]
    sound: npt.NDArray[np.float32] = np.empty((len(batch), context + rate * 32 // 1000), np.float32)
    for row, window in zip(sound, batch, strict=True):
        row[:context] = window.memory.context[-context:]
        np.multiply(np.frombuffer(window.sound, np.int16), np.float32(1 / 32768), row[context:])
    state = np.concatenate([window.memory.state for window in batch], axis=1)
    inputs = {"input": sound, "state": state, "sr": np.array(rate, np.int64)}
    voice, state = session.run(None, inputs)
    for place, window in enumerate(batch):
        window.memory.state = state[:, place : place + 1]
        window.memory.context = sound[place, -64:].copy()
    return [float(one) for one in voice[:, 0]]


_windows: WeakKeyDictionary[asyncio.AbstractEventLoop, Windows] = WeakKeyDictionary()


def windows(session: Any, threads: ThreadPoolExecutor) -> Windows:
    """Those of the running loop."""
    loop = asyncio.get_running_loop()
    found = _windows.get(loop)
    if found is None:
        found = _windows[loop] = Windows(session, threads)
    return found
