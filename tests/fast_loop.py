"""An event loop on which waiting takes no time.

Whenever nothing is ready, its clock jumps to the next timer. Eight seconds of silence pass at once,
in the right order, and nothing in the code under test knows. Sockets and threads keep real time, so
it is for tests that have neither.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

T = TypeVar("T")


class _Jumping(selectors.BaseSelector):
    """A selector that skips the wait and tells its loop how much time has passed."""

    def __init__(self) -> None:
        self._real = selectors.DefaultSelector()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = self._real.select(None if timeout is None else 0)
        if not ready and timeout is not None and timeout > 0:
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


class FastLoop(asyncio.SelectorEventLoop):
    """A selector loop whose clock is the jumping selector's."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def run_fast(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on a loop of its own on which waiting takes no time."""
    with asyncio.Runner(loop_factory=FastLoop) as runner:
        return runner.run(main)
