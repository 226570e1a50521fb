"""The opener gate: a hello over the greeting does not stop it, and is answered behind it."""

from __future__ import annotations

import asyncio

from pipecat.frames.frames import Frame, InterimTranscriptionFrame, TranscriptionFrame
from pipecat.turns.types import ProcessFrameResult
from pipecat.turns.user_start import BaseUserTurnStartStrategy
from pipecat.utils.time import time_now_iso8601

from tipring.journal import Journal
from tipring.turns.floor import Floor
from tipring.turns.words import Words


class OpenerGate(BaseUserTurnStartStrategy):
    """Keeps the caller's "hello?" from stopping the greeting, and answers it afterwards.

    It stands before :class:`~tipring.turns.barge_in.BargeIn`. It is a start strategy and not a
    mute: a mute would drop the words, and would leave a transcriber that counts turns in the middle
    of one.

    Args:
        floor: Who has the floor.
        journal: Where it is noted.
        words: The word lists of the conversation's language.
        grace: Seconds after the greeting in which the caller may say more.
    """

    def __init__(self, *, floor: Floor, journal: Journal, words: Words, grace: float) -> None:
        super().__init__()
        self._floor = floor
        self._journal = journal
        self._words = words
        self._grace = grace
        self._kept: list[str] = []
        self._answer: asyncio.Task[None] | None = None

    async def cleanup(self) -> None:
        """Forget what was kept."""
        await self._forget()
        await super().cleanup()

    async def handle_user_turn_started(self) -> None:
        """A real turn began: there is nothing left to answer for."""
        await self._forget()

    async def process_frame(self, frame: Frame) -> ProcessFrameResult:
        """Keep a hello that comes over the greeting."""
        if not self._floor.greeting:
            if self._kept and self._answer is None and not self._floor.agent_audible:
                self._answer = self.create_task(self._answer_later(), "opener grace")
            return ProcessFrameResult.CONTINUE
        if not isinstance(frame, InterimTranscriptionFrame | TranscriptionFrame):
            return ProcessFrameResult.CONTINUE
        if self._floor.turn_open or not self._words.is_opener(frame.text):
            return ProcessFrameResult.CONTINUE
        if isinstance(frame, TranscriptionFrame):
            self._kept.append(frame.text.strip())
            self._journal.note("opener.kept", text=frame.text)
            await self.trigger_reset_aggregation()
        return ProcessFrameResult.STOP

    async def _answer_later(self) -> None:
        await asyncio.sleep(self._grace)
        if self._floor.agent_audible:
            self._answer = None  # it is not to interrupt the agent; the grace begins anew after
            return
        text, self._kept, self._answer = " ".join(self._kept), [], None
        frame = TranscriptionFrame(text, "caller", time_now_iso8601(), finalized=True)
        frame.interruptible = False
        await self.push_frame(frame)

    async def _forget(self) -> None:
        self._kept.clear()
        task, self._answer = self._answer, None
        if task and task is not asyncio.current_task():
            await self.cancel_task(task)
