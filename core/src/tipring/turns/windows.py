"""Silero on the windows of every call of the process, as many at once as are waiting.

A window of one call is 32 ms of sound. Its inference takes 0.3 ms between everything else that the
process does, most of them for fetching the model's weights from memory: eight windows at once take
0.8 ms. So those that come within half a window's time go together; a call that is alone is
served at once. A thread would cost more than it computes.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

log = logging.getLogger(__name__)

_CONTEXT = {16_000: 64, 8_000: 32}  # samples of the window before, which the model wants as well
_AT_ONCE = 16  # windows; more would hold up the event loop
_APART = 0.016  # seconds from one batch to the next


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
        session: Silero.
    """

    def __init__(self, session: Any) -> None:
        self._session = session
        self._loop = asyncio.get_running_loop()
        self._waiting: list[_Window] = []
        self._due: asyncio.TimerHandle | None = None
        self._last = 0.0

    def ask(self, memory: Memory, sound: bytes, rate: int) -> asyncio.Future[float]:
        """How sure the model is of a voice, 0 to 1.

        Args:
            memory: The call's. One window of a call is asked about at a time.
            sound: PCM16 mono: 512 samples at 16 kHz, or 256 at 8 kHz.
            rate: 16000 or 8000 Hz.
        """
        window = _Window(memory=memory, sound=sound, rate=rate, answer=self._loop.create_future())
        self._waiting.append(window)
        if self._due is None:
            self._due = self._loop.call_at(self._last + _APART, self._answer)
        return window.answer

    def _answer(self) -> None:
        self._due = None
        self._last = self._loop.time()
        waiting = [one for one in self._waiting if not one.answer.done()]
        batch = [one for one in waiting if one.rate == waiting[0].rate][:_AT_ONCE]
        self._waiting = [one for one in waiting if one not in batch]
        if self._waiting:
            self._due = self._loop.call_at(self._last, self._answer)
        if not batch:
            return
        try:
            answers = _run(self._session, batch, batch[0].rate)
        except Exception as error:
            # Not a voice, then; the transcriber's words still count.
            log.error("the voice detector's model failed", exc_info=error)
            answers = [0.0] * len(batch)
        for window, answer in zip(batch, answers, strict=True):
            window.answer.set_result(answer)


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


def windows(session: Any) -> Windows:
    """Those of the running loop."""
    loop = asyncio.get_running_loop()
    found = _windows.get(loop)
    if found is None:
        found = _windows[loop] = Windows(session)
    return found
