"""What the words of a turn say about its end: that it is there, or what is still waited for."""

from __future__ import annotations

from dataclasses import dataclass

from tipring.journal import Event, Journal
from tipring.sections import Turns
from tipring.turns.expecting import Expecting, Pauses, questions_for
from tipring.turns.said import Said
from tipring.turns.words import Unfinished, Words, spoken

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
        return not self.missing and self.waits in (None, Unfinished.UNMARKED.value)


class Judge:
    """Judges words by themselves, and by what the agent asked.

    Args:
        words: The word lists of the conversation's language.
        rules: The times.
        punctuates: Whether a missing full stop means something with the transcriber in use.
        language: The conversation's, a BCP 47 tag.
        journal: Tells what the agent says, and when it is answered.
    """

    def __init__(
        self, *, words: Words, rules: Turns, punctuates: bool, language: str, journal: Journal
    ) -> None:
        self.punctuates = punctuates
        self._words = words
        self._short = rules.short
        self._holds = {
            Unfinished.BEGUN: max(rules.hold, rules.begun),
            Unfinished.TRAILING: rules.hold,
            Unfinished.UNMARKED: min(rules.hold, rules.unmarked),
        }
        pauses = Pauses(dictation=rules.dictation, spelling=rules.spelling, address=rules.address)
        self._expecting = Expecting(questions_for(language), pauses)
        journal.subscribe(self._follow)

    def judge(self, said: Said, *, instead: str | None) -> Verdict:
        """Say what is to be done.

        Args:
            said: The words. A guess of the transcriber's has no full stop yet, and needs none.
            instead: What is expected, when somebody knows better than the agent's words.
        """
        whole = f"{said.before} {said.so_far}".strip()
        answer = self._expecting.judge(whole, instead=instead)
        if answer and answer.done:
            return Verdict(why=f"{answer.kind} given", waits=None, hold=0.0, enough=0.0)
        marked = self.punctuates and not said.interim
        because = self._words.unfinished_because(said.so_far, punctuates=marked)
        hold = self._holds[because] if because else 0.0
        if answer is None:
            return Verdict(
                why="the words sound finished",
                waits=because.value if because else None,
                hold=hold,
                enough=self._short if because is None and self._is_short(whole) else None,
            )
        return Verdict(
            why="",
            waits=f"expecting {answer.kind_with_article}",
            hold=max(hold, answer.hold),
            missing=answer.sure,
        )

    def _is_short(self, text: str) -> bool:
        """Whether it is a short answer to a question, and not a hello before the answer."""
        if not self._expecting.short or len(spoken(text)) > _SHORT:
            return False
        return self._words.is_backchannel(text) or not self._words.is_opener(text)

    def _follow(self, event: Event) -> None:
        match event.name:
            case "agent.said":
                self._expecting.agent_said(event.detail["text"])
            case "turn.committed":
                self._expecting.caller_answered()
