"""The court: detectors propose that the caller is done, the court decides.

It wraps whatever stop strategy a plugin brought, so that holding, merging, speculating and falling
back work the same for every detector. For each turn it commits once.

A proposal is heard when the caller is silent and their words have arrived. If the words sound
finished, it is committed at once. If they trail off, it is held; a caller who goes on meanwhile
goes on with the same turn. While it is held the model may already answer, unheard.

Nothing waits for ever. A detector that says nothing for ``patience`` seconds of silence is
overruled by silence; a voice detector that hears a voice in the noise is overruled when no new word
has come for a while; a transcriber that never finishes is taken at its last word.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pipecat.frames.frames import (
    EagerEndOfTurnCancelFrame,
    Frame,
    InputAudioRawFrame,
    InterimTranscriptionFrame,
    LLMRunFrame,
    ProposedUserStartedSpeakingFrame,
    ProposedUserStoppedSpeakingFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameProcessorSetup
from pipecat.turns.types import ProcessFrameResult
from pipecat.turns.user_stop import BaseUserTurnStopStrategy

from tipring.journal import Journal
from tipring.providers import TurnPlan, Usage
from tipring.sections import Turns
from tipring.turns.ahead import Ahead
from tipring.turns.deadlines import LAG, WORDLESS_FINAL, Deadlines
from tipring.turns.detector import Detector
from tipring.turns.ending import Ending
from tipring.turns.floor import Committed, Floor
from tipring.turns.judge import OVER, Judge, Verdict
from tipring.turns.pause import Pause
from tipring.turns.punctuation import Punctuation
from tipring.turns.said import Said
from tipring.turns.timers import Timers
from tipring.turns.words import Words, spoken

# Seconds after which a held turn is answered ahead: words that come in a burst ask once.
_AHEAD = 0.05
# Words that the transcriber only guesses are answered ahead when they have not changed for so long.
_GUESSED = 0.25


class Court(BaseUserTurnStopStrategy):
    """Decides when the caller's turn is over.

    Args:
        plan: What the chosen detector brought.
        by: The detector's name, as it stands in the config.
        floor: Who has the floor.
        journal: Where every step is noted.
        words: The word lists of the conversation's language.
        rules: The times.
        punctuation: Whether a missing full stop means something with the transcriber in use.
        language: The conversation's, a BCP 47 tag with its region, on which the length of a
            telephone number depends; else the language of the words.
        spent: What the answer that the model is making has cost so far.
    """

    def __init__(
        self,
        plan: TurnPlan,
        *,
        by: str,
        floor: Floor,
        journal: Journal,
        words: Words,
        rules: Turns,
        punctuation: Punctuation,
        language: str = "",
        spent: Callable[[], Usage] = Usage,
    ) -> None:
        super().__init__()
        self._detector = Detector(plan, name=by, court=self)
        self._setup: FrameProcessorSetup | None = None
        self._floor = floor
        self._journal = journal
        self._rules = rules

        self._epoch = 0
        self._open = False
        self._decided = False
        self._armed = False
        self._said = Said()
        self._pause = Pause()
        self._voiced = False
        self._late = False
        self._held_because: str | None = None
        self._ending = Ending(push=self._push, finalize=self._finalize)
        self._timers = Timers(self.create_task)
        self._ahead = Ahead(self, floor, journal, self._timers, spent)
        self._deadlines = Deadlines(
            self._timers,
            said=self._said,
            pause=self._pause,
            overdue=self._on_overdue,
            wordless=self._on_wordless,
        )
        self._judge = Judge(
            words=words,
            rules=rules,
            punctuation=punctuation,
            language=language or words.language,
            journal=journal,
        )

    @property
    def waits_for(self) -> frozenset[str]:
        """What ends the open turn at the latest: ``patience``, ``hold`` or ``wordless``."""
        return self._timers.running - {"ahead"}

    # -- Pipecat's side ------------------------------------------------------------------------

    @property
    def resolves_proposed_turn_stop_frames(self) -> bool:
        """The court is the one who resolves them."""
        return True

    async def setup(self, setup: FrameProcessorSetup) -> None:  # type: ignore[override]
        """Set up the court and the detector behind it."""
        await super().setup(setup)
        self._setup = setup
        await self._detector.setup(setup)

    async def cleanup(self) -> None:
        """Stop every timer and let the detector go."""
        self._timers.stop_all()
        await self._detector.cleanup()
        await super().cleanup()

    async def hand_over(self, plan: TurnPlan, *, by: str, punctuation: Punctuation) -> None:
        """Go on with another transcriber, and with its detector if that is another one.

        A turn that is open stays open.

        Args:
            plan: What the detector brought.
            by: Its name.
            punctuation: Whether a missing full stop means something with the transcriber.
        """
        self._judge.punctuation = punctuation
        if by == self._detector.name:
            return
        before, self._detector = self._detector, Detector(plan, name=by, court=self)
        if self._setup is not None:
            await self._detector.setup(self._setup)
        if self._armed:
            self._detector.turn_began()
        if not self._floor.caller_speaking:
            self._expect_detector()
        await before.cleanup()

    async def handle_user_turn_started(self) -> None:
        """Open a turn. Told by the controller, before the words that opened it come here."""
        now = self._now()
        self._late = self._floor.is_late(now)
        self._epoch += 1
        self._open, self._decided = True, False
        self._floor.turn_open = True
        # What was not answered and is taken up again is judged as a whole.
        self._said.begin(self._floor.unanswered)
        self._ahead.turn_began()
        if self._late:
            # Words of the turn before: there was a silence already, and a proposal.
            self._voiced = True
            self._pause.void()
            self._propose("words")
        self._arm()

    async def handle_user_turn_stopped(self) -> None:
        """Close the turn, whoever ended it."""
        # Nothing yields between here and the frames that announce the end: words that came in
        # between would be taken for a turn of their own.
        self._timers.stop_all()
        if self._open and not self._decided:
            self._decide("the host's time limit")
            await self._ahead.withdraw("the turn was ended")
        self._open = self._armed = self._voiced = self._late = False
        self._floor.turn_open = False
        self._held_because = None
        self._pause.void()
        self._detector.turn_ended()

    async def process_frame(self, frame: Frame) -> ProcessFrameResult:
        """Take note of a frame and pass it to the detector. Never waits for the detector."""
        if isinstance(frame, InputAudioRawFrame):
            self._detector.hear(frame)
            return ProcessFrameResult.CONTINUE
        if await self._ending.goes_on(frame):
            return ProcessFrameResult.CONTINUE
        match frame:
            case VADUserStartedSpeakingFrame():
                self._journal.note("speech.started", ago=frame.start_secs)
                await self._caller_speaks()
            case ProposedUserStartedSpeakingFrame():
                await self._caller_speaks()
            case VADUserStoppedSpeakingFrame():
                self._journal.note("speech.stopped", ago=frame.stop_secs)
                await self._caller_silent(frame.stop_secs)
            case ProposedUserStoppedSpeakingFrame():
                await self._caller_silent(0.0)
            case InterimTranscriptionFrame():
                await self._hear_interim(frame.text)
            case TranscriptionFrame():
                await self._hear_final(frame.text)
            case EagerEndOfTurnCancelFrame():
                await self._answer_withdrawn()
        self._detector.hear(frame)
        return ProcessFrameResult.CONTINUE

    # -- what the caller does --------------------------------------------------------------------

    async def _caller_speaks(self) -> None:
        self._floor.caller_speaking = self._ending.controller_hears = self._voiced = True
        self._floor.committed = None
        self._late = False
        self._arm()
        if not self._open:
            self._pause.void()  # it was about the noise before
        elif not self._decided:
            # It may be no more than a breath: what was proposed is void when it is words.
            self._stop_waiting()
            self._pause.voice(self._now(), self._said.words)
            self._deadlines.expect_words()

    async def _caller_silent(self, ago: float) -> None:
        if self._floor.caller_speaking:  # a transcriber notices it after the voice detector
            if self._pause.silent(self._now() - ago, self._said.words):
                await self._resume()
        self._floor.caller_speaking = self._ending.controller_hears = False
        self._timers.stop("wordless")
        self._expect_detector()
        await self._consider()
        self._answer_ahead()

    async def _hear_interim(self, text: str) -> None:
        if text == self._said.interim or not spoken(text) or not self._open or self._decided:
            return
        self._said.hear_interim(text)
        spoke = self._pause.goes_on(self._said.words) or self._floor.caller_speaking
        if spoke or self._unheard():
            await self._resume()
        self._hear_words()
        self._answer_ahead()

    async def _hear_final(self, text: str) -> None:
        if not self._open or not text.strip():
            return
        known = self._said.words
        self._said.hear_final(text)
        if self._pause.goes_on(self._said.words):
            await self._resume()
        # Some make words final seconds behind the voice; only other words are another voice.
        if self._said.words != known:
            self._hear_words()
        await self._consider()
        self._answer_ahead()

    def _hear_words(self) -> None:
        if self._decided:
            return
        if self._floor.caller_speaking:
            self._deadlines.expect_words()
            return
        if self._unheard():
            self._pause.since = self._pause.last = self._now()
        self._expect_detector()

    def _expect_detector(self) -> None:
        if self._open and not self._decided:
            self._deadlines.expect(self._detector)

    def _unheard(self) -> bool:
        """Whether words come from a voice too quiet for the voice detector.

        A transcriber lags behind the voice by less than a second; its words do not undo a silence.
        """
        if self._floor.caller_speaking or self._late:
            return False
        return not self._voiced or self._now() - self._pause.last > LAG

    async def _resume(self) -> None:
        """The caller goes on: what was proposed or held is void, and an answer to other words."""
        if not self._open or self._decided:
            return
        self._stop_waiting()
        self._held_because = None
        if self._pause.void():
            self._journal.note("turn.resumed")
        await self._ahead.withdraw("the caller went on", unless=self._said.so_far)

    def _stop_waiting(self) -> None:
        for name in ("patience", "hold", "ahead"):
            self._timers.stop(name)
        self._said.doubt_guess()

    # -- what the detector says ------------------------------------------------------------------

    async def proposed(self, by: str) -> None:
        """Hear a proposal."""
        if self._decided or (not self._open and not self._armed):
            self._journal.note("turn.late", by=by, epoch=self._epoch)
            return
        self._propose(by)
        await self._consider()

    async def speculated(self, by: str, text: str) -> None:
        """Let the model start unheard: the detector thinks that the caller may be done."""
        if self._open and not self._decided:
            await self._ahead.ask(text)

    async def withdrew(self, by: str) -> None:
        """Drop the unheard answer: the detector takes it back."""
        await self._ahead.withdraw("the detector took it back")

    async def detector_failed(self, by: str, error: str) -> None:
        """Let silence and words decide, in this turn already."""
        self._journal.note("detector.failed", by=by, error=error)
        if self._open and not self._floor.caller_speaking:
            self._expect_detector()

    # -- the decision ----------------------------------------------------------------------------

    async def _consider(self) -> None:
        """Commit, hold, or go on waiting, by what is known now."""
        if not self._open or self._decided:
            return
        text = self._said.text
        if self._floor.caller_speaking or self._said.interim or not text:
            return  # a voice, or words that are still to come; each has its timer
        if self._floor.in_doubt:
            return  # the agent may have been stopped for nothing; somebody is looking into it
        doubt = self._pause.doubt
        verdict = self._judge.judge(self._said, instead=self._floor.expecting, doubt=doubt)
        now = self._now()
        silent = now - self._pause.since
        if self._pause.by is None:
            if verdict.enough is None or not self._voiced:
                return
            if silent < verdict.enough - 0.001:
                self._timers.start("hold", verdict.enough - silent, self._consider)
                return
            self._propose("words")
        due, left = self._pause.words_due(now), verdict.hold - silent
        if due > 0 and (left > 0.001 or not self._pause.fresh):
            self._timers.start("hold", due, self._consider)
        elif left > 0.001:
            self._hold(verdict, left, text)
        else:
            await self._commit(OVER if self._held_because else verdict.why)

    def _hold(self, verdict: Verdict, left: float, text: str) -> None:
        if self._held_because != verdict.waits:
            self._held_because = verdict.waits
            self._journal.note("turn.held", why=verdict.waits, until=self._journal.now() + left)
        self._timers.start("hold", left, self._consider)
        if self._rules.speculate != "never" and not verdict.missing:
            self._ahead.ask_soon(text, _AHEAD)

    def _answer_ahead(self) -> None:
        """Let the model begin while the detector and the transcriber are still at it."""
        if self._rules.speculate != "silence" or not self._open or self._decided:
            return
        if self._pause.by or self._late or not self._voiced:
            return
        text = self._said.so_far
        verdict = self._judge.judge(self._said, instead=self._floor.expecting)
        if self._floor.caller_speaking and (self._said.interim or verdict.enough is None):
            return  # behind a whole answer a voice that is still heard may be the room's
        if text and verdict.may_be_answered_ahead:
            self._ahead.ask_soon(text, _GUESSED if self._said.interim else 0.0)

    def _propose(self, by: str) -> None:
        doubt = self._detector.doubt if by == self._detector.name else None
        if self._pause.propose(by, doubt=doubt or 0.0):
            told = {} if doubt is None else {"doubt": round(doubt, 2)}
            self._journal.note("turn.proposed", by=by, epoch=self._epoch, **told)

    async def _commit(self, why: str) -> None:
        guess = self._said.guess
        self._decide(why)
        await self._ending.begin(guess)

    async def drop(self) -> None:
        """The turn stopped the agent for nothing: end it without an answer."""
        if not self._open or self._decided:
            return
        self._decided = True
        self._timers.stop_all()
        self._said.begin("")
        self._floor.answer_owed = True  # the agent has not said all yet
        await self._ahead.withdraw("the turn was dropped")
        await self._ending.begin()

    async def reconsider(self) -> None:
        """Whether the turn counts is no longer in doubt."""
        await self._consider()

    def _decide(self, why: str) -> None:
        self._decided = True
        self._timers.stop_all()
        text = self._said.text
        self._judge.turn_over(text, held=self._held_because)
        self._floor.answer_owed = True
        self._floor.expecting = None
        self._floor.unanswered = self._said.whole
        self._floor.committed = Committed(
            at=self._now(),
            guessed=spoken(self._said.guess),
            silent=self._voiced and not self._ending.controller_hears,
        )
        self._said.guess = ""
        self._journal.note(
            "turn.committed", by=self._pause.by, why=why, text=text, epoch=self._epoch
        )

    async def _finalize(self) -> None:
        if await self._ahead.confirm(self._said.text):
            await self.trigger_user_turn_finalized(confirms_speculation=True)
        else:
            await self.trigger_user_turn_stopped()

    async def _push(self, frame: Frame) -> None:
        frame.interruptible = False  # an interruption empties the queue that it goes through
        await self.push_frame(frame)

    async def _answer_withdrawn(self) -> None:
        if await self._ahead.taken_back() and self._floor.answer_owed:
            await self._push(LLMRunFrame())

    # -- nothing waits for ever --------------------------------------------------------------------

    async def _on_overdue(self) -> None:
        """The detector has said nothing for too long."""
        if self._pause.by is None:
            if self._detector.stuck:
                await self._detector.restart("hung")
            elif not self._detector.failed:
                error = f"said nothing for {self._detector.patience:.1f} s"
                self._journal.note("detector.failed", by=self._detector.name, error=error)
            if not self._open or self._decided:
                return
            self._propose("silence")
        self._said.take_guess()
        await self._consider()

    async def _on_wordless(self) -> None:
        """A voice is heard, but it says nothing new: a television, a street."""
        self._floor.caller_speaking = False
        self._pause.void()
        self._pause.silent(self._now() - WORDLESS_FINAL, self._said.words)
        self._propose("words")
        self._said.take_guess()
        await self._consider()

    def _arm(self) -> None:
        """Tell the detector that a turn begins, once, at the first sign of it.

        That is the voice where there is one. Pipecat's turn begins with the first word, and for a
        short answer the word comes after the verdict, which the detector would then forget.
        """
        if not self._armed and not (self._decided and self._open):
            self._armed = True
            self._detector.turn_began()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
