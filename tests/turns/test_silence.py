"""Silences that the pipeline cannot make by itself: a tool that never comes back."""

from __future__ import annotations

import asyncio

from tipring.journal import Journal
from tipring.sections import Turns
from tipring.turns.floor import Floor
from tipring.turns.silence import DeadAir, Remedy

from tests.fast_loop import run_fast


async def remedies(
    *script: tuple[float, str], until: float, unplayed: bool = False
) -> list[tuple[float, str]]:
    """What is done about the silence around these events, which nobody else breaks."""
    loop = asyncio.get_running_loop()
    journal, floor = Journal(clock=loop.time), Floor()
    done: list[tuple[float, str]] = []

    async def remedy(remedy: Remedy) -> None:
        done.append((round(loop.time(), 1), remedy))

    dead_air = DeadAir(journal=journal, floor=floor, rules=Turns(), remedy=remedy)
    watching = asyncio.create_task(dead_air.watch())
    for at, name in script:
        await asyncio.sleep(at - loop.time())
        floor.answer_owed = floor.answer_owed or name == "turn.committed"
        floor.agent_audible = (floor.agent_audible or name == "agent.started") and (
            name != "agent.stopped"
        )
        floor.answer_owed = floor.answer_owed and not floor.agent_audible
        floor.unplayed = unplayed and name != "mark.played"
        journal.note(name)
    await asyncio.sleep(until - loop.time())
    watching.cancel()
    return done


def test_a_tool_that_never_comes_back_is_covered_by_a_filler_and_given_up_in_the_end() -> None:
    done = run_fast(remedies((1.0, "turn.committed"), (1.5, "tool.called"), until=60.0))
    assert done[:2] == [(5.5, "filler"), (41.5, "apology")]


def test_the_caller_is_not_nudged_while_a_tool_runs_that_the_agent_announced() -> None:
    script = [
        (1.0, "turn.committed"),
        (2.0, "agent.started"),
        (2.5, "tool.called"),
        (3.0, "agent.stopped"),
    ]
    done = run_fast(remedies(*script, until=20.0))
    assert done == [(7.0, "filler")]


def test_a_tool_that_came_back_leaves_the_answer_to_the_agent() -> None:
    script = [(1.0, "turn.committed"), (1.5, "tool.called"), (2.5, "tool.done")]
    done = run_fast(remedies(*script, until=12.0))
    assert done == [(6.5, "filler"), (10.5, "ask again")]


def test_the_callers_silence_begins_when_the_phone_has_played_the_last_word() -> None:
    script = [(1.0, "agent.started"), (2.0, "agent.stopped"), (3.5, "mark.played")]
    done = run_fast(remedies(*script, until=10.0, unplayed=True))
    assert done == [(9.5, "nudge")]


def test_a_phone_that_confirms_nothing_is_not_waited_for_for_ever() -> None:
    script = [(1.0, "agent.started"), (2.0, "agent.stopped")]
    done = run_fast(remedies(*script, until=14.0, unplayed=True))
    assert done == [(13.0, "nudge")]
