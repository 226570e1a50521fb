"""The "yes" that comes over the end of the agent's question: an answer, and no backchannel."""

from __future__ import annotations

import asyncio

from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    Frame,
    TranscriptionFrame,
    UserBackchannelFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.turns.types import ProcessFrameResult
from pipecat.turns.user_start import BaseUserTurnStartStrategy

from tipring.journal import Event, Journal
from tipring.turns.deadlines import LAG
from tipring.turns.floor import Floor
from tipring.turns.questions import is_question
from tipring.turns.timers import Timers
from tipring.turns.words import Words

# A voice that goes on is looked at again this often.
_AGAIN = 0.2


class AnswerOverlap(BaseUserTurnStartStrategy):
    """Tells a backchannel from an answer that comes before the question is quite over.

    While the agent's last sentence is a question, a "yes" over it is kept until it is known which
    of the two it is. Said in the last moments of the question, or past its end, it is the answer;
    else it is passed on as a backchannel. It stands before
    :class:`~tipring.turns.barge_in.BargeIn`.

    Args:
        floor: Who has the floor.
        journal: Where it is noted.
        words: The word lists of the conversation's language.
        overlap: Seconds before the end of the question in which its answer may begin.
    """

    def __init__(self, *, floor: Floor, journal: Journal, words: Words, overlap: float) -> None:
        super().__init__()
        self._floor = floor
        self._journal = journal
        self._words = words
        self._overlap = overlap
        self._asked = False
        self._voice = False
        self._voice_since = self._voice_until = float("-inf")
        self._kept: list[TranscriptionFrame] = []
        self._timers = Timers(self.create_task)
        journal.subscribe(self._follow)

    async def cleanup(self) -> None:
        """Forget what was kept."""
        self._timers.stop_all()
        await super().cleanup()

    async def handle_user_turn_started(self) -> None:
        """The caller has said more, which opened a turn: what was kept led up to it."""
        self._timers.stop_all()
        self._kept.clear()

    async def process_frame(self, frame: Frame) -> ProcessFrameResult:
        """Keep a "yes" over a question until it is known what it is."""
        match frame:
            case VADUserStartedSpeakingFrame():
                self._voice, self._voice_since = True, _now() - frame.start_secs
            case VADUserStoppedSpeakingFrame():
                self._voice, self._voice_until = False, _now()
            case BotStartedSpeakingFrame():
                await self._pass_on()
            case BotStoppedSpeakingFrame() if self._kept:
                await self._answer()
            case TranscriptionFrame() if self._may_answer(frame.text):
                self._journal.note("transcript.final", text=frame.text)
                self._kept.append(frame)
                await self.trigger_reset_aggregation()
                self._timers.start("undecided", self._since() + self._overlap, self._decide)
                return ProcessFrameResult.STOP
        return ProcessFrameResult.CONTINUE

    def _may_answer(self, text: str) -> bool:
        floor, words = self._floor, self._words
        if not (self._asked and floor.agent_audible) or floor.turn_open or floor.leaving:
            return False
        return words.is_backchannel(text) and words.has_content(text)

    def _since(self) -> float:
        """Seconds from now to the begin of the word, behind us; 0 if no voice was heard."""
        heard = self._voice or _now() - self._voice_until < LAG
        return self._voice_since - _now() if heard else 0.0

    async def _decide(self) -> None:
        """The question goes on: it was a backchannel, unless the voice goes on as well."""
        if self._voice and self._floor.agent_audible:
            self._timers.start("undecided", _AGAIN, self._decide)
        else:
            await self._pass_on()

    async def _pass_on(self) -> None:
        self._timers.stop_all()
        kept, self._kept = self._kept, []
        for frame in kept:
            self._journal.note("backchannel", text=frame.text)
            await self.push_frame(
                UserBackchannelFrame(
                    text=frame.text, user_id=frame.user_id, timestamp=frame.timestamp
                )
            )

    async def _answer(self) -> None:
        self._timers.stop_all()
        kept, self._kept = self._kept, []
        text = " ".join(frame.text.strip() for frame in kept)
        again = TranscriptionFrame(text, kept[-1].user_id, kept[-1].timestamp, finalized=True)
        again.interruptible = False  # an interruption empties the queue that it goes through
        await self.push_frame(again)

    def _follow(self, event: Event) -> None:
        if event.name == "agent.said":
            self._asked = is_question(event.detail["text"])


def _now() -> float:
    return asyncio.get_running_loop().time()
