"""A call drawn with letters, for a terminal: who spoke when, and what was decided between them.

::

            0         2         4         6         8
      caller           ==========
       agent  ======                     =======
       turns                     pp~~~~C
       phone                             a    m
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tipring.tape.conversation import Conversation

LETTER = 0.2
"""Seconds that one letter stands for."""

LEGEND = {
    "=": "speaks",
    "p": "proposed",
    "~": "held",
    "r": "resumed",
    "x": "answer withdrawn",
    "C": "committed",
    "b": "backchannel",
    "o": "opener kept",
    "s": "for somebody else",
    "e": "echo",
    "!": "barge-in",
    "k": "key",
    "a": "first audio",
    "n": "nudge",
    "c": "clear",
    "m": "mark played",
    "-": "mark cleared",
}
"""What each letter stands for."""

_LABEL = 8  # letters for the name of a lane
_TICK = 10  # letters from one time to the next: two seconds
_SHIFT = 3  # letters by which one may move aside for another

Span = tuple[float, float]


def draw(
    told: Conversation, *, caller: Sequence[Span], agent: Sequence[Span], width: int = 100
) -> str:
    """Draw a call in lanes, as many rows of them as the width needs.

    Args:
        told: What happened, by the host's events; an empty one draws the voices alone.
        caller: When the caller spoke: begin and end, in seconds since the call began.
        agent: When the agent was heard, likewise.
        width: Letters in a row.
    """
    last = max([told.duration, *(end for _, end in caller), *(end for _, end in agent)])
    length = int(last / LETTER) + 1
    lanes = {
        "caller": _lane(length, spans=[(*span, "=") for span in caller]),
        "agent": _lane(length, spans=[(*span, "=") for span in agent]),
        "turns": _lane(length, spans=_holds(told), points=_decisions(told)),
        "phone": _lane(length, points=_phone(told)),
    }
    room = max(_TICK, (width - _LABEL - 1) // _TICK * _TICK)
    rows = []
    for begin in range(0, length, room):
        end = min(begin + room, length)
        ticks = range(begin, end, _TICK)
        row = ["".join(f"{at * LETTER:<{_TICK}g}" for at in ticks)]
        row += [lane[begin:end] for lane in lanes.values()]
        names = ["", *lanes]
        rows += [
            f"{name:>{_LABEL}} {letters}".rstrip() for name, letters in zip(names, row, strict=True)
        ]
        rows.append("")
    used = set("".join(lanes.values()))
    legend = [f"{letter} {what}" for letter, what in LEGEND.items() if letter in used]
    return "\n".join([*rows, f"{'':{_LABEL}} {'   '.join(legend)}"])


def _holds(told: Conversation) -> Iterator[tuple[float, float, str]]:
    for turn in told.turns:
        for hold in turn.holds:
            yield hold.from_, hold.until, "~"


def _decisions(told: Conversation) -> list[tuple[float, str]]:
    points = [(proposal.at, "p") for turn in told.turns for proposal in turn.proposals]
    points += [(said.at, "b") for said in told.backchannels]
    points += [(said.at, "o") for said in told.openers]
    points += [(said.at, "s") for said in told.asides]
    points += [(said.at, "e") for said in told.echoes]
    points += [(stop.at, "!") for stop in told.interruptions]
    for turn in told.turns:
        points += [(at, "r") for at in turn.resumed]
        points += [(dropped.at, "x") for dropped in turn.withdrawn]
        if turn.committed is not None:
            points.append((turn.committed, "C"))
    return sorted(points, key=lambda point: point[0])  # of one moment: as they stand above


def _phone(told: Conversation) -> list[tuple[float, str]]:
    points = [(key.at, "k") for key in told.keys]
    points += [(turn.first_audio, "a") for turn in told.turns if turn.first_audio is not None]
    points += [(nudge.at, "n") for nudge in told.nudges]
    points += [(at, "c") for at in told.clears]
    points += [(mark.at, "-" if mark.cleared else "m") for mark in told.marks]
    return sorted(points, key=lambda point: point[0])


def _lane(
    length: int,
    *,
    spans: Sequence[tuple[float, float, str]] | Iterator[tuple[float, float, str]] = (),
    points: Sequence[tuple[float, str]] = (),
) -> str:
    letters = [" "] * length
    for begin, end, letter in spans:
        first = min(int(begin / LETTER), length - 1)
        for at in range(first, min(max(first + 1, round(end / LETTER)), length)):
            letters[at] = letter
    taken: set[int] = set()
    for when, letter in points:
        # Two things of the same moment stand beside each other.
        wanted = min(max(0, int(when / LETTER)), length - 1)
        at = next((at for at in range(wanted, wanted + _SHIFT) if at not in taken), wanted)
        if at < length:
            taken.add(at)
            letters[at] = letter
    return "".join(letters)
