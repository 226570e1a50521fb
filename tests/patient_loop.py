"""An event loop on which waiting takes no time, but for what threads compute.

Whenever nothing is ready and no executor is at work, its clock jumps to the next timer; while one
is, it stands still. A caller who speaks, a voice detector and a model on its thread meet as they
would in real time, and that takes as long as the computing does. Sockets keep real time, so it is
for plugins that have none.
"""

from __future__ import annotations

import asyncio
import selectors
import sys
from asyncio import Future
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, TypeVarTuple

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


class _Selector(selectors.BaseSelector):
    def __init__(self) -> None:
        self._real = selectors.DefaultSelector()
        self.now = 0.0
        self.working = 0  # jobs that threads have not finished

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0 or self.working:
            return self._real.select(timeout)
        if not (ready := self._real.select(0)):
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


class PatientLoop(asyncio.SelectorEventLoop):
    """A selector loop whose clock jumps when nobody computes."""

    def __init__(self) -> None:
        self._selector_ = _Selector()
        super().__init__(self._selector_)

    def time(self) -> float:
        return self._selector_.now

    def run_in_executor(self, executor: Any, func: Callable[[*Ts], T], *args: *Ts) -> Future[T]:
        job = super().run_in_executor(executor, func, *args)
        self._selector_.working += 1
        job.add_done_callback(self._finished)
        return job

    def _finished(self, job: Future[Any]) -> None:
        self._selector_.working -= 1

    async def shutdown_default_executor(
        self,
        timeout: float | None = None,  # noqa: ASYNC109 - asyncio's own signature
    ) -> None:
        self._selector_.working += 1  # it waits for threads
        try:
            await super().shutdown_default_executor()
        finally:
            self._selector_.working -= 1


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
