"""The ladder's tools, and turns that are interrupted or not committed yet."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.frames.frames import (
    EagerEndOfTurnCancelFrame,
    InterruptionFrame,
    LLMContextFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.services.llm_service import FunctionCallParams
from tipring.llm.ladder import LadderLLMService
from tipring.providers import End, Rung, RungEvent, TextDelta, ToolCall

from tests.fast_loop import run_fast
from tests.scripted_rungs import (
    ANSWER,
    HANG,
    SENTENCES,
    ScriptedRung,
    Step,
    a_context,
    ladder,
    line,
    now,
    says,
)


def booking(handler: Any) -> ToolsSchema:
    return ToolsSchema(
        standard_tools=[
            FunctionSchema(
                name="book",
                description="Book a table.",
                properties={"people": {"type": "integer"}},
                required=["people"],
                handler=handler,
            )
        ]
    )


def test_a_tool_runs_once_though_two_rungs_asked_for_it_and_the_next_rung_reads_the_call() -> None:
    async def main() -> None:
        ran: list[dict[str, Any]] = []

        async def book(params: FunctionCallParams) -> None:
            ran.append(dict(params.arguments))
            await params.result_callback({"table": 7})

        call = ToolCall(id="call id: 0", name="book", arguments={"people": 2})
        first = ScriptedRung([[call, OSError("reset")], [OSError("still down")]])
        second = ScriptedRung(
            [["One moment.", call, call, End(reason="tool_calls")], says("Done!")]
        )
        context = LLMContext(
            messages=[{"role": "user", "content": "For two."}], tools=booking(book)
        )
        pair = LLMContextAggregatorPair(context)
        async with line(ladder(first, second), pair.assistant(), before=[pair.user()]) as phone:
            await phone.send(LLMContextFrame(context=context))
            await phone.below.until(lambda: "Done!" in phone.said)
            assert ran == [{"people": 2}, {"people": 2}]
            assert phone.said == ["One moment.", "Done!"]
            messages: list[Any] = second.contexts[1].get_messages()
            calls = [c for m in messages for c in m.get("tool_calls") or ()]
            assert [c["function"]["name"] for c in calls] == ["book", "book"]
            assert len({c["id"] for c in calls}) == 2
            assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,40}", c["id"]) for c in calls)
            results = {m["tool_call_id"] for m in messages if m["role"] == "tool"}
            assert results == {c["id"] for c in calls}

    run_fast(main())


def test_a_tool_call_behind_an_unconfirmed_turn_is_withdrawn_and_not_run() -> None:
    async def main() -> None:
        ran: list[str] = []

        async def book(params: FunctionCallParams) -> None:
            ran.append(params.tool_call_id)
            await params.result_callback({})

        rung = ScriptedRung([["One moment.", ToolCall(id="1", name="book"), End()]])
        context = LLMContext(messages=[{"role": "user", "content": "Book"}], tools=booking(book))
        async with line(ladder(rung)) as phone:
            await phone.send(UserStartedSpeakingFrame())
            await phone.send(LLMContextFrame(context=context, speculation=True))
            await phone.above.until(lambda: bool(phone.above.of(EagerEndOfTurnCancelFrame)))
            await phone.send(UserStoppedSpeakingFrame())
            await phone.below.until(lambda: bool(phone.below.of(UserStoppedSpeakingFrame)))
            assert phone.said == []
            assert ran == []
            # Committed, it is asked again, and now the call runs.
            assert await phone.ask(context) == ["One moment."]
            await phone.below.until(lambda: ran == ["1"])

    run_fast(main())


def test_an_answer_to_an_unconfirmed_turn_is_held_until_the_turn_is_committed() -> None:
    async def main() -> None:
        rung = ScriptedRung([says(ANSWER)])
        async with line(ladder(rung)) as phone:
            await phone.send(UserStartedSpeakingFrame())
            await phone.send(LLMContextFrame(context=a_context(), speculation=True))
            await asyncio.sleep(1)
            assert phone.said == []
            assert phone.told("on_rung_used") == [("a",)]
            await phone.send(UserStoppedSpeakingFrame())
            await phone.below.until(lambda: phone.said == SENTENCES)

    run_fast(main())


def test_no_apology_is_owed_for_a_turn_that_is_not_committed() -> None:
    async def main() -> None:
        rung = ScriptedRung([[OSError("down")], says(ANSWER)])
        async with line(ladder(rung)) as phone:
            await phone.send(UserStartedSpeakingFrame())
            await phone.send(LLMContextFrame(context=a_context(), speculation=True))
            await phone.above.until(lambda: bool(phone.above.of(EagerEndOfTurnCancelFrame)))
            await phone.send(UserStoppedSpeakingFrame())
            assert await phone.ask() == SENTENCES
            assert phone.told("on_exhausted") == []

    run_fast(main())


@pytest.mark.parametrize("script", [[HANG], ["We open", HANG], ["We open at nine. Sh", HANG]])
def test_an_interruption_closes_the_request_and_the_next_turn_is_answered(
    script: Sequence[Step],
) -> None:
    async def main() -> None:
        rung = ScriptedRung([script, says("Yes?")])
        async with line(ladder(rung)) as phone:
            await phone.send(LLMContextFrame(context=a_context()))
            await phone.below.until(lambda: rung.asked == 1 or bool(phone.said))
            if len(script) == 2 and "nine" in str(script[0]):
                await phone.below.until(lambda: phone.said == ["We open at nine."])
            began = now()
            await phone.send(InterruptionFrame())
            await phone.below.until(lambda: bool(phone.below.of(InterruptionFrame)))
            assert rung.closed == 1
            assert now() - began < 0.1
            assert await phone.ask() == ["Yes?"]
            assert phone.told("on_rung_failed") == []

    run_fast(main())


class DeafRung:
    """Swallows its cancellation, before or after a first sentence."""

    def __init__(self, first: str = "") -> None:
        self.first = first
        self.asked = 0

    async def stream(self, context: LLMContext, *, system: str) -> AsyncIterator[RungEvent]:
        self.asked += 1
        if self.asked > 1:
            yield TextDelta(text="Yes?")
            yield End()
            return
        until = now() + 60
        if self.first:
            yield TextDelta(text=self.first)
        while now() < until:
            try:
                await asyncio.sleep(until - now())
            except asyncio.CancelledError:
                continue

    async def aclose(self) -> None: ...


@pytest.mark.parametrize("first", ["", "We open at nine. Sh"])
def test_a_rung_that_does_not_let_go_holds_no_interruption_up(first: str) -> None:
    async def main() -> None:
        rung = DeafRung(first)
        async with line(LadderLLMService([("deaf", rung)], system="")) as phone:
            await phone.send(LLMContextFrame(context=a_context()))
            await asyncio.sleep(1)
            assert phone.said == ([first[:16]] if first else [])
            began = now()
            await phone.send(InterruptionFrame())
            assert await phone.ask() == ["Yes?"]
            assert now() - began < 0.5

    run_fast(main())


def test_a_deadline_holds_for_a_rung_that_does_not_listen_to_it() -> None:
    async def main() -> None:
        good: Rung = ScriptedRung([says(ANSWER)])
        rungs: list[tuple[str, Rung]] = [("deaf", DeafRung()), ("good", good)]
        async with line(LadderLLMService(rungs, system="")) as phone:
            began = now()
            assert await phone.ask() == SENTENCES
            assert now() - began < 8.5

    run_fast(main())


class BrokenRung:
    """Not what a rung should be: its stream cannot even be had."""

    def stream(self, context: LLMContext, *, system: str) -> AsyncIterator[RungEvent]:
        raise TypeError("not today")

    async def aclose(self) -> None:
        raise OSError("nor tomorrow")


class SelfCancellingRung(ScriptedRung):
    """Cancels itself, as a library with a cancel scope of its own may."""

    async def stream(self, context: LLMContext, *, system: str) -> AsyncIterator[RungEvent]:
        yield TextDelta(text="We ")
        raise asyncio.CancelledError


@pytest.mark.parametrize("broken", [BrokenRung(), SelfCancellingRung([])])
def test_a_rung_that_is_broken_in_itself_is_no_more_than_a_failure(broken: Rung) -> None:
    async def main() -> None:
        rungs = [("broken", broken), ("good", ScriptedRung([says(ANSWER)]))]
        async with line(LadderLLMService(rungs, system="")) as phone:
            assert await phone.ask() == SENTENCES
            assert [told[0] for told in phone.told("on_rung_failed")] == ["broken"]

    run_fast(main())
