"""An event loop on which a whole phone call passes in a moment, sockets included.

Its clock jumps to the next timer once nothing on any socket has moved for a millisecond. Both ends
of a loopback connection that live on this loop therefore see the same time, in which nobody is ever
late; what a call would have taken in real time has no part in it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from tests.jumping_loop import JumpingLoop

T = TypeVar("T")

QUIET = 0.001
"""Seconds, real ones: the kernel has handed over by then what was written to a loopback socket."""

UP = 1000.0
"""Seconds for which the machine has been up when such a loop begins."""


class LoopbackLoop(JumpingLoop):
    """A loop that waits for the kernel, and for nothing else."""

    quiet = QUIET


class ClockLoop(LoopbackLoop):
    """One whose clock is the process's while it is there: ``time.monotonic`` tells it, too."""

    def __init__(self) -> None:
        super().__init__()
        self._real = time.monotonic, time.monotonic_ns
        time.monotonic = lambda: UP + self.time()
        time.monotonic_ns = lambda: int((UP + self.time()) * 1e9)

    def close(self) -> None:
        super().close()
        time.monotonic, time.monotonic_ns = self._real


def stall(seconds: float) -> None:
    """Let the machine do nothing for so long, as seen by the running loop."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, LoopbackLoop)
    loop.jumping.now += seconds


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on a loop of its own."""
    with asyncio.Runner(loop_factory=LoopbackLoop) as runner:
        return runner.run(main)
