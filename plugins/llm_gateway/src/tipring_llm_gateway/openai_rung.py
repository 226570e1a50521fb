"""GPT, Llama on Workers AI, or whatever speaks OpenAI's protocol, as a rung."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import openai
from pipecat.adapters.llm.services.open_ai_adapter import OpenAILLMAdapter
from tipring.llm.failures import RungFailed
from tipring.providers import End, RungEvent, TextDelta, ToolCall, Usage

from tipring_llm_gateway import clients
from tipring_llm_gateway.arguments import arguments_of
from tipring_llm_gateway.rest import rest_of
from tipring_llm_gateway.rung import GatewayRung

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletionChunk
    from openai.types.chat.chat_completion_chunk import ChoiceDeltaToolCall
    from pipecat.processors.aggregators.llm_context import LLMContext

    from tipring_llm_gateway.route import Route
    from tipring_llm_gateway.settings import GatewaySettings


class OpenAIRung(GatewayRung):
    """Answers over OpenAI's Chat Completions."""

    sdk: ClassVar[Any] = openai
    key_header = "Authorization"

    def __init__(self, settings: GatewaySettings, route: Route) -> None:
        super().__init__(settings, route)
        self._adapter = OpenAILLMAdapter()

    async def _answer(self, request: Mapping[str, Any]) -> AsyncGenerator[RungEvent, None]:
        client = clients.openai_client(self._route, self._settings)
        async with await client.chat.completions.create(**request) as chunks:
            async with aclosing(_events(chunks)) as events:
                async for event in events:
                    yield event

    async def _request(self, context: LLMContext, system: str) -> dict[str, Any]:
        openai_itself = self._route.provider == "openai"
        converted = await self._adapter.get_llm_invocation_params(
            context,
            system_instruction=system or None,
            convert_developer_to_user=not openai_itself,
        )
        limit = "max_completion_tokens" if openai_itself else "max_tokens"
        request: dict[str, Any] = {
            **converted,
            "model": self._route.model,
            "stream": True,
            "stream_options": {"include_usage": True},
            limit: self._settings.max_tokens,
            "extra_headers": self._headers(),
        }
        if self._settings.temperature is not None:
            request["temperature"] = self._settings.temperature
        if self._settings.extra:
            request["extra_body"] = dict(self._settings.extra)
        return request


async def _events(chunks: AsyncIterator[ChatCompletionChunk]) -> AsyncGenerator[RungEvent, None]:
    """Turn chunks into a rung's events. Without a finish reason there is no end."""
    calls = _Calls()
    usage: Usage | None = None
    async for chunk in chunks:
        usage = _usage(chunk) or usage
        if not chunk.choices:
            continue
        choice = chunk.choices[0]
        if choice.delta is not None:
            if choice.delta.refusal:
                raise RungFailed("the model refused")
            if choice.delta.content:
                yield TextDelta(text=choice.delta.content)
            for part in choice.delta.tool_calls or ():
                calls.add(part)
        if choice.finish_reason is not None:
            if choice.finish_reason == "length" and calls.begun:
                raise RungFailed("the answer was cut short inside a tool call")
            for call in calls.whole():
                yield call
            for late in await rest_of(chunks):
                usage = _usage(late) or usage
            if usage is not None:
                yield usage
            yield End(reason=choice.finish_reason)
            return


def _usage(chunk: ChatCompletionChunk) -> Usage | None:
    counts = chunk.usage
    if counts is None:
        return None
    details = counts.prompt_tokens_details
    return Usage(
        prompt=counts.prompt_tokens or 0,
        completion=counts.completion_tokens or 0,
        cached=(details.cached_tokens or 0) if details else 0,
    )


@dataclass
class _Begun:
    """A tool call of which parts have come."""

    id: str = ""
    name: str = ""
    spelled: str = ""


@dataclass
class _Calls:
    """Puts the parts of tool calls together, by index where there is one and by order elsewhere."""

    begun: list[_Begun] = field(default_factory=list)
    _by_index: dict[int, _Begun] = field(default_factory=dict)

    def add(self, part: ChoiceDeltaToolCall) -> None:
        """Take one part. Workers AI leaves the index out, and ends with a part of nulls."""
        function = part.function
        name = (function.name if function else None) or ""
        spelled = (function.arguments if function else None) or ""
        call = self._belongs(getattr(part, "index", None), part.id or "", name)
        if call is None:
            if spelled:
                raise RungFailed("a tool call's arguments came before its name")
            return
        call.id = call.id or part.id or ""
        call.name = call.name or name
        call.spelled += spelled

    def whole(self) -> list[ToolCall]:
        """The calls, now that nothing more comes."""
        if any(not call.name for call in self.begun):
            raise RungFailed("a tool call has no name")
        return [
            ToolCall(id=call.id, name=call.name, arguments=arguments_of(call.spelled))
            for call in self.begun
        ]

    def _belongs(self, index: int | None, id: str, name: str) -> _Begun | None:
        known = self._by_index.get(index) if index is not None else None
        if known is None and index is None and self.begun:
            known = self.begun[-1]
        # A second id or name is a second call, whatever its index says.
        if (
            known is not None
            and not (id and known.id and id != known.id)
            and not (not id and name and known.name)
        ):
            return known
        if not (id or name):
            return None
        call = _Begun()
        self.begun.append(call)
        if index is not None:
            self._by_index[index] = call
        return call
