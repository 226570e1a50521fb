"""What the event loops of the tests share: a clock that jumps to the next timer."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Mapping
from typing import Any


class JumpingSelector(selectors.BaseSelector):
    """A selector that skips the wait and tells its loop how much time has passed.

    Args:
        quiet: Real seconds for which nothing must have moved before the clock jumps.
    """

    def __init__(self, quiet: float = 0.0) -> None:
        self._real = selectors.DefaultSelector()
        self._quiet = quiet
        self.now = 0.0
        self.working = 0
        """Jobs that are not finished, for which the clock stands still."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0 or self.working:
            return self._real.select(timeout)
        if not (ready := self._real.select(self._quiet)):
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


class JumpingLoop(asyncio.SelectorEventLoop):
    """A selector loop whose clock is its selector's."""

    quiet = 0.0

    def __init__(self) -> None:
        self.jumping = JumpingSelector(self.quiet)
        super().__init__(self.jumping)

    def time(self) -> float:
        return self.jumping.now
