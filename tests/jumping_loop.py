"""What the event loops of the tests share: a clock that jumps to the next timer.

While a thread is at work for the loop it stands still.
"""

from __future__ import annotations

import asyncio
import selectors
from asyncio import Future
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


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
        self.busy: list[Callable[[], bool]] = []
        """Whether somebody computes on a thread of their own; the clock stands still, too."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0 or self.working or any(one() for one in self.busy):
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

    def run_in_executor(self, executor: Any, func: Callable[[*Ts], T], *args: *Ts) -> Future[T]:
        job = super().run_in_executor(executor, func, *args)
        self.jumping.working += 1
        job.add_done_callback(self._finished)
        return job

    def _finished(self, job: Future[Any]) -> None:
        self.jumping.working -= 1

    async def shutdown_default_executor(
        self,
        timeout: float | None = None,  # noqa: ASYNC109 - asyncio's own signature
    ) -> None:
        self.jumping.working += 1  # it waits for threads
        try:
            await super().shutdown_default_executor()
        finally:
            self.jumping.working -= 1
