"""Rungs that say what a test wrote down for them, and a real pipeline to hear the ladder in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from pipecat.frames.frames import (
    CancelFrame,
    DataFrame,
    EndFrame,
    ErrorFrame,
    Frame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.workers.runner import WorkerRunner
from tipring.llm.ladder import LadderLLMService
from tipring.providers import End, RungEvent, TextDelta

HANG = float("inf")

Step = RungEvent | str | float | Exception
"""A token, an event, seconds of silence, or what is raised."""


ANSWER = "We open at nine. Shall I book a table? I can do that now."
SENTENCES = ["We open at nine.", "Shall I book a table?", "I can do that now."]


def ladder(*rungs: ScriptedRung, **kwargs: Any) -> LadderLLMService:
    named = [(chr(ord("a") + i), rung) for i, rung in enumerate(rungs)]
    return LadderLLMService(named, system="Be brief.", **kwargs)


def now() -> float:
    return asyncio.get_running_loop().time()


def says(text: str) -> list[Step]:
    """A whole answer, a word a token."""
    words = text.split(" ")
    tokens: list[Step] = [word if i == 0 else f" {word}" for i, word in enumerate(words)]
    return [*tokens, End()]


@dataclass
class ScriptedRung:
    """Plays one script a request; the last one again and again."""

    scripts: list[Sequence[Step]]
    contexts: list[LLMContext] = field(default_factory=list)
    systems: list[str] = field(default_factory=list)
    finished: int = 0
    closed: int = 0
    let_go: bool = False

    @property
    def asked(self) -> int:
        return len(self.contexts)

    async def stream(self, context: LLMContext, *, system: str) -> AsyncIterator[RungEvent]:
        script = self.scripts[min(self.asked, len(self.scripts) - 1)]
        self.contexts.append(context)
        self.systems.append(system)
        try:
            for step in script:
                if isinstance(step, str):
                    yield TextDelta(text=step)
                elif isinstance(step, float):
                    await (asyncio.Event().wait() if step == HANG else asyncio.sleep(step))
                elif isinstance(step, Exception):
                    raise step
                else:
                    yield step
            self.finished += 1
        finally:
            self.closed += 1

    async def aclose(self) -> None:
        self.let_go = True


class Ear(FrameProcessor):
    """Keeps what reaches it, and wakes whoever waits for something in it."""

    def __init__(self, direction: FrameDirection) -> None:
        super().__init__()
        self._direction = direction
        self._changed = asyncio.Event()
        self.frames: list[Frame] = []

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if direction is self._direction:
            self.frames.append(frame)
            self._changed.set()
        await self.push_frame(frame, direction)

    async def until(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    def of(self, kind: type[Frame]) -> list[Frame]:
        return [frame for frame in self.frames if isinstance(frame, kind)]


@dataclass
class Turned(DataFrame):
    """Comes out behind everything that the turn before it brought about."""


@dataclass
class Line:
    """A ladder in a running pipeline."""

    ladder: LadderLLMService
    worker: PipelineWorker
    below: Ear
    above: Ear
    events: list[tuple[str, ...]]

    async def send(self, frame: Frame) -> None:
        await self.worker.queue_frame(frame)

    async def ask(self, context: LLMContext | None = None) -> list[str]:
        """One turn: the sentences that were said, in order."""
        before = len(self.below.frames)
        turned = Turned()
        await self.send(LLMContextFrame(context=context or a_context()))
        await self.send(turned)
        await self.below.until(lambda: turned in self.below.frames)
        return [f.text for f in self.below.frames[before:] if isinstance(f, LLMTextFrame)]

    @property
    def said(self) -> list[str]:
        return [frame.text for frame in self.below.frames if isinstance(frame, LLMTextFrame)]

    @property
    def errors(self) -> list[ErrorFrame]:
        return [frame for frame in self.above.frames if isinstance(frame, ErrorFrame)]

    @property
    def responses(self) -> int:
        return len(self.below.of(LLMFullResponseStartFrame))

    def told(self, name: str) -> list[tuple[str, ...]]:
        return [event[1:] for event in self.events if event[0] == name]


def a_context() -> LLMContext:
    return LLMContext(messages=[{"role": "user", "content": "Hello?"}])


@asynccontextmanager
async def line(
    ladder: LadderLLMService,
    *behind: FrameProcessor,
    before: Sequence[FrameProcessor] = (),
    metrics: bool = False,
) -> AsyncIterator[Line]:
    """Run a pipeline of the ladder and what stands around it."""
    events: list[tuple[str, ...]] = []

    async def note_token(_: LadderLLMService, rung: str) -> None:
        events.append(("on_first_token", rung))

    async def note_used(_: LadderLLMService, rung: str) -> None:
        events.append(("on_rung_used", rung))

    async def note_failed(_: LadderLLMService, rung: str, error: str, moment: str) -> None:
        events.append(("on_rung_failed", rung, error, moment))

    async def note_exhausted(_: LadderLLMService) -> None:
        events.append(("on_exhausted",))

    ladder.add_event_handler("on_first_token", note_token)
    ladder.add_event_handler("on_rung_used", note_used)
    ladder.add_event_handler("on_rung_failed", note_failed)
    ladder.add_event_handler("on_exhausted", note_exhausted)

    above, below = Ear(FrameDirection.UPSTREAM), Ear(FrameDirection.DOWNSTREAM)
    worker = PipelineWorker(
        Pipeline([above, *before, ladder, below, *behind]),
        params=PipelineParams(enable_metrics=metrics, enable_usage_metrics=metrics),
        idle_timeout_secs=None,
        enable_rtvi=False,
    )
    started = asyncio.Event()

    async def on_started(_: PipelineWorker, __: Frame) -> None:
        started.set()

    worker.add_event_handler("on_pipeline_started", on_started)
    runner = WorkerRunner(handle_sigint=False, handle_sigterm=False)
    await runner.add_workers(worker)
    running = asyncio.create_task(runner.run())
    try:
        async with asyncio.timeout(30):
            await started.wait()
        yield Line(ladder, worker, below, above, events)
    finally:
        # Cancelled rather than ended, for a test may leave a rung hanging.
        await worker.queue_frame(EndFrame() if not _busy(below) else CancelFrame())
        async with asyncio.timeout(30):
            await running


def _busy(below: Ear) -> bool:
    started, ended = below.of(LLMFullResponseStartFrame), below.of(LLMFullResponseEndFrame)
    return len(started) > len(ended)
