"""An event loop on which a whole phone call passes in a moment, sockets included.

Its clock jumps to the next timer once nothing on any socket has moved for a millisecond. Both ends
of a loopback connection that live on this loop therefore see the same time, in which nobody is ever
late; what a call would have taken in real time has no part in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from tests.jumping_loop import JumpingLoop

T = TypeVar("T")

QUIET = 0.001
"""Seconds, real ones: the kernel has handed over by then what was written to a loopback socket."""


class LoopbackLoop(JumpingLoop):
    """A loop that waits for the kernel, and for nothing else."""

    quiet = QUIET


def stall(seconds: float) -> None:
    """Let the machine do nothing for so long, as seen by the running loop."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, LoopbackLoop)
    loop.jumping.now += seconds


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on a loop of its own."""
    with asyncio.Runner(loop_factory=LoopbackLoop) as runner:
        return runner.run(main)
