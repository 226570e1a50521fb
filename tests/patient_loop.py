"""An event loop on which waiting takes no time, but for what threads compute.

Whenever nothing is ready and no executor is at work, its clock jumps to the next timer; while one
is, it stands still. A caller who speaks, a voice detector and a model on its thread meet as they
would in real time, and that takes as long as the computing does. Sockets keep real time, so it is
for plugins that have none.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.jumping_loop import JumpingLoop

_LAUNCH = """
import runpy, sys
sys.path.insert(0, {root!r})
from tests.patient_loop import PatientPolicy
sys.path.remove({root!r})
import asyncio
asyncio.set_event_loop_policy(PatientPolicy())
sys.argv[:] = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


class PatientLoop(JumpingLoop):
    """A loop whose clock jumps when nobody computes."""


class PatientPolicy(asyncio.DefaultEventLoopPolicy):
    """Gives every ``asyncio.run()`` such a loop."""

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        return PatientLoop()


@contextmanager
def patient() -> Iterator[None]:
    """Let every ``asyncio.run()`` in the block have such a loop."""
    before = asyncio.get_event_loop_policy()
    asyncio.set_event_loop_policy(PatientPolicy())
    try:
        yield
    finally:
        asyncio.set_event_loop_policy(before)


def command(module: str, *arguments: str) -> list[str]:
    """What runs a module as a command, as ``python -m`` does, on such a loop."""
    launch = _LAUNCH.format(root=str(Path(__file__).parents[1]))
    return [sys.executable, "-c", launch, module, *arguments]
