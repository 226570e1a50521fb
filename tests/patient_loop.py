"""An event loop on which waiting takes no time, but for what threads compute.

Whenever nothing is ready and no executor is at work, its clock jumps to the next timer; while one
is, it stands still. A caller who speaks, a voice detector and a model on its thread meet as they
would in real time, and that takes as long as the computing does. Sockets keep real time, so it is
for plugins that have none.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio import Future
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, TypeVarTuple

from tests.jumping_loop import JumpingLoop

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

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
