"""The rules by which a caller takes the floor, in the order in which they are asked."""

from __future__ import annotations

import asyncio

from pipecat.audio.vad.vad_analyzer import VADAnalyzer
from pipecat.frames.frames import BotStartedSpeakingFrame, BotStoppedSpeakingFrame, Frame
from pipecat.turns.types import ProcessFrameResult
from pipecat.turns.user_start import BaseUserTurnStartStrategy

from tipring.journal import Event, Journal
from tipring.sections import Turns
from tipring.turns.aside import Aside
from tipring.turns.barge_in import BargeIn, Stop
from tipring.turns.false_stop import FalseStop, Resume, Turn
from tipring.turns.floor import Floor
from tipring.turns.nearness import Nearness
from tipring.turns.opener import OpenerGate
from tipring.turns.overlap import AnswerOverlap
from tipring.turns.words import Words


def start_rules(
    *,
    floor: Floor,
    journal: Journal,
    words: Words,
    rules: Turns,
    vad: VADAnalyzer | None,
    turn: Turn,
    stop: Stop,
    resume: Resume,
    nearness: Nearness,
) -> list[BaseUserTurnStartStrategy]:
    """Give the rules by which a caller takes the floor, in the order in which they are asked.

    Args:
        floor: Who has the floor.
        journal: Where it is noted.
        words: The word lists of the conversation's language.
        rules: The times.
        vad: The voice detector in use.
        turn: The turn that is open, as the court has it.
        stop: Silences the phone.
        resume: Lets an agent that was stopped go on; False when it had nothing left to say.
        nearness: How near the caller is. It is asked second, for it follows the frames.
    """
    aside = Aside(
        words.language,
        fillers=words.fillers,
        interrupters=words.interrupters,
        nearness=nearness,
    )
    return [
        AgentVoice(floor=floor, journal=journal, vad=vad),
        nearness,
        OpenerGate(floor=floor, journal=journal, words=words, grace=rules.opener_grace),
        AnswerOverlap(floor=floor, journal=journal, words=words, overlap=rules.answer_overlap),
        FalseStop(
            floor=floor,
            journal=journal,
            words=words,
            after=rules.resume_after,
            turn=turn,
            resume=resume,
            aside=aside,
            nearness=nearness,
        ),
        BargeIn(floor=floor, journal=journal, words=words, aside=aside, stop=stop),
    ]


class AgentVoice(BaseUserTurnStartStrategy):
    """Keeps the floor told of the agent's own voice.

    It starts nothing. It stands first in the way of the frames, so that it hears of the voice
    before the rules that depend on it do.

    Args:
        floor: Who has the floor.
        journal: Where it is noted.
        vad: The voice detector, if it has a regime of its own for while the agent speaks.
    """

    def __init__(self, *, floor: Floor, journal: Journal, vad: VADAnalyzer | None) -> None:
        super().__init__()
        self._floor = floor
        self._journal = journal
        self._vad = vad if hasattr(vad, "agent_speaking") else None
        self._filler_said = False
        journal.subscribe(self._follow)

    async def process_frame(self, frame: Frame) -> ProcessFrameResult:
        """Follow the agent's voice."""
        if isinstance(frame, BotStartedSpeakingFrame):
            self._floor.agent_audible, self._floor.on_its_way = True, False
            self._floor.audible_since = asyncio.get_running_loop().time()
            # The first sound of an answer may cross with the word that stops it. It is no answer to
            # that word, for which one is still owed.
            if not self._floor.taken_back:
                self._floor.answer_owed = self._floor.answer_owed and self._floor.filling
                if not self._floor.filling:
                    self._floor.unanswered = ""
            self._floor.taken_back = False
            self._journal.note("agent.started")
        elif isinstance(frame, BotStoppedSpeakingFrame):
            self._floor.agent_audible = self._floor.greeting = self._floor.filling = False
            self._filler_said = False
            self._journal.note("agent.stopped")
        else:
            return ProcessFrameResult.CONTINUE
        if self._vad is not None:
            setattr(self._vad, "agent_speaking", self._floor.agent_audible)  # noqa: B010
        return ProcessFrameResult.CONTINUE

    def _follow(self, event: Event) -> None:
        """Notice an answer, also one that follows a filler without a pause, in one stretch."""
        if event.name != "agent.said":
            return
        self._floor.taken_back = False
        self._floor.on_its_way = not self._floor.agent_audible
        if not self._floor.filling:
            return
        if not self._filler_said:
            self._filler_said = True
            return
        self._floor.filling = self._filler_said = False
        if self._floor.agent_audible:
            self._floor.answer_owed, self._floor.unanswered = False, ""
