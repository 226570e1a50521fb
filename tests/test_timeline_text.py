"""A call in letters: who spoke, what was decided between, and what the phone was told."""

from __future__ import annotations

import pytest
from tipring.journal import Journal
from tipring.tape.conversation import Conversation
from tipring.tape.timeline_text import LEGEND, draw
from tipring.tape.turns import tell

from tests.a_call import CALL, Clock, play, spans


@pytest.fixture(scope="module")
def call() -> Conversation:
    clock = Clock()
    journal = Journal(clock=clock)
    play(journal, clock)
    return tell(journal.events)


def lanes(text: str, *, width: int) -> dict[str, str]:
    """Each lane in one piece, whatever rows it was drawn in."""
    joined: dict[str, str] = {"caller": "", "agent": "", "turns": "", "phone": ""}
    rows = [line for line in text.splitlines() if line[:8].strip() in joined]
    room = (width - 9) // 10 * 10
    for row in rows:
        joined[row[:8].strip()] += row[9:].ljust(room)
    return joined


def test_voices_decisions_and_the_line_stand_at_their_times(call: Conversation) -> None:
    text = draw(
        call,
        caller=spans("speech.started", "speech.stopped"),
        agent=spans("agent.started", "agent.stopped"),
        width=1000,
    )
    drawn = lanes(text, width=1000)
    for name, start, stop in (
        ("caller", "speech.started", "speech.stopped"),
        ("agent", "agent.started", "agent.stopped"),
    ):
        for begin, end in spans(start, stop):
            middle = int((begin + end) / 2 / 0.2)
            assert drawn[name][middle] == "="
    assert drawn["caller"].count(" ") > drawn["caller"].count("=")
    for name, letter, lane in (
        ("turn.proposed", "p", "turns"),
        ("turn.committed", "C", "turns"),
        ("turn.withdrawn", "x", "turns"),
        ("turn.resumed", "r", "turns"),
        ("backchannel", "b", "turns"),
        ("aside", "s", "turns"),
        ("echo", "e", "turns"),
        ("interruption", "!", "turns"),
        ("clear", "c", "phone"),
        ("nudge", "n", "phone"),
        ("key", "k", "phone"),
        ("mark.played", "m", "phone"),
        ("mark.cleared", "-", "phone"),
    ):
        times = [at for at, event, _ in CALL if event == name]
        letters = [at for at, one in enumerate(drawn[lane]) if one == letter]
        assert len(letters) == len(times), name
        # In its place, or moved aside for something of the same moment.
        assert all(0 <= at - int(time / 0.2) <= 2 for at, time in zip(letters, times, strict=True))
    assert drawn["phone"].count("a") == len(call.turns)
    assert "~" in drawn["turns"]


def test_a_long_call_is_drawn_in_rows_that_fit(call: Conversation) -> None:
    voices = {"caller": [(1.0, 2.0)], "agent": [(50.0, 54.0)]}
    wide, narrow = draw(call, **voices, width=1000), draw(call, **voices, width=60)
    body = narrow.rpartition("\n")[0]
    assert max(map(len, body.splitlines())) <= 60
    assert {name: lane.rstrip() for name, lane in lanes(narrow, width=60).items()} == {
        name: lane.rstrip() for name, lane in lanes(wide, width=1000).items()
    }
    ticks = [line.split() for line in body.splitlines() if line.strip()[:1].isdigit()]
    assert [float(tick) for row in ticks for tick in row] == [2.0 * n for n in range(28)]


def test_only_what_is_drawn_is_explained(call: Conversation) -> None:
    legend = draw(call, caller=[], agent=[], width=100).splitlines()[-1]
    assert "p proposed" in legend and "= speaks" not in legend and "o opener" not in legend
    assert set(draw(Conversation(), caller=[(0, 1)], agent=[]).splitlines()[-1].split()) == {
        "=",
        "speaks",
    }
    assert len(set(LEGEND.values())) == len(LEGEND)


def test_a_call_without_anything_is_drawn_as_well() -> None:
    assert "caller" in draw(Conversation(), caller=[], agent=[])
