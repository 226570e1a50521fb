"""Between the word that interrupts and the agent's silence nothing waits."""

from __future__ import annotations

import asyncio

import pytest

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
