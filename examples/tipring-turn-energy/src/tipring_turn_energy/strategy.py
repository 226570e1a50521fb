"""When the caller is done: quiet for a while after at least a word."""

from __future__ import annotations

import asyncio

from pipecat.frames.frames import (
    Frame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.turns.types import ProcessFrameResult
from pipecat.turns.user_stop import BaseUserTurnStopStrategy


class EnergyStrategy(BaseUserTurnStopStrategy):
    """Proposes the end of a turn; tipring's court decides.

    Args:
        pause: Seconds of quiet.
    """

    def __init__(self, pause: float) -> None:
        super().__init__()
        self._pause = pause
        self._speaking = False
        self._words = False
        self._quiet = False
        self._timer: asyncio.Task[None] | None = None

    async def process_frame(self, frame: Frame) -> ProcessFrameResult:
        """Look at everything that passes; nothing may be awaited here that takes long."""
        match frame:
            case VADUserStartedSpeakingFrame():
                self._speaking = True
                await self._forget_silence()
            case VADUserStoppedSpeakingFrame():
                self._speaking = False
                await self._count_silence()
            case TranscriptionFrame():
                self._words = True
                if self._quiet:
                    await self.trigger_user_turn_stopped()
                elif not self._speaking and self._timer is None:
                    await self._count_silence()
        return ProcessFrameResult.CONTINUE

    async def handle_user_turn_stopped(self) -> None:
        """Begin anew, whoever ended the turn."""
        self._words = False
        await self._forget_silence()

    async def cleanup(self) -> None:
        """Leave nothing running."""
        await self._forget_silence()
        await super().cleanup()

    async def _count_silence(self) -> None:
        await self._forget_silence()
        self._timer = self.task_manager.create_task(self._count(), f"{self} silence")

    async def _forget_silence(self) -> None:
        self._quiet = False
        if self._timer and self._timer is not asyncio.current_task():
            await self.task_manager.cancel_task(self._timer)
        self._timer = None

    async def _count(self) -> None:
        await asyncio.sleep(self._pause)
        self._quiet = True
        if self._words:
            await self.trigger_user_turn_stopped()
