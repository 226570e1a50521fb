"""A plugin's stop strategy, run in a task of its own so that it can hold nothing up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol

from pipecat.frames.frames import Frame
from pipecat.processors.frame_processor import FrameDirection, FrameProcessorSetup
from pipecat.turns.types import UserTurnSpeculation
from pipecat.turns.user_stop import BaseUserTurnStopStrategy, UserTurnStoppedParams

from tipring.providers import TurnPlan

if TYPE_CHECKING:
    from tipring.turns.court import Court

log = logging.getLogger(__name__)

# 10 s of 20 ms frames: a detector this far behind is not coming back in time for anybody.
_BACKLOG = 500
_STRIKES = 3

Step = Callable[[], Awaitable[Any]]


class Listener(Protocol):
    """Who is told what the detector says: the court."""

    async def proposed(self, by: str) -> None:
        """The detector says that the caller is done."""
        ...

    async def speculated(self, by: str, text: str) -> None:
        """The detector thinks that the caller may be done."""
        ...

    async def withdrew(self, by: str) -> None:
        """The detector takes that back."""
        ...

    async def detector_failed(self, by: str, error: str) -> None:
        """The detector raised, or hung."""
        ...


class Detector:
    """Feeds a stop strategy and reports what it proposes.

    In Pipecat a strategy is awaited in the path of the frames, so one that hangs stops the call
    from hearing, and one that raises loses the frame. Here frames are queued for it.

    Attributes:
        name: As it stands in the config.
        patience: Seconds of silence after which it should have proposed.
        failed: Whether it has failed in this turn.

    Args:
        plan: What the plugin brought.
        name: As it stands in the config.
        court: Who listens.
        hang: Seconds one frame may take.
    """

    def __init__(self, plan: TurnPlan, *, name: str, court: Court, hang: float = 1.0) -> None:
        self.name = name
        self.patience = plan.patience
        self.failed = False
        self._doubt = plan.doubt
        self._strategy = plan.stop
        self._court = court
        self._hang = hang
        self._steps: asyncio.Queue[Step] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._busy_since: float | None = None
        self._strikes = 0

    @property
    def doubt(self) -> float | None:
        """How much it doubts its last proposal, 0 to 1; None for one that cannot tell."""
        return self._doubt() if self._doubt else None

    @property
    def retired(self) -> bool:
        """Whether it failed so often that it is no longer asked in this call."""
        return self._strikes >= _STRIKES

    @property
    def stuck(self) -> bool:
        """Whether it has been at one frame for too long."""
        if self._busy_since is None:
            return False
        return asyncio.get_running_loop().time() - self._busy_since >= self._hang

    async def setup(self, setup: FrameProcessorSetup) -> None:
        """Set the strategy up and begin to feed it."""
        await self._strategy.setup(setup)
        handlers: dict[str, Callable[..., Awaitable[None]]] = {
            "on_user_turn_stopped": self._on_stopped,
            "on_user_turn_inference_triggered": self._on_inference,
            "on_user_turn_speculation_cancelled": self._on_cancelled,
            "on_push_frame": self._on_push,
            "on_broadcast_frame": self._on_broadcast,
        }
        for event, handler in handlers.items():
            self._strategy.add_event_handler(event, handler)
        self._start()

    async def cleanup(self) -> None:
        """Stop feeding it and let it go."""
        await self._stop()
        await self._strategy.cleanup()

    def hear(self, frame: Frame) -> None:
        """Queue a frame for it."""
        self._queue(lambda: self._strategy.process_frame(frame))

    def turn_began(self) -> None:
        """Tell it to listen for the end of a new turn."""
        self.failed = False
        self._queue(self._strategy.handle_user_turn_started)

    def turn_ended(self) -> None:
        """Tell it that the turn is over, whoever decided it."""
        self._queue(self._strategy.handle_user_turn_stopped)

    async def restart(self, error: str) -> None:
        """Free it from the frame it hangs on. It forgets what it had not heard yet."""
        await self._stop()
        self._steps = asyncio.Queue()
        await self._failed(error)
        if not self.retired:
            self._start()

    def _start(self) -> None:
        self._task = self._court.create_task(self._run(), f"detector {self.name}")

    async def _stop(self) -> None:
        if self._task and self._task is not asyncio.current_task():
            task, self._task = self._task, None
            await self._court.cancel_task(task)
        self._busy_since = None

    def _queue(self, step: Step) -> None:
        if not self.retired and self._steps.qsize() < _BACKLOG:
            self._steps.put_nowait(step)

    async def _run(self) -> None:
        while True:
            step = await self._steps.get()
            self._busy_since = asyncio.get_running_loop().time()
            try:
                await step()
            except Exception as error:
                log.exception("turn detector %s failed", self.name)
                await self._failed(type(error).__name__)
                if self.retired:
                    return
            finally:
                self._busy_since = None

    async def _failed(self, error: str) -> None:
        self._strikes += 1
        self.failed = True
        await self._court.detector_failed(self.name, error)

    async def _on_stopped(self, _: BaseUserTurnStopStrategy, params: UserTurnStoppedParams) -> None:
        self._strikes = 0
        await self._court.proposed(self.name)

    async def _on_inference(
        self, _: BaseUserTurnStopStrategy, speculation: UserTurnSpeculation | None = None
    ) -> None:
        if speculation:
            await self._court.speculated(self.name, speculation.text)

    async def _on_cancelled(self, _: BaseUserTurnStopStrategy) -> None:
        await self._court.withdrew(self.name)

    async def _on_push(
        self,
        _: BaseUserTurnStopStrategy,
        frame: Frame,
        direction: FrameDirection = FrameDirection.DOWNSTREAM,
    ) -> None:
        await self._court.push_frame(frame, direction)

    async def _on_broadcast(
        self, _: BaseUserTurnStopStrategy, frame_class: type[Frame], **fields: Any
    ) -> None:
        await self._court.broadcast_frame(frame_class, **fields)
