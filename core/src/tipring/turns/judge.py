"""What the words of a turn say about its end: that it is there, or what is still waited for."""

from __future__ import annotations

from dataclasses import dataclass

from tipring.journal import Event, Journal
from tipring.sections import Turns
from tipring.turns.expecting import Expecting, Pauses, questions_for
from tipring.turns.said import Said
from tipring.turns.words import Unfinished, Words


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What is to be done with a turn when the caller is silent.

    Attributes:
        why: Why it may be committed.
        waits: Why it is held; None when it is not.
        hold: Seconds of silence after which it is committed all the same.
        given: Whether just what was asked for was given, so that no detector need be heard.
        missing: Whether something is known to be missing, so that answering ahead is a waste.
    """

    why: str
    waits: str | None
    hold: float
    given: bool = False
    missing: bool = False


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
            said: The words.
            instead: What is expected, when somebody knows better than the agent's words.
        """
        answer = self._expecting.judge(said.whole, instead=instead)
        if answer and answer.done:
            return Verdict(why=f"{answer.kind} given", waits=None, hold=0.0, given=True)
        because = self._words.unfinished_because(said.text, punctuates=self.punctuates)
        hold = self._holds[because] if because else 0.0
        if answer is None:
            waits = because.value if because else None
            return Verdict(why="the words sound finished", waits=waits, hold=hold)
        return Verdict(
            why="",
            waits=f"expecting {answer.kind_with_article}",
            hold=max(hold, answer.hold),
            missing=answer.sure,
        )

    def _follow(self, event: Event) -> None:
        match event.name:
            case "agent.said":
                self._expecting.agent_said(event.detail["text"])
            case "turn.committed":
                self._expecting.caller_answered()
