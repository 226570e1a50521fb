"""What the agent just asked in this call, as far as the caller has heard it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tipring.turns.questions import YES_OR_NO, Judgement, Pauses, Questions, is_question, within
from tipring.turns.words import spoken


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """What one reply of the agent asks.

    Attributes:
        kind: What is expected, if it is one of the language's kinds.
        digits: How many digits, when the question says so.
        question: Whether its last sentence is a question, or asks plainly.
        open: Whether it asks for a story.
        closed: Whether it may be answered with a yes or a no, whatever it is about.
        tell: Whether it asks to be told something, so that a "sure" is no answer.
        words: How many words it has so far.
        middle: How many of them are said when the middle of its first question is.
    """

    kind: str | None = None
    digits: int | None = None
    question: bool = False
    open: bool = False
    closed: bool = False
    tell: bool = False
    words: int = 0
    middle: float | None = None


_NOTHING = _Asked()
_FEW = (None, YES_OR_NO, "date")
"""What is answered in a word or two."""


class Expecting:
    """Follows the agent's questions in one call.

    Args:
        questions: The language's.
        pauses: How long a pause in an answer may last.
        dictated: What else the agent asks for that is dictated, in its words.
    """

    def __init__(
        self, questions: Questions, pauses: Pauses | None = None, *, dictated: Sequence[str] = ()
    ) -> None:
        self._questions = questions
        self._pauses = pauses or Pauses()
        self._dictated = [spoken(phrase) for phrase in dictated]
        self._asked = self._earlier = _NOTHING
        self._unheard: _Asked | None = None
        self._answered = False

    @property
    def kind(self) -> str | None:
        """What the agent asked last."""
        return self._asked.kind

    @property
    def short(self) -> bool:
        """Whether a question was asked that can be answered in a word or two."""
        asked = self._asked
        return asked.question and not self.story and asked.kind in _FEW

    @property
    def story(self) -> bool:
        """Whether nothing but a story answers what the agent asked: "How can I help?"."""
        return self._asked.open and self._asked.kind is None

    @property
    def open(self) -> bool:
        """Whether the agent asked for a story, in which one pauses to think."""
        return self._asked.open and self._asked.kind in (None, YES_OR_NO)

    def telling(self, instead: str | None = None) -> bool:
        """Whether a mere "sure" is no answer to what the agent asked: "May I have your name?".

        Args:
            instead: What is expected, when somebody knows better than the agent's words.
        """
        return instead not in _FEW if instead else self._asked.tell

    def agent_said(self, sentence: str) -> None:
        """Take note of a sentence of the agent.

        A yes-or-no question does not take the place of a request in the same breath: after "What
        is your number? Are you there?" it is the number that comes.
        """
        if self._answered:
            self._asked, self._earlier = _NOTHING, self._asked
            self._unheard, self._answered = None, False
        asked, words = self._asked, spoken(sentence)
        question = is_question(sentence) or self._questions.is_request(sentence)
        kind = self._questions.kind_of(sentence)
        if question and any(within(words, one) for one in self._dictated):
            kind = "code"
        closed = self._questions.is_closed(sentence)
        tell = self._questions.asks_to_tell(sentence) or (
            question and kind not in _FEW and not closed
        )
        middle = asked.middle
        if question and middle is None:
            middle = asked.words + len(words) / 2
        self._asked = replace(
            asked,
            question=question,
            open=self._questions.is_open(sentence) or (asked.open and not question),
            closed=closed or (asked.closed and not question),
            tell=tell or (asked.tell and (closed or not question)),
            words=asked.words + len(words),
            middle=middle,
        )
        if kind and not (kind == YES_OR_NO and asked.kind):
            digits = self._questions.digits_asked(sentence)
            self._asked = replace(self._asked, kind=kind, digits=digits)

    def agent_cut(self, unsaid: str) -> None:
        """The agent was stopped. A question of which little was heard was not asked.

        The caller is still at the one before: the agent has cut in on their answer. They may go on
        with a number, or begin it anew, so what they said of it does not count any more.

        Args:
            unsaid: What had not been heard.
        """
        asked = self._asked
        if asked.middle is None or self._earlier.middle is None:
            return
        if asked.words - len(spoken(unsaid)) < asked.middle:
            self._asked, self._unheard = self._earlier, asked

    def agent_resumed(self) -> None:
        """It was stopped for nothing, and finishes its question."""
        if self._unheard is not None:
            self._asked, self._unheard = self._unheard, None

    def caller_answered(self) -> None:
        """The turn was committed; what the agent says next is another matter."""
        self._answered = True

    def judge(self, text: str, *, instead: str | None = None) -> Judgement | None:
        """Say whether the question has its answer, or None when it tells nothing about it.

        Args:
            text: All that the caller said.
            instead: What is expected, when somebody knows better than the agent's words.
        """
        asked = self._asked
        kind = instead or asked.kind
        judged = None
        if asked.closed and not asked.tell and not instead:
            judged = self._questions.judge(YES_OR_NO, text)
        if kind and not judged:
            judged = self._questions.judge(kind, text, digits=asked.digits, pauses=self._pauses)
        # Who is asked for letters may give a number; but what else is whole is no begin of one.
        if judged is None and kind in (None, YES_OR_NO, "spelling"):
            return self._questions.unasked(text, pauses=self._pauses)
        return judged
