"""Timers by name, each of which can be set anew or stopped without waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

Then = Callable[[], Awaitable[None]]
Spawn = Callable[[Coroutine[Any, Any, None], str], "asyncio.Task[None]"]


class Timers:
    """The timers of one rule.

    Nothing here yields to the loop, so that a decision and the timers that belong to it change
    together; Pipecat feeds a strategy from several tasks at once. A timer that has gone off is no
    longer under its name and finishes what it began.

    Args:
        spawn: Makes a task with a name.
    """

    def __init__(self, spawn: Spawn) -> None:
        self._spawn = spawn
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def running(self) -> frozenset[str]:
        """The names of those that have not gone off yet."""
        return frozenset(self._tasks)

    def start(self, name: str, after: float, then: Then) -> None:
        """Start a timer, in the place of the one of that name.

        Args:
            name: What it is for.
            after: Seconds.
            then: What happens when it goes off.
        """
        self.stop(name)

        async def run() -> None:
            await asyncio.sleep(max(0.0, after))
            del self._tasks[name]
            await then()

        self._tasks[name] = self._spawn(run(), f"timer {name}")

    def stop(self, name: str) -> None:
        """Stop the timer of that name, if there is one."""
        if task := self._tasks.pop(name, None):
            task.cancel()

    def stop_all(self) -> None:
        """Stop every timer."""
        for name in list(self._tasks):
            self.stop(name)
