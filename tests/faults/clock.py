"""A process on a clock of its own: whole calls, with sockets and threads, as fast as they can be.

Nobody in such a call is ever late, however busy the machine is, and a silence of three seconds is
three seconds in the call and nothing on the wall. Installed before anything else is imported, so
that everybody reads the same clock: ``time.monotonic``, ``time.time`` and the event loop's.
"""

from __future__ import annotations

import asyncio
import contextlib
import selectors
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any, TypeVar

T = TypeVar("T")

QUIET = 0.0005
"""Seconds, real ones: the kernel has handed over by then what was written to a loopback socket."""

_EPOCH = time.time()


class Clock:
    """Seconds that pass when somebody says so.

    Attributes:
        now: Seconds since the process began.
        busy: How many threads are at work for the loop; while one is, time stands still.
        real: Whether time passes by itself, as it must while the network beyond is waited for.
    """

    def __init__(self) -> None:
        self.now = 1000.0
        self.busy = 0
        self.real = True

    def install(self) -> None:
        """Make this the process's clock."""
        time.monotonic = lambda: self.now
        time.monotonic_ns = lambda: int(self.now * 1e9)
        time.time = lambda: _EPOCH + self.now


CLOCK = Clock()


class _Selector(selectors.BaseSelector):
    def __init__(self) -> None:
        self._real = selectors.DefaultSelector()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return self._real.select(timeout)
        if CLOCK.real or CLOCK.busy:
            began = time.perf_counter()
            # A thread that is done wakes the loop through its socket.
            ready = self._real.select(timeout if CLOCK.real else 1.0)
            if CLOCK.real:
                CLOCK.now += time.perf_counter() - began
            return ready
        ready = self._real.select(QUIET)
        if not ready:
            CLOCK.now += timeout
        return ready

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def close(self) -> None:
        self._real.close()

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        super().__init__(_Selector())

    def time(self) -> float:
        return CLOCK.now

    def run_in_executor(  # type: ignore[override]  # the same, said more loosely
        self, executor: Any, func: Callable[..., T], *args: Any
    ) -> Any:
        future = super().run_in_executor(executor, func, *args)
        CLOCK.busy += 1
        future.add_done_callback(_done)
        return future


def _done(_: object) -> None:
    CLOCK.busy -= 1


@contextlib.contextmanager
def jumping() -> Iterator[None]:
    """Let time jump inside the block."""
    CLOCK.real = False
    try:
        yield
    finally:
        CLOCK.real = True


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a loop with this clock."""
    assert threading.current_thread() is threading.main_thread()
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(main)
