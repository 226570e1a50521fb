"""Barge-in and backchannels: the first word with content stops the agent, and "mhm" does not.

A turn starts with a word, never with a voice alone: noise must not stop the agent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from pipecat.frames.frames import (
    Frame,
    InterimTranscriptionFrame,
    LLMMessagesAppendFrame,
    TranscriptionFrame,
    UserBackchannelFrame,
    VADUserStartedSpeakingFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContextMessage
from pipecat.turns.types import ProcessFrameResult
from pipecat.turns.user_start import BaseUserTurnStartStrategy

from tipring.journal import Journal
from tipring.turns.aside import Aside
from tipring.turns.floor import Floor
from tipring.turns.words import Words, spoken

_BRIEF = 2
# Seconds from the begin of a voice in which one word of it may be a murmur. Real backchannels over
# an agent last 0.18 to 0.83 s, and transcribers report them a quarter of a second later.
_MURMUR = 1.0
# A voice that begins so soon behind the agent's goes on; it does not answer.
_AT_ONCE = 0.2
# A word is told so long after the voice that spoke it began, where that voice is not the room's.
_FIRST_WORD = 0.5
# Who speaks to somebody else for so many seconds, or words, does not listen: the agent stops.
_IDLE, _IDLE_WORDS = 3.0, 10
# Seconds in which a question that has been asked is sure to have reached the model.
_SAME_MOMENT = 0.005
# Late words up to so many do not stop an agent that is already being heard.
_SHORT = 3

Stop = Callable[[], Awaitable[bool]]
"""Silences the phone at once, if what is said may be stopped; tells whether it may. Pipecat's
interruption, which follows, walks the whole line first."""


class BargeIn(BaseUserTurnStartStrategy):
    """Gives the caller the floor at their first word, and lets "mhm" pass.

    Args:
        floor: Who has the floor.
        journal: Where it is noted.
        words: The word lists of the conversation's language.
        aside: Tells what is for somebody else.
        stop: Silences the phone.
    """

    def __init__(
        self, *, floor: Floor, journal: Journal, words: Words, aside: Aside, stop: Stop
    ) -> None:
        super().__init__()
        self._stop = stop
        self._floor = floor
        self._journal = journal
        self._words = words
        self._aside = aside
        self._voice_since: float | None = None
        self._words_since: float | None = None
        self._for_another = False
        self._interrupts = False

    async def handle_user_turn_started(self) -> None:
        """The words so far have opened a turn: if they interrupt, the phone is silent now."""
        self._next_words()
        if self._interrupts:
            self._interrupts = False
            if await self._stop():
                # What is said from here on is another answer, and not the end of this one.
                self._floor.agent_audible = self._floor.filling = False

    @property
    def resolves_proposed_turn_start_frames(self) -> bool:
        """A transcriber's own "the caller began" is heard, and is not enough."""
        return True

    async def process_frame(self, frame: Frame) -> ProcessFrameResult:
        """Start a turn on words that want the floor."""
        if isinstance(frame, VADUserStartedSpeakingFrame):
            self._voice_since = asyncio.get_running_loop().time() - frame.start_secs
            self._next_words()  # those before may never have been made final
        if not isinstance(frame, InterimTranscriptionFrame | TranscriptionFrame):
            return ProcessFrameResult.CONTINUE
        final = isinstance(frame, TranscriptionFrame)
        if frame.text.strip():
            name = "transcript.final" if final else "transcript.interim"
            self._journal.note(name, text=frame.text)
        if self._floor.turn_open:
            return ProcessFrameResult.CONTINUE
        if not self._words.has_content(frame.text):
            if final:
                await self.trigger_reset_aggregation()  # an "um" opens nothing
                self._next_words()
            return ProcessFrameResult.CONTINUE
        if await self._belongs_to_the_turn_before(frame, final=final):
            return ProcessFrameResult.CONTINUE
        if self._words_since is None:
            self._words_since = asyncio.get_running_loop().time()
        if self._passes(frame.text, final=final):
            if final:
                self._journal.note("backchannel", text=frame.text)
                await self.trigger_reset_aggregation()
                await self.push_frame(
                    UserBackchannelFrame(
                        text=frame.text, user_id=frame.user_id, timestamp=frame.timestamp
                    )
                )
                self._next_words()
            return ProcessFrameResult.CONTINUE
        if self._passes_aside(frame.text):
            if final:
                await self._leave_aside(frame.text)
            return ProcessFrameResult.CONTINUE
        await self._start(frame.text)
        return ProcessFrameResult.STOP

    def _next_words(self) -> None:
        self._words_since, self._for_another = None, False

    def _passes_aside(self, text: str) -> bool:
        """Whether the agent may go on over these words, because they are for somebody else."""
        if not self._floor.agent_audible:
            # What was begun over the agent's last words may still be the answer to them.
            return self._for_another and self._aside.is_sure(text)
        if self._words_since is None:
            return False
        lasts = asyncio.get_running_loop().time() - self._words_since
        if lasts > _IDLE or len(spoken(text)) > _IDLE_WORDS:
            return False
        self._for_another = self._aside.for_another(text, before=self._for_another)
        return self._for_another

    async def _leave_aside(self, text: str) -> None:
        self._journal.note("aside", text=text)
        await self.trigger_reset_aggregation()
        if not self._aside.is_sure(text):
            await self._tell_model(text)
        self._next_words()

    async def _start(self, text: str) -> None:
        last = self._floor.committed
        if last is not None and asyncio.get_running_loop().time() - last.at < _SAME_MOMENT:
            # An interruption overtakes other frames, and would miss the question it is to stop.
            await asyncio.sleep(_SAME_MOMENT)
        floor = self._floor
        # A greeting or an apology may be on its way though no answer is owed.
        speaks = floor.agent_audible or floor.on_its_way
        interrupts = speaks or floor.answer_owed or bool(floor.unanswered)
        if self._floor.agent_audible:
            self._journal.note("interruption", text=text)
        elif self._floor.answer_owed:
            self._journal.note("turn.withdrawn", why="the caller went on before the answer")
        floor.answer_owed = floor.on_its_way = False
        floor.taken_back = interrupts and not floor.agent_audible
        self._journal.note("turn.started", by="words", text=text)
        self._interrupts = interrupts
        await self.trigger_user_turn_started(enable_interruptions=interrupts)

    async def _belongs_to_the_turn_before(
        self, frame: InterimTranscriptionFrame | TranscriptionFrame, *, final: bool
    ) -> bool:
        """Whether these words came after the turn they were said in, and open no other.

        What was taken from an interim transcript is not answered again when its final one comes. A
        few late words do not stop an agent who is already heard; the next answer knows of them.
        """
        last = self._floor.committed
        if last is None:
            return False
        words, guessed = spoken(frame.text), last.guessed
        if guessed and words == guessed[: len(words)]:
            if final:
                await self._late(None)
            return True
        if guessed and not final and words[: len(guessed)] == guessed:
            return True
        if guessed and final and words[: len(guessed)] == guessed:
            await self._late(None)
            rest = " ".join(frame.text.split()[-(len(words) - len(guessed)) :])
            self._floor.committed = replace(last, guessed=())
            await self._push(TranscriptionFrame(rest, frame.user_id, frame.timestamp))
            return True
        if not self._floor.agent_audible or len(words) > _SHORT:
            return False
        if not self._floor.is_late(asyncio.get_running_loop().time()):
            return False
        if final:
            await self._late(frame.text)
        return True

    async def _late(self, text: str | None) -> None:
        self._journal.note("turn.late", by="transcriber", text=text or "")
        await self.trigger_reset_aggregation()
        if text:
            await self._tell_model(text)

    async def _tell_model(self, text: str) -> None:
        """Let the next answer know of these words."""
        message: LLMContextMessage = {"role": "user", "content": text.strip()}
        await self._push(LLMMessagesAppendFrame([message], run_llm=False))

    async def _push(self, frame: Frame) -> None:
        frame.interruptible = False  # an interruption empties the queue that it goes through
        await self.push_frame(frame)

    def _passes(self, text: str, *, final: bool) -> bool:
        """Whether the agent may go on over these words."""
        if self._floor.leaving:
            # Both sides say goodbye at once. The first words of one may still become "good idea,
            # but ...", so only what is whole, or long, takes the agent back from the door.
            brief = not final and len(spoken(text)) <= _BRIEF
            return brief or self._words.is_farewell(text)
        if not self._floor.agent_audible:
            return False
        return self._words.is_backchannel(text) or self._is_murmur(text)

    def _is_murmur(self, text: str) -> bool:
        """Whether it is one word of a voice that was hardly there.

        What a caller murmurs over the agent, transcribers hear as any short word at all: "him",
        "hell", "man". One word counts when it asks for the floor, or when the voice goes on.
        """
        words = spoken(text)
        if len(words) != 1 or words[0] in self._words.interrupters or self._voice_since is None:
            return False
        # Where the room never falls silent, its voice is older than the caller's.
        since = max(self._voice_since, (self._words_since or 0.0) - _FIRST_WORD)
        if since < self._floor.audible_since + _AT_ONCE:
            return False  # who began in the same moment as the agent was not murmuring to it
        return asyncio.get_running_loop().time() - since < _MURMUR
