"""What a script says must hold: understood, looked at in a call, and told in a sentence."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tipring.journal import Journal
from tipring.tape.conversation import Conversation
from tipring.tape.turns import tell
from tipring.testing import CallerTurn, Script, ScriptError
from tipring.testing.caller import Part
from tipring.testing.expect import failing, understand

from tests.a_call import Clock, play

DOCS = Path(__file__).parents[1] / "docs" / "emulated-phone.md"


@pytest.fixture(scope="module")
def call() -> Conversation:
    """Six turns, one hold for "and", two for digits, an mhm, a barge-in, a nudge, a key."""
    clock = Clock()
    journal = Journal(clock=clock)
    play(journal, clock)
    return tell(journal.events)


def sentence(line: str, told: Conversation | None, *turns: CallerTurn) -> str | None:
    expectation = understand(line, 3)
    assert expectation is not None and (expectation.line, expectation.text) == (3, line)
    return failing(expectation, turns, told)


@pytest.mark.parametrize(
    "line",
    [
        "6 turns",
        "at least 6 turns",
        "6 answers",
        "at most 6 turns",
        "3 holds",
        "1 interruption",
        "1 clear",
        "1 backchannel",
        "no opener",
        "1 nudge",
        "1 key",
        "no cut-ins",
        'agent heard "half past two"',
        'agent heard "I\'d like ... next week"',
        'agent said "of course, next week is fine"',
        'agent said "good morning ... half past two ... goodbye"',
    ],
)
def test_what_holds_is_passed_over(line: str, call: Conversation) -> None:
    assert sentence(line, call) == ""


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("5 turns", "expected 5 turns, and there were 6"),
        ("at least 7 turns", "expected at least 7 turns, and there were 6"),
        ("at most 2 holds", "expected at most 2 holds, and there were 3"),
        ("no backchannel", "expected no backchannel, and there was 1"),
        ("1 opener", "expected 1 opener, and there were none"),
        ('agent heard "half past nine"', 'expected agent heard "half past nine", and it heard "Hi'),
        ('agent heard "next week ... hi"', "and it heard \"Hi, I'd like"),
        # In one turn, not in two of them.
        ('agent heard "next week ... Tuesday"', "and it heard \"Hi, I'd like"),
        ('agent said "fine ... of course"', 'and it said "Elm Street'),
        ('agent said "week is fin"', 'and it said "Elm Street'),
    ],
)
def test_what_does_not_hold_is_told_with_what_was(line: str, told: str, call: Conversation) -> None:
    assert told in (sentence(line, call) or "")


def test_a_cut_in_is_what_the_caller_heard(call: Conversation) -> None:
    turn = CallerTurn(
        number=1, kind="turn", parts=(Part(text="hi", begin=1.0, end=2.0),), cut_ins=(1.5,)
    )
    assert sentence("no cut-ins", None, turn) == "expected no cut-ins, and there was 1"
    assert sentence("1 cut-in", call, turn) == ""


@pytest.mark.parametrize("line", ["1 turn", "no clear", 'agent said "hello"'])
def test_without_the_hosts_events_nothing_is_claimed(line: str) -> None:
    assert sentence(line, None) is None


@pytest.mark.parametrize(
    "line", ["", "one turn", "1 trun", "no", "at least no", 'agent said ""', 'agent says "hello"']
)
def test_what_cannot_be_understood_is_told_with_its_line(line: str) -> None:
    with pytest.raises(ScriptError, match="(?s)line 2.*is not understood.*expect 1 turn") as caught:
        Script.parse(f"wait\nexpect {line}", name="greet")
    assert "turns, answers, holds, interruptions" in str(caught.value)


def test_every_line_of_the_page_is_understood() -> None:
    section = DOCS.read_text().split("## What must hold")[1].split("\n## ")[0]
    forms = re.findall(r"^\| `(expect [^`]+)` \|", section, flags=re.M)
    assert len(forms) == 12
    script = Script.parse("\n".join(["# It is about this.", *forms, "wait"]))
    assert [f"expect {one.text}" for one in script.expectations] == forms
    assert script.summary == "It is about this."
