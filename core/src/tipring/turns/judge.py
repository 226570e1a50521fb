"""What the words of a turn say about its end: that it is there, or what is still waited for."""

from __future__ import annotations

from dataclasses import dataclass

from tipring.journal import Event, Journal
from tipring.sections import Turns
from tipring.turns.expecting import Expecting
from tipring.turns.punctuation import Punctuation
from tipring.turns.questions import Pauses, questions_for
from tipring.turns.said import Said
from tipring.turns.words import Unfinished, Words, spoken

OVER = "the hold is over"
_FINISHED = "the words sound finished"
_BEGIN = "only a hello"
_CONSENT = "only a yes"
_UNSURE = "the detector is not sure"
_AGREES = 0.25
"""A detector's doubt from which it agrees that unfinished words go on. Where only the full stop was
missing, 28 of 47 ends had none at all and three in four had under 0.05, and of 67 pauses half had
0.19 and more (Smart Turn, recorded speech)."""
_SHORT = 3
"""Words of a short answer: "No thanks.", "Four.", "On Tuesday." So short a sound tells a detector
little: of single spoken digits Smart Turn takes one in four for the begin of something longer."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What is to be done with a turn when the caller is silent.

    Attributes:
        why: Why it may be committed.
        waits: Why it is held; None when it is not.
        hold: Seconds of silence after which it is committed all the same.
        enough: Seconds of silence after which no detector need be heard, or None: one must be.
        missing: Whether something is known to be missing, so that answering ahead is a waste.
    """

    why: str
    waits: str | None
    hold: float
    enough: float | None = None
    missing: bool = False

    @property
    def may_be_answered_ahead(self) -> bool:
        """Whether it is likely enough to be over that an answer ahead is no waste."""
        return not self.missing and self.waits in (None, _UNSURE, Unfinished.UNMARKED.value)


class Judge:
    """Judges words by themselves, and by what the agent asked.

    Args:
        words: The word lists of the conversation's language.
        rules: The times.
        punctuation: Whether a missing full stop means something with the transcriber in use.
        language: The conversation's, a BCP 47 tag.
        journal: Tells what the agent says, and when it is answered.
    """

    def __init__(
        self,
        *,
        words: Words,
        rules: Turns,
        punctuation: Punctuation,
        language: str,
        journal: Journal,
    ) -> None:
        self.punctuation = punctuation
        self._words = words
        self._rules = rules
        pauses = Pauses(dictation=rules.dictation, spelling=rules.spelling, address=rules.address)
        self._expecting = Expecting(questions_for(language), pauses, dictated=rules.dictated)
        journal.subscribe(self._follow)

    def judge(self, said: Said, *, instead: str | None, doubt: float = 0.0) -> Verdict:
        """Say what is to be done.

        Args:
            said: The words. A guess of the transcriber's has no full stop yet, and needs none.
            instead: What is expected, when somebody knows better than the agent's words.
            doubt: How much the detector doubts its proposal, 0 to 1.
        """
        whole = f"{said.before} {said.so_far}".strip()
        answer = self._expecting.judge(whole, instead=instead)
        if answer and answer.done:
            return Verdict(why=f"{answer.kind} given", waits=None, hold=0.0, enough=0.0)
        marked = self.punctuation.counts and not said.interim
        because = self._words.unfinished_because(said.so_far, punctuates=marked)
        more = self._rules.open if self._expecting.open else 0.0
        agreed = self._rules.agreed * min(1.0, doubt / _AGREES)
        hold = self._hold(because, more + agreed) if because else 0.0
        if answer:
            return Verdict(
                why=OVER,
                waits=f"expecting {answer.kind_with_article}",
                hold=max(hold, answer.hold),
                missing=answer.sure,
            )
        # Behind a single word transcribers often leave the full stop out.
        if because in (None, Unfinished.UNMARKED):
            if self._expecting.telling(instead) and self._words.is_consent(whole):
                return Verdict(why=OVER, waits=_CONSENT, hold=self._rules.unmarked)
            if self._is_short(whole):
                return Verdict(why=_FINISHED, waits=None, hold=0.0, enough=self._rules.short)
        if because:
            return Verdict(why=OVER, waits=because.value, hold=hold)
        if self._is_only_begin(whole):
            return Verdict(why=OVER, waits=_BEGIN, hold=self._rules.unmarked + more)
        if doubt:
            hold = (self._rules.unsure + more) * doubt
            return Verdict(why=_FINISHED, waits=_UNSURE, hold=hold)
        return Verdict(why=_FINISHED, waits=None, hold=0.0)

    def turn_over(self, text: str, *, held: str | None) -> None:
        """Take note of a turn that was committed, and of what was waited for last."""
        self.punctuation.turn_over(text, waited=held == Unfinished.UNMARKED.value)

    def _hold(self, because: Unfinished, more: float) -> float:
        rules, longest = self._rules, max(self._rules.hold, self._rules.begun)
        match because:
            case Unfinished.UNMARKED:
                return min(min(rules.hold, rules.unmarked) + more, longest)
            case Unfinished.TRAILING:
                return min(rules.hold + more, longest)
            case Unfinished.BEGUN:
                return longest

    def _is_short(self, text: str) -> bool:
        """Whether it is a short answer to a question, and not a hello before the answer."""
        if not self._expecting.short or len(spoken(text)) > _SHORT:
            return False
        return self._words.is_backchannel(text) or not self._words.is_opener(text)

    def _is_only_begin(self, text: str) -> bool:
        """Whether it is what comes before a story: "Yes, hi." to "How can I help?"."""
        return (
            self._expecting.story
            and not text.rstrip().endswith("?")
            and self._words.is_opener(text)
        )

    def _follow(self, event: Event) -> None:
        match event.name:
            case "agent.said":
                self._expecting.agent_said(event.detail["text"])
            case "agent.cut":
                self._expecting.agent_cut(event.detail["unsaid"])
            case "agent.resumed":
                self._expecting.agent_resumed()
            case "turn.committed":
                self._expecting.caller_answered()
