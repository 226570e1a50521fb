"""One request to nobody, so that a caller's is not an SDK's first.

Both SDKs import a good part of themselves, and make up their mind about the machine they run on,
with the first request and its answer. That would be on the event loop, in the middle of a call.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

_USAGE = {"input_tokens": 1, "output_tokens": 1}
_MESSAGE = {"id": "m", "role": "assistant", "model": "m", "content": [], "usage": _USAGE}
_TOOL = {"type": "tool_use", "id": "t", "name": "t", "input": {}}
# An answer of Anthropic's with a word and a tool call: each kind of event once.
_EVENTS: list[dict[str, Any]] = [
    {"type": "message_start", "message": {"type": "message", **_MESSAGE}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "content_block_start", "index": 1, "content_block": _TOOL},
    {
        "type": "content_block_delta",
        "index": 1,
        "delta": {"type": "input_json_delta", "partial_json": "{}"},
    },
    {"type": "content_block_stop", "index": 1},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}},
    {"type": "message_stop"},
]
_CALL = {"index": 0, "id": "t", "type": "function", "function": {"name": "t", "arguments": "{}"}}
_CHUNK = {
    "id": "c",
    "object": "chat.completion.chunk",
    "created": 0,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "delta": {"role": "assistant", "content": "a", "tool_calls": [_CALL]},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}


def anthropic() -> None:
    """Have Anthropic's SDK send a message, and read an answer."""
    import anthropic
    import httpx2

    answer = "".join(f"event: {one['type']}\ndata: {json.dumps(one)}\n\n" for one in _EVENTS)

    async def ask() -> None:
        await anthropic.DefaultAsyncHttpxClient(verify=False).aclose()  # as it is with a real wire
        wire = httpx2.MockTransport(lambda request: _answered(answer))
        async with anthropic.AsyncAnthropic(
            api_key="none",
            base_url="http://nobody.invalid",
            max_retries=0,
            open_telemetry=False,
            http_client=anthropic.DefaultAsyncHttpxClient(transport=wire, verify=False),
        ) as client:
            request = client.messages.create(
                model="m",
                max_tokens=1,
                messages=[{"role": "user", "content": "a"}],
                stream=True,
            )
            async with await request as stream:
                assert [event.type async for event in stream]

    _elsewhere(ask())


def openai() -> None:
    """Have OpenAI's SDK do the same."""
    import httpx2
    import openai

    async def ask() -> None:
        await openai.DefaultAsyncHttpxClient(verify=False).aclose()
        wire = httpx2.MockTransport(
            lambda request: _answered(f"data: {json.dumps(_CHUNK)}\n\ndata: [DONE]\n\n")
        )
        async with openai.AsyncOpenAI(
            api_key="none",
            base_url="http://nobody.invalid",
            max_retries=0,
            http_client=openai.DefaultAsyncHttpxClient(transport=wire, verify=False),
        ) as client:
            request = client.chat.completions.create(
                model="m", messages=[{"role": "user", "content": "a"}], stream=True
            )
            async with await request as stream:
                assert [chunk.choices[0].delta.content async for chunk in stream]

    _elsewhere(ask())


def _answered(body: str) -> Any:
    import httpx2

    return httpx2.Response(200, headers={"content-type": "text/event-stream"}, text=body)


def _elsewhere(work: Coroutine[Any, Any, None]) -> None:
    """Run it on a loop of its own, whether or not there is one here."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()
