"""An agent that was stopped for nothing goes on where it was stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from pipecat.frames.frames import (
    Frame,
    InterimTranscriptionFrame,
    TranscriptionFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.turns.types import ProcessFrameResult
from pipecat.turns.user_start import BaseUserTurnStartStrategy

from tipring.journal import Event, Journal
from tipring.turns.floor import Floor
from tipring.turns.timers import Timers
from tipring.turns.words import Words, spoken

# So many words are a sentence, and no noise that a transcriber took for words.
_SENTENCE = 3
# A voice that goes on is looked at again this often.
_AGAIN = 0.2

Resume = Callable[[], Awaitable[bool]]


class Turn(Protocol):
    """The turn that stopped the agent: the court's."""

    async def drop(self) -> None:
        """There is nothing in it: close it, and answer nothing."""
        ...

    async def reconsider(self) -> None:
        """It counts after all."""
        ...


class FalseStop(BaseUserTurnStartStrategy):
    """Doubts a stop until the caller has said something.

    A cough that the transcriber took for a word stops the agent, and so does the begin of an "mhm"
    that was first heard as something else. When nothing with content has followed for a while, and
    the caller is silent, the turn is dropped and the agent goes on. It stands before
    :class:`~tipring.turns.start.BargeIn`.

    Args:
        floor: Who has the floor.
        journal: Where it is noted.
        words: The word lists of the conversation's language.
        after: Seconds to wait for words with content; 0: every stop counts.
        turn: The turn that the stop opened.
        resume: Lets the agent go on; False when it had nothing left to say.
    """

    def __init__(
        self,
        *,
        floor: Floor,
        journal: Journal,
        words: Words,
        after: float,
        turn: Turn,
        resume: Resume,
    ) -> None:
        super().__init__()
        self._floor = floor
        self._words = words
        self._after = after
        self._turn = turn
        self._resume = resume
        self._journal = journal
        self._first: tuple[str, ...] = ()
        self._final = False
        self._until = 0.0
        self._timers = Timers(self.create_task)
        journal.subscribe(self._follow)

    async def cleanup(self) -> None:
        """Doubt nothing any longer."""
        self._timers.stop_all()
        await super().cleanup()

    async def handle_user_turn_stopped(self) -> None:
        """The turn is over, whoever ended it."""
        self._timers.stop_all()
        self._floor.in_doubt = False

    async def process_frame(self, frame: Frame) -> ProcessFrameResult:
        """Look for words with content."""
        self._final = isinstance(frame, TranscriptionFrame)
        if not self._floor.in_doubt:
            return ProcessFrameResult.CONTINUE
        match frame:
            case VADUserStoppedSpeakingFrame():
                # A transcriber's words come a while after the voice that spoke them.
                self._until = max(self._until, _now() + self._after / 2)
            case TranscriptionFrame() if self._counts(frame.text, final=True):
                self._believe()
            case InterimTranscriptionFrame() if self._counts(frame.text, final=False):
                self._believe()
        return ProcessFrameResult.CONTINUE

    def _follow(self, event: Event) -> None:
        """Doubt a stop, when it happens."""
        if event.name != "interruption" or not self._after:
            return
        self._first = spoken(event.detail["text"])
        if self._counts(event.detail["text"], final=self._final):
            return
        self._floor.in_doubt = True
        self._until = _now() + self._after
        self._timers.start("doubt", self._after, self._look)

    def _counts(self, text: str, *, final: bool) -> bool:
        """Whether these words want the floor for sure."""
        words = spoken(text)
        if not self._words.has_content(text) or self._words.is_backchannel(text):
            return False
        if final or len(words) >= _SENTENCE or self._words.interrupters.intersection(words):
            return True
        return len(words) > len(self._first)

    def _believe(self) -> None:
        self._floor.in_doubt = False
        self._timers.stop_all()

    async def _look(self) -> None:
        if self._floor.caller_speaking or _now() < self._until - 0.001:
            left = self._until - _now()
            self._timers.start("doubt", left if left > 0.001 else _AGAIN, self._look)
        elif self._floor.in_doubt:
            self._floor.in_doubt = False
            if await self._resume():
                self._journal.note("agent.resumed")
                await self.trigger_reset_aggregation()
                await self._turn.drop()
            else:
                await self._turn.reconsider()


def _now() -> float:
    return asyncio.get_running_loop().time()
