"""An agent that was stopped for nothing goes on where it was stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from pipecat.frames.frames import (
    Frame,
    InterimTranscriptionFrame,
    LLMMessagesAppendFrame,
    TranscriptionFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContextMessage
from pipecat.turns.types import ProcessFrameResult
from pipecat.turns.user_start import BaseUserTurnStartStrategy

from tipring.journal import Event, Journal
from tipring.turns.aside import Aside
from tipring.turns.floor import Floor
from tipring.turns.nearness import Nearness
from tipring.turns.timers import Timers
from tipring.turns.words import Words, spoken

# So many words are a sentence, and no noise that a transcriber took for words.
_SENTENCE = 3
# A voice that goes on is looked at again this often.
_AGAIN = 0.2
# dB by which a voice that is the room's is further away than the caller; seconds it is judged by.
_ROOM, _LATELY = 12.0, 0.6

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
    """Doubts a stop until the caller has said something, and said it to the agent.

    A cough that the transcriber took for a word stops the agent, and so does the begin of an "mhm"
    that was first heard as something else, or a sentence that turns out to be for somebody in the
    room. When nothing that is for the agent has followed for a while, and the caller is silent, the
    turn is dropped and the agent goes on. It stands before :class:`~tipring.turns.start.BargeIn`.

    Args:
        floor: Who has the floor.
        journal: Where it is noted.
        words: The word lists of the conversation's language.
        after: Seconds to wait for words with content; 0: every stop counts.
        turn: The turn that the stop opened.
        resume: Lets the agent go on; False when it had nothing left to say.
        aside: Tells what is for somebody else.
        nearness: Tells the caller's voice from the room's.
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
        aside: Aside,
        nearness: Nearness,
    ) -> None:
        super().__init__()
        self._aside = aside
        self._nearness = nearness
        self._floor = floor
        self._words = words
        self._after = after
        self._turn = turn
        self._resume = resume
        self._journal = journal
        self._first: tuple[str, ...] = ()
        self._final = False
        self._stopped = False
        self._unsure: list[str] = []
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
        self._stopped = self._floor.in_doubt = False

    async def process_frame(self, frame: Frame) -> ProcessFrameResult:
        """Look for words with content."""
        self._final = isinstance(frame, TranscriptionFrame)
        if not self._stopped:
            return ProcessFrameResult.CONTINUE
        match frame:
            case VADUserStoppedSpeakingFrame() if self._near(_LATELY + frame.stop_secs):
                self._wait()
            case TranscriptionFrame() if self._words.has_content(frame.text):
                self._wait()
                if self._counts(frame.text, final=True):
                    self._believe()
                    self._stopped = False
                else:
                    self._doubt_words(frame.text)
            case InterimTranscriptionFrame() if self._floor.in_doubt and spoken(frame.text):
                self._wait()
                if self._counts(frame.text, final=False):
                    self._believe()
        return ProcessFrameResult.CONTINUE

    def _wait(self) -> None:
        # A transcriber's words come a while after the voice that spoke them.
        self._until = max(self._until, _now() + self._after / 2)

    def _follow(self, event: Event) -> None:
        """Doubt a stop, when it happens, and when its words were the agent's own."""
        if event.name == "echo" and self._stopped:
            self._doubt(self._after / 2)
        if event.name != "interruption" or not self._after:
            return
        self._first = spoken(event.detail["text"])
        self._unsure.clear()
        counts = self._counts(event.detail["text"], final=self._final)
        # Words that are not final may still turn out to be for somebody else.
        self._stopped = not (counts and self._final)
        if not counts:
            self._doubt(self._after)

    def _doubt_words(self, text: str) -> None:
        """Words that stopped the agent, now final, are an "mhm", or for somebody else."""
        if self._aside.is_sure(text):
            if not self._floor.in_doubt:
                self._doubt(self._after / 2)
        elif not self._words.is_backchannel(text):
            self._unsure.append(text.strip())

    def _doubt(self, seconds: float) -> None:
        self._floor.in_doubt = True
        self._until = _now() + seconds
        self._timers.start("doubt", seconds, self._look)

    def _counts(self, text: str, *, final: bool) -> bool:
        """Whether these words want the floor for sure."""
        words = spoken(text)
        if not self._words.has_content(text) or self._words.is_backchannel(text):
            return False
        if self._aside.for_another(text):
            return False
        if final or len(words) >= _SENTENCE or self._words.interrupters.intersection(words):
            return True
        return len(words) > len(self._first)

    def _believe(self) -> None:
        self._floor.in_doubt = False
        self._timers.stop_all()

    def _near(self, last: float) -> bool:
        """Whether what was heard lately may have been the caller."""
        return self._nearness.further(last) < _ROOM

    async def _look(self) -> None:
        speaks = self._floor.caller_speaking and self._near(_LATELY)
        if speaks or _now() < self._until - 0.001:
            left = self._until - _now()
            self._timers.start("doubt", left if left > 0.001 else _AGAIN, self._look)
        elif self._floor.in_doubt:
            self._floor.in_doubt = False
            if await self._resume():
                self._journal.note("agent.resumed")
                await self.trigger_reset_aggregation()
                await self._turn.drop()
                if self._unsure:
                    # The next answer knows of them, should they have been for the agent after all.
                    text: LLMContextMessage = {"role": "user", "content": " ".join(self._unsure)}
                    kept = LLMMessagesAppendFrame([text], run_llm=False)
                    kept.interruptible = False
                    await self.push_frame(kept)
            else:
                await self._turn.reconsider()


def _now() -> float:
    return asyncio.get_running_loop().time()
