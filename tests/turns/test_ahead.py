"""An answer ahead of the commit that the model takes back, and the commit that crosses with it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.services.llm_service import FunctionCallParams
from tipring.providers import End, ToolCall

from tests.fast_loop import run_fast
from tests.scripted_rungs import Step, says
from tests.turns.stage import Stage

TOOL: Sequence[Step] = ["One moment.", ToolCall(id="1", name="book"), End()]
HOLD_ENDS = 3.0
"""The voice that ends at 1.2 s is held for 1.8 s."""


async def a_held_turn(scripts: Sequence[Sequence[Step]], ran: list[str]) -> Stage:
    async def book(params: FunctionCallParams) -> None:
        ran.append(params.tool_call_id)
        await params.result_callback({"table": 7})

    stage = Stage("third", scripts)
    schema = FunctionSchema(
        name="book", description="Book it.", properties={}, required=[], handler=book
    )
    stage.conversation.set_tools(ToolsSchema(standard_tools=[schema]))
    async with stage.running():
        await stage.voice(True)
        await asyncio.sleep(1)
        await stage.final("Book a table for two and")
        await asyncio.sleep(0.4)
        await stage.voice(False)
        await asyncio.sleep(8)
    return stage


def test_an_answer_ahead_that_wants_a_tool_is_asked_for_again_and_the_tool_runs_once() -> None:
    async def main() -> None:
        ran: list[str] = []
        stage = await a_held_turn([TOOL, TOOL, says("Booked.")], ran)
        assert len(ran) == 1
        assert [text for _, text in stage.mouth.heard] == ["One moment.", "Booked."]
        assert [event.detail["why"] for event in stage.noted("turn.withdrawn")] == [
            "the answer needs the commit"
        ]

    run_fast(main())


def test_what_an_answer_ahead_cost_that_was_not_needed_is_counted() -> None:
    async def main() -> None:
        stage = Stage("third", [[0.3, *says("One. Two. Three."), 5.0], says("Sure.")])
        async with stage.running():
            await stage.voice(True)
            await asyncio.sleep(1)
            await stage.final("A table for two and")
            await asyncio.sleep(0.4)
            await stage.voice(False)
            await asyncio.sleep(1)
            await stage.voice(True)
            await asyncio.sleep(0.4)
            assert not stage.noted("turn.withdrawn")  # a voice alone may be a breath
            await stage.interim("For")
            await asyncio.sleep(1)
        [withdrawn] = stage.noted("turn.withdrawn")
        assert withdrawn.detail["why"] == "the caller went on"
        assert 1.3 <= withdrawn.detail["wasted"] <= 1.4
        assert withdrawn.detail["tokens"] >= 1

    run_fast(main())


@pytest.mark.parametrize("early", [0.0, 0.0001, 0.001, 0.01, 0.1])
def test_a_tool_that_is_wanted_in_the_moment_of_the_commit_is_not_forgotten(early: float) -> None:
    async def main() -> None:
        ran: list[str] = []
        # The turn is proposed at 1.4 s and answered ahead 0.05 s later.
        thinks: list[Step] = [HOLD_ENDS - 1.45 - early, *TOOL]
        stage = await a_held_turn([thinks, TOOL, says("Booked.")], ran)
        # A tool that is wanted just after the commit runs at once; then the script wants it again.
        assert len(ran) == (1 if early else 2)
        heard = [text for _, text in stage.mouth.heard]
        assert heard[-1] == "Booked."
        assert heard.count("Booked.") == 1

    run_fast(main())
