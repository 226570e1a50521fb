"""Run somebody else's code with an end to one's patience.

A thread cannot be stopped, so what overstays is left behind on a daemon thread, which keeps
neither the caller nor the end of the process waiting.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Outcome(Generic[T]):
    """How it went.

    Attributes:
        value: What came back, when nothing was raised.
        error: What was raised, ``SystemExit`` among it; a :class:`Late` when time was up.
        seconds: How long it took.
    """

    value: T | None = None
    error: BaseException | None = None
    seconds: float = 0.0


class Late(Exception):
    """Time was up."""


def within(seconds: float, function: Callable[[], T]) -> Outcome[T]:
    """Call a function on a thread of its own and wait for it so many seconds."""
    try:
        return _start(function).result(seconds)
    except TimeoutError:
        return Outcome(error=Late(), seconds=seconds)


async def awithin(seconds: float, function: Callable[[], T]) -> Outcome[T]:
    """The same without holding up the event loop."""
    import asyncio  # whoever calls this has it; the command that lists plugins starts without

    try:
        async with asyncio.timeout(seconds):
            return await asyncio.wrap_future(_start(function))
    except TimeoutError:
        return Outcome(error=Late(), seconds=seconds)


def _start(function: Callable[[], T]) -> Future[Outcome[T]]:
    future: Future[Outcome[T]] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        began = time.perf_counter()
        try:
            outcome = Outcome(value=function(), seconds=time.perf_counter() - began)
        except BaseException as error:  # an exit asked for by a plugin must not pass for ours
            outcome = Outcome(error=error, seconds=time.perf_counter() - began)
        future.set_result(outcome)

    threading.Thread(target=run, name="tipring-timebox", daemon=True).start()
    return future
