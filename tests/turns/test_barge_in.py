"""Between the word that interrupts and the agent's silence nothing waits."""

from __future__ import annotations

import asyncio

import pytest
from tipring.journal import Event

from tests.fast_loop import run_fast
from tests.turns.detectors import DETECTORS
from tests.turns.stage import Stage, replies


@pytest.mark.parametrize("detector", DETECTORS)
def test_the_agent_is_silent_in_the_moment_of_the_word_that_interrupts_it(detector: str) -> None:
    async def call() -> tuple[float, float]:
        stage = Stage(detector, replies("Ten."))
        async with stage.running():
            await stage.agent("The table is yours at eight.", "It is by the window.")
            await asyncio.sleep(1.0)
            await stage.voice(True)
            await asyncio.sleep(0.3)
            said = stage.journal.now()
            await stage.interim("No")
            await asyncio.sleep(1.0)
            (stopped,) = stage.noted("agent.stopped")
            return said, stopped.at

    said, stopped = run_fast(call())
    # The clock moves only while everybody waits.
    assert stopped == pytest.approx(said, abs=1e-6)


@pytest.mark.parametrize("detector", DETECTORS)
def test_the_phone_is_told_in_the_step_of_the_loop_in_which_it_was_decided(detector: str) -> None:
    async def call() -> list[str]:
        stage = Stage(detector, replies("Ten."))
        steps: list[str] = []

        def follow(event: Event) -> None:
            if event.name in ("interruption", "clear"):
                steps.append(event.name)
            if event.name == "interruption":
                asyncio.get_running_loop().call_soon(steps.append, "the loop's next step")

        stage.journal.subscribe(follow)
        async with stage.running():
            await stage.agent("The table is yours at eight.", "It is by the window.")
            await asyncio.sleep(1.0)
            await stage.voice(True)
            await asyncio.sleep(0.3)
            await stage.interim("No")
            await asyncio.sleep(1.0)
        return steps

    assert run_fast(call()) == ["interruption", "clear", "the loop's next step"]


def test_who_takes_a_turn_without_stopping_anybody_clears_nothing() -> None:
    async def call() -> list[Event]:
        stage = Stage("smart", replies("Ten."))
        async with stage.running():
            await stage.voice(True)
            await asyncio.sleep(0.3)
            await stage.interim("I need a table")
            await asyncio.sleep(1.0)
        return stage.noted("clear")

    assert run_fast(call()) == []
