"""An event loop on which waiting takes no time.

Whenever nothing is ready, its clock jumps to the next timer. Eight seconds of silence pass at once,
in the right order, and nothing in the code under test knows. Sockets and threads keep real time, so
it is for tests that have neither.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from tests.jumping_loop import JumpingLoop

T = TypeVar("T")


class FastLoop(JumpingLoop):
    """A loop that never waits."""


def run_fast(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on a loop of its own on which waiting takes no time."""
    with asyncio.Runner(loop_factory=FastLoop) as runner:
        return runner.run(main)
