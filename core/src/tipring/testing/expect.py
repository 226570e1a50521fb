"""What must hold in a call, in the words of a script's ``expect`` lines.

::

    expect 1 turn
    expect no interruption
    expect agent heard "Tuesday ... three"
    expect agent said "is that right"

What is counted is taken from the events of the host; only cut-ins are measured at the caller's ear.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tipring.tape.conversation import Conversation
    from tipring.testing.caller import CallerTurn


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """Something that must hold when the call is over.

    Attributes:
        line: Where it stands in the script.
        text: What stands there, without ``expect``.
        what: What is counted, in the singular; ``said`` and ``heard`` look for words.
        least: How many there must be.
        most: How many there may be; None: any number.
        words: What must be found in one turn of the caller, or in what the agent said: stretches of
            words in this order, with anything between them.
    """

    line: int
    text: str
    what: str
    least: int = 0
    most: int | None = None
    words: tuple[str, ...] = ()


COUNTED: dict[str, Callable[[Conversation], int]] = {
    "turn": lambda told: sum(turn.committed is not None for turn in told.turns),
    "answer": lambda told: sum(turn.first_audio is not None for turn in told.turns),
    "hold": lambda told: sum(len(turn.holds) for turn in told.turns),
    "interruption": lambda told: len(told.interruptions),
    "clear": lambda told: len(told.clears),
    "backchannel": lambda told: len(told.backchannels),
    "opener": lambda told: len(told.openers),
    "nudge": lambda told: len(told.nudges),
    "key": lambda told: len(told.keys),
}
"""What an ``expect`` line can count in the events of the host. ``cut-in`` is counted besides."""

_MANY = re.compile(r"(?:(at least|at most)\s+)?(\d+|no)\s+([a-z-]+)")
_WORDS = re.compile(r'agent\s+(said|heard)\s+"(.+)"')


def understand(text: str, line: int) -> Expectation | None:
    """Understand what follows ``expect``; None where it cannot be.

    Args:
        text: For example ``at least 1 hold``.
        line: Where it stands.
    """
    if found := _WORDS.fullmatch(text):
        pieces = tuple(" ".join(_spoken(piece)) for piece in found[2].split("..."))
        if not any(pieces):
            return None
        return Expectation(line=line, text=text, what=found[1], words=tuple(filter(None, pieces)))
    if not (found := _MANY.fullmatch(text)):
        return None
    what = found[3].removesuffix("s")
    number = 0 if found[2] == "no" else int(found[2])
    if what not in COUNTED and what != "cut-in":
        return None
    return Expectation(
        line=line,
        text=text,
        what=what,
        least=0 if found[1] == "at most" else number,
        most=None if found[1] == "at least" else number,
    )


def failing(
    expectation: Expectation, turns: Sequence[CallerTurn], told: Conversation | None
) -> str | None:
    """Say in a sentence why something does not hold.

    Args:
        expectation: What must.
        turns: The caller's turns, as the phone measured them.
        told: The call by the host's events; None when nobody has them.

    Returns:
        The sentence; empty when it holds, and None when it cannot be known without the events.
    """
    if expectation.what == "cut-in":
        return _number(expectation, sum(len(turn.cut_ins) for turn in turns))
    if told is None:
        return None
    if expectation.what in COUNTED:
        return _number(expectation, COUNTED[expectation.what](told))
    if expectation.what == "said":
        texts = [" ".join(one.text for one in told.agent)]
    else:
        texts = [turn.text for turn in told.turns]
    if any(_found(expectation.words, text) for text in texts):
        return ""
    instead = " / ".join(f'"{text}"' for text in texts if text) or "nothing"
    return f"expected {expectation.text}, and it {expectation.what} {instead}"


def _number(expectation: Expectation, number: int) -> str:
    if number >= expectation.least and (expectation.most is None or number <= expectation.most):
        return ""
    verb = "was" if number == 1 else "were"
    return f"expected {expectation.text}, and there {verb} {number or 'none'}"


def _found(pieces: Sequence[str], text: str) -> bool:
    where, padded = 0, f" {' '.join(_spoken(text))} "
    for piece in pieces:
        at = padded.find(f" {piece} ", where)
        if at < 0:
            return False
        where = at + len(piece) + 1
    return True


def _spoken(text: str) -> list[str]:
    return re.findall(r"[\w'-]+", text.casefold().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))
