"""Claude as a rung."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, ClassVar

import anthropic
from pipecat.adapters.llm.services.anthropic_adapter import AnthropicLLMAdapter
from tipring.providers import End, RungEvent, TextDelta, ToolCall, Usage

from tipring_llm_gateway import clients
from tipring_llm_gateway.arguments import arguments_of
from tipring_llm_gateway.rest import rest_of
from tipring_llm_gateway.rung import GatewayRung

if TYPE_CHECKING:
    from pipecat.processors.aggregators.llm_context import LLMContext

    from tipring_llm_gateway.route import Route
    from tipring_llm_gateway.settings import GatewaySettings


class AnthropicRung(GatewayRung):
    """Answers with a Claude model, over Anthropic's Messages API."""

    sdk: ClassVar[Any] = anthropic
    key_header = "X-Api-Key"

    def __init__(self, settings: GatewaySettings, route: Route) -> None:
        super().__init__(settings, route)
        self._adapter = AnthropicLLMAdapter()

    async def _answer(self, request: Mapping[str, Any]) -> AsyncGenerator[RungEvent, None]:
        client = clients.anthropic_client(self._route, self._settings)
        async with await client.messages.create(**request) as stream:
            async with aclosing(_events(stream)) as events:
                async for event in events:
                    yield event

    async def _request(self, context: LLMContext, system: str) -> dict[str, Any]:
        converted = await self._adapter.get_llm_invocation_params(
            context,
            enable_prompt_caching=True,
            system_instruction=system or None,
            # Newer models refuse a request that ends with their own words.
            ensure_last_message_is_user=True,
        )
        messages: list[Any] = list(converted["messages"])
        if not messages or messages[0]["role"] != "user":
            # The agent spoke first; the API wants the caller to have.
            messages.insert(0, {"role": "user", "content": "."})
        request: dict[str, Any] = {
            "model": self._route.model,
            "max_tokens": self._settings.max_tokens,
            "messages": messages,
            "system": converted["system"],
            "stream": True,
            "extra_headers": self._headers(),
        }
        tools: list[Any] = list(converted["tools"])
        if tools:
            # One mark for the tools, beside the adapter's for the system and two messages: as many
            # as the API takes.
            tools[-1] = {**tools[-1], "cache_control": {"type": "ephemeral"}}
            request["tools"] = tools
            choice = _tool_choice(context.tool_choice)
            if choice is not None:
                request["tool_choice"] = choice
        body = dict(self._settings.extra)
        if self._settings.temperature is not None:
            # No longer a parameter of the SDK, but still one of the models before the fifth.
            body["temperature"] = self._settings.temperature
        if body:
            request["extra_body"] = body
        return request


async def _events(stream: AsyncIterator[Any]) -> AsyncGenerator[RungEvent, None]:
    """Turn the API's events into a rung's. Without ``message_stop`` there is no end."""
    tools: dict[int, tuple[str, str]] = {}
    json_of: dict[int, str] = {}
    calls: list[ToolCall] = []
    prompt = cached = completion = 0
    reason = "end_turn"
    async for event in stream:
        if event.type == "content_block_delta":
            if event.delta.type == "text_delta":
                yield TextDelta(text=event.delta.text)
            elif event.delta.type == "input_json_delta" and event.index in json_of:
                json_of[event.index] += event.delta.partial_json
        elif event.type == "content_block_start" and event.content_block.type == "tool_use":
            tools[event.index] = (event.content_block.id, event.content_block.name)
            json_of[event.index] = ""
        elif event.type == "content_block_stop" and event.index in tools:
            id, name = tools.pop(event.index)
            spelled = json_of.pop(event.index)
            calls.append(ToolCall(id=id, name=name, arguments=arguments_of(spelled)))
        elif event.type == "message_start":
            usage = event.message.usage
            cached = usage.cache_read_input_tokens or 0
            written = usage.cache_creation_input_tokens or 0
            prompt = (usage.input_tokens or 0) + cached + written
        elif event.type == "message_delta":
            reason = event.delta.stop_reason or reason
            completion = event.usage.output_tokens or 0
        elif event.type == "message_stop":
            await rest_of(stream)
            for call in calls:
                yield call
            yield Usage(prompt=prompt, completion=completion, cached=cached)
            yield End(reason=reason)
            return


def _tool_choice(choice: Any) -> dict[str, Any] | None:
    """Say OpenAI's tool choice, which contexts hold, in Anthropic's words."""
    if isinstance(choice, str):
        return {"type": {"required": "any"}.get(choice, choice)}
    if isinstance(choice, Mapping):
        return {"type": "tool", "name": choice["function"]["name"]}
    return None
