"""Who has the floor, as far as the host can tell. One object a call, shared by the rules."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

# A transcriber's words come this late at the most after the turn that they belong to was committed.
_LATE = 1.5
# The agent's words that are kept: half a minute of them.
_WORDS = 100


@dataclass(frozen=True, kw_only=True)
class Committed:
    """The caller's last turn.

    Attributes:
        at: When it was committed, in seconds of the running loop.
        guessed: Words of it that the transcriber had not made final.
        silent: Whether the caller was known to be silent; without a voice detector nobody knows.
    """

    at: float
    guessed: tuple[str, ...] = ()
    silent: bool = True


@dataclass(kw_only=True)
class Floor:
    """The state of the conversation that more than one rule needs.

    Attributes:
        agent_audible: Whether the caller hears the agent now.
        audible_since: When they began to, or last did, in seconds of the running loop.
        on_its_way: Whether the agent has said something of which nothing is heard yet.
        answer_owed: Whether a turn was committed and the agent has not been heard since.
        greeting: Whether the agent's first words are still to be heard out.
        caller_speaking: Whether the voice detector hears the caller.
        turn_open: Whether the caller's turn is open.
        leaving: Whether the agent is saying goodbye.
        cut_goodbye: Whether what the caller stopped last was the agent's goodbye.
        filling: Whether what the agent says now is a filler, which answers nothing.
        unplayed: Whether the phone has not yet confirmed to have played all that it was given.
        in_doubt: Whether it is not known yet if the agent was stopped for nothing.
        expecting: What the next turn should hold (a key of ``[expecting.asks]`` in the language's
            file, such as ``phone number``), when somebody knows it better than the agent's last
            sentence tells. It holds for one turn.
        unanswered: What the caller said that no audible answer has followed yet.
        taken_back: Whether an answer was stopped before it was heard, and nothing was said since.
        committed: The caller's last turn, until their voice is heard again.
        agent_words: The agent's last words, each with when it had been heard, in seconds of the
            running loop.
        agent_next: Those that follow in this moment.
    """

    agent_audible: bool = False
    audible_since: float = 0.0
    on_its_way: bool = False
    answer_owed: bool = False
    greeting: bool = False
    caller_speaking: bool = False
    turn_open: bool = False
    leaving: bool = False
    cut_goodbye: bool = False
    filling: bool = False
    unplayed: bool = False
    in_doubt: bool = False
    expecting: str | None = None
    unanswered: str = ""
    taken_back: bool = False
    committed: Committed | None = None
    agent_words: deque[tuple[float, str]] = field(default_factory=lambda: deque(maxlen=_WORDS))
    agent_next: tuple[str, ...] = ()

    def is_late(self, now: float) -> bool:
        """Whether words that arrive now belong to the turn that was committed just before.

        They do when the caller has not been heard since: a transcriber lags behind the voice.

        Args:
            now: Seconds of the running loop.
        """
        last = self.committed
        if last is None or not last.silent or self.turn_open or self.caller_speaking:
            return False
        return now - last.at < _LATE
