"""An event loop on which a whole phone call passes in a moment, sockets included.

Its clock jumps to the next timer once nothing on any socket has moved for a millisecond. Both ends
of a loopback connection that live on this loop therefore see the same time, in which nobody is ever
late; what a call would have taken in real time has no part in it.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

T = TypeVar("T")

QUIET = 0.001
"""Seconds, real ones: the kernel has handed over by then what was written to a loopback socket."""


class _Selector(selectors.BaseSelector):
    def __init__(self) -> None:
        self._real = selectors.DefaultSelector()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return self._real.select(timeout)
        ready = self._real.select(QUIET)
        if not ready:
            self.now += timeout
        return ready

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def close(self) -> None:
        self._real.close()

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()


class LoopbackLoop(asyncio.SelectorEventLoop):
    """A selector loop whose clock jumps."""

    def __init__(self) -> None:
        self._selector_ = _Selector()
        super().__init__(self._selector_)

    def time(self) -> float:
        return self._selector_.now


def stall(seconds: float) -> None:
    """Let the machine do nothing for so long, as seen by the running loop."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, LoopbackLoop)
    loop._selector_.now += seconds


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on a loop of its own."""
    with asyncio.Runner(loop_factory=LoopbackLoop) as runner:
        return runner.run(main)
