"""What a rung of the ladder has to keep."""

from __future__ import annotations

import asyncio
import copy
import unittest
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, ClassVar

from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.processors.aggregators.llm_context import LLMContext

from tipring.providers import End, Rung, RungEvent, TextDelta, ToolCall, Usage
from tipring.testing.contract import ContractBroken, ProviderContract, rule
from tipring.testing.contract_line import leaves_nothing, now

CANCEL = 0.1
"""Seconds in which a rung has to be silent after it was cancelled."""

_SYSTEM = "You answer the phone of a dentist. Be brief."
_NEVER_ENDED = "yield End() when the provider says that the answer is whole, and never otherwise"


class LlmContract(ProviderContract):
    """What holds for a rung.

    Attributes:
        says: What the caller says; the answer should have a few words.
        asks_for_tool: What the caller says to make the model call ``opening_hours(day)``. Empty:
            only that a tool call of another rung is understood is checked.
        breaks: Settings with which the provider breaks off in mid-answer, such as an emulator's
            address. None: that rule is skipped.
        within: Seconds in which an answer has to be whole.
    """

    says: ClassVar[str] = "Hello, when are you open, and can I come on Tuesday?"
    asks_for_tool: ClassVar[str] = ""
    breaks: ClassVar[Mapping[str, Any] | None] = None
    within: ClassVar[float] = 20.0

    @rule
    def test_streams_and_ends_with_end(self) -> None:
        """Piece by piece, so that the first sentence can be spoken while the second is made."""

        async def run() -> None:
            events = await self._answer(self._context(self.says))
            _whole(events)
            if len([e for e in events if isinstance(e, TextDelta)]) < 2:
                raise ContractBroken(
                    "the answer came in one piece",
                    "ask the provider to stream, and yield a TextDelta for each piece",
                )

        asyncio.run(run())

    @rule
    def test_stops_within_100_ms_of_cancel(self) -> None:
        """A caller who goes on takes the turn back; nobody pays for the rest of the answer."""

        async def run() -> None:
            best = {"closed": 10.0, "cancelled": 10.0}
            ways: dict[str, Callable[[Rung], Awaitable[float]]] = {
                "closed": self._close,
                "cancelled": self._cancel,
            }
            for _ in range(3):  # another process's turn on the CPU is not the plugin's fault
                for way, stop in ways.items():
                    if best[way] > CANCEL:
                        rung: Rung = self._part().build(self._call())
                        best[way] = min(best[way], await stop(rung))
                        await rung.aclose()
            for way, seconds in best.items():
                if seconds > CANCEL:
                    raise ContractBroken(
                        f"when it was {way} it went on for {seconds * 1000:.0f} ms",
                        "let CancelledError and GeneratorExit through, and close the response in"
                        " finally",
                    )

        asyncio.run(run())

    @rule
    def test_surfaces_an_answer_that_ends_early(self) -> None:
        """Half an answer is a failure, so that the next rung is asked."""
        if self.breaks is None:
            raise unittest.SkipTest(
                "give breaks = {...}: settings with which the provider breaks off in mid-answer"
            )

        async def run() -> None:
            rung: Rung = self._part(**(self.breaks or {})).build(self._call())
            try:
                events = await self._events(rung, self._context(self.says))
            except ContractBroken:
                raise
            except Exception:
                return
            finally:
                await rung.aclose()
            if any(isinstance(event, End) for event in events):
                raise ContractBroken(
                    "the provider broke off, and the answer ended as if it were whole", _NEVER_ENDED
                )

        asyncio.run(run())

    @rule
    def test_a_tool_call_makes_the_round_trip(self) -> None:
        """Called whole, answered, and the answer understood."""

        async def run() -> None:
            if not self.asks_for_tool:
                raise unittest.SkipTest(
                    "give asks_for_tool: what makes the model call opening_hours(day)"
                )
            context = self._context(self.asks_for_tool)
            events = await self._answer(context)
            calls = [event for event in events if isinstance(event, ToolCall)]
            if not calls:
                raise ContractBroken(
                    f"to {self.asks_for_tool!r} it called no tool",
                    "pass context.tools on to the provider, and yield ToolCall for each call",
                )
            for call in calls:
                if not call.id or not call.name or not isinstance(call.arguments, Mapping):
                    raise ContractBroken(
                        "a tool call lacks its id, its name, or arguments that are a mapping",
                        "gather the pieces, and yield one whole ToolCall",
                    )
            context.set_messages(
                [*context.get_messages(), *_called(calls[0].id, calls[0].name, calls[0].arguments)]
            )
            _whole(await self._answer(context))

        asyncio.run(run())

    @rule
    def test_understands_a_context_that_another_rung_made(self) -> None:
        """Rungs change in mid-conversation, tool calls and odd ids included."""

        async def run() -> None:
            context = self._context("When are you open on Friday?")
            context.set_messages(
                [
                    *context.get_messages(),
                    *_called("toolu_01-another/rung", "opening_hours", {"day": "Friday"}),
                    {"role": "assistant", "content": "From nine until five."},
                    {"role": "user", "content": self.says},
                ]
            )
            before = copy.deepcopy(context.get_messages())
            _whole(await self._answer(context))
            if context.get_messages() != before:
                raise ContractBroken(
                    "it changed the context, which belongs to the conversation",
                    "copy the messages before you shape them for the provider",
                )

        asyncio.run(run())

    @rule
    def test_close_leaves_no_task_thread_or_socket(self) -> None:
        """Clients shared by the process stay; what belongs to a call goes with it."""

        async def once() -> None:
            await self._answer(self._context(self.says))

        leaves_nothing(once)

    def _context(self, says: str) -> LLMContext:
        hours = FunctionSchema(
            name="opening_hours",
            description="When the practice is open on a day.",
            properties={"day": {"type": "string", "description": "A day of the week."}},
            required=["day"],
        )
        return LLMContext(
            messages=[
                {"role": "assistant", "content": "Good morning, how can I help?"},
                {"role": "user", "content": says},
            ],
            tools=ToolsSchema(standard_tools=[hours]),
        )

    async def _answer(self, context: LLMContext) -> list[RungEvent]:
        rung: Rung = self._part().build(self._call())
        try:
            return await self._events(rung, context)
        finally:
            await rung.aclose()

    async def _events(self, rung: Rung, context: LLMContext) -> list[RungEvent]:
        events: list[RungEvent] = []
        try:
            async with asyncio.timeout(self.within):
                async for event in rung.stream(context, system=_SYSTEM):
                    events.append(event)
        except TimeoutError:
            raise ContractBroken(
                f"the answer was not over in {self.within:g} s", _NEVER_ENDED
            ) from None
        for event in events:
            if not isinstance(event, (TextDelta, ToolCall, Usage, End)):
                raise ContractBroken(
                    f"it yielded {type(event).__name__}", "yield TextDelta, ToolCall, Usage and End"
                )
        return events

    async def _close(self, rung: Rung) -> float:
        """Seconds that closing the stream takes after its first event."""
        stream: Any = rung.stream(self._context(self.says), system=_SYSTEM)
        await anext(stream)
        began = now()
        await asyncio.wait({asyncio.ensure_future(_aclose(stream))}, timeout=5)
        return now() - began

    async def _cancel(self, rung: Rung) -> float:
        """Seconds until a task that reads the stream is over, when it is cancelled."""
        first = asyncio.Event()

        async def read(stream: AsyncIterator[RungEvent]) -> None:
            async for _ in stream:
                first.set()
            await asyncio.Event().wait()  # whole already: then there is nothing to stop

        task = asyncio.create_task(read(rung.stream(self._context(self.says), system=_SYSTEM)))
        waiting = asyncio.create_task(first.wait())
        await asyncio.wait({task, waiting}, return_when="FIRST_COMPLETED", timeout=self.within)
        waiting.cancel()
        began = now()
        task.cancel()
        await asyncio.wait({task}, timeout=5)
        took = now() - began
        if not task.done():
            return took
        with suppress(asyncio.CancelledError):
            await task
        return took


async def _aclose(stream: Any) -> None:
    await stream.aclose()


def _whole(events: list[RungEvent]) -> None:
    """Check that an answer says or calls something and ends once, at its end."""
    ends = [at for at, event in enumerate(events) if isinstance(event, End)]
    if ends != [len(events) - 1]:
        seen = f"{len(ends)} End" if ends else "no End"
        raise ContractBroken(
            f"{len(events)} events came with {seen}, and an answer has one, at its end",
            _NEVER_ENDED,
        )
    if not any(isinstance(e, ToolCall) or (isinstance(e, TextDelta) and e.text) for e in events):
        raise ContractBroken(
            "the answer is empty", "raise when the provider gives nothing: the next rung is asked"
        )


def _called(id: str, name: str, arguments: Mapping[str, Any]) -> list[Any]:
    """A tool call and its result, as Pipecat's context holds them."""
    import json

    function = {"name": name, "arguments": json.dumps(dict(arguments))}
    return [
        {"role": "assistant", "tool_calls": [{"id": id, "type": "function", "function": function}]},
        {"role": "tool", "tool_call_id": id, "content": '{"open": "9:00", "close": "17:00"}'},
    ]
