"""What Anthropic, OpenAI and Workers AI send for an answer, event by event.

The shapes are the providers' documented ones; test_emulator_gateway.py holds them against the
models of the SDKs.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

FAULTS = Literal["hang", "reset", "end", "error", "malformed"]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that goes wrong once in an answer.

    Attributes:
        do: ``hang`` (says nothing more), ``reset`` (TCP RST), ``end`` (a clean end without the
            terminator), ``error`` (the provider's error event), ``malformed`` (half a chunk).
        after: Tokens sent before it; None: before the response's headers, where only ``hang`` and
            ``reset`` are possible.
    """

    do: FAULTS
    after: int | None = 0


@dataclass(frozen=True, kw_only=True)
class Call:
    """A tool call in an answer."""

    id: str
    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Reply:
    """How one request is answered.

    Attributes:
        text: What the model says, one word a token.
        calls: Tool calls behind the text.
        stop: Why the model stopped, in the provider's word; empty: as the content has it.
        status: Anything but 200 is an error with the provider's body.
        code: The provider's type or code of the error, or a gateway's internal code.
        gateway_error: The error is the gateway's own and not the provider's.
        headers: More response headers.
        headers_after: Seconds before the headers.
        first_token_after: Seconds from the headers to the first token.
        held: What the first token waits for.
        fault: What goes wrong.
        indexless: Chunks of tool calls come without an index, as is reported of Workers AI.
        null_chunk: The last chunk of a tool call holds nulls, as Workers AI's does.
        model: Only for requests for this model, as the request names it; empty: for any.
    """

    text: str = "Hello there. How can I help you today?"
    calls: Sequence[Call] = ()
    stop: str = ""
    status: int = 200
    code: str = ""
    gateway_error: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    headers_after: float = 0.0
    first_token_after: float = 0.0
    held: asyncio.Event | None = None
    fault: Fault | None = None
    indexless: bool = False
    null_chunk: bool = False
    model: str = ""

    @property
    def tokens(self) -> list[str]:
        """The text in tokens, which joined are the text."""
        words = self.text.split(" ") if self.text else []
        return [word if at == 0 else f" {word}" for at, word in enumerate(words)]


@dataclass(frozen=True)
class Piece:
    """Some bytes of a stream, and how many tokens of text are in them."""

    data: bytes
    tokens: int = 0


def anthropic_stream(reply: Reply, model: str) -> Iterator[Piece]:
    """The events of Anthropic's Messages API."""
    message: dict[str, Any] = {
        "id": "msg_01EmulatedMessage",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {
            "input_tokens": 12,
            "output_tokens": 1,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 30,
        },
    }
    yield _event("message_start", message=message)
    index = 0
    if reply.tokens:
        block: dict[str, Any] = {"type": "text", "text": ""}
        yield _event("content_block_start", index=index, content_block=block)
        yield _event("ping")
        for token in reply.tokens:
            delta = {"type": "text_delta", "text": token}
            yield _event("content_block_delta", tokens=1, index=index, delta=delta)
        yield _event("content_block_stop", index=index)
        index += 1
    for call in reply.calls:
        block = {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
        yield _event("content_block_start", index=index, content_block=block)
        for part in _halves(call):
            delta = {"type": "input_json_delta", "partial_json": part}
            yield _event("content_block_delta", index=index, delta=delta)
        yield _event("content_block_stop", index=index)
        index += 1
    stop = reply.stop or ("tool_use" if reply.calls else "end_turn")
    yield _event(
        "message_delta",
        delta={"stop_reason": stop, "stop_sequence": None},
        usage={"output_tokens": 15},
    )
    yield _event("message_stop")


def anthropic_error_event() -> bytes:
    """An error in the middle of Anthropic's stream."""
    error = {"type": "overloaded_error", "message": "Overloaded"}
    return _event("error", error=error, request_id="req_01Emulated").data


def openai_stream(reply: Reply, model: str, *, usage: bool) -> Iterator[Piece]:
    """The chunks of OpenAI's Chat Completions, which Workers AI's are as well."""

    def chunk(delta: Mapping[str, Any], finish: str | None = None, tokens: int = 0) -> Piece:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return _chunk(model, [choice], None, tokens)

    yield chunk({"role": "assistant", "content": ""})
    for token in reply.tokens:
        yield chunk({"content": token}, tokens=1)
    for at, call in enumerate(reply.calls):
        place = {} if reply.indexless else {"index": at}
        function: dict[str, Any] = {"name": call.name, "arguments": ""}
        head = {**place, "id": call.id, "type": "function", "function": function}
        yield chunk({"tool_calls": [head]})
        for part in _halves(call):
            yield chunk({"tool_calls": [{**place, "function": {"arguments": part}}]})
        if reply.null_chunk:
            nothing = {"id": None, "type": None, "function": {"name": None}}
            yield chunk({"tool_calls": [{**place, **nothing}]})
    yield chunk({}, finish=reply.stop or ("tool_calls" if reply.calls else "stop"))
    if usage:
        counts = {
            "prompt_tokens": 42,
            "completion_tokens": 15,
            "total_tokens": 57,
            "prompt_tokens_details": {"cached_tokens": 30},
        }
        yield _chunk(model, [], counts, 0)
    yield Piece(b"data: [DONE]\n\n")


def openai_error_chunk() -> bytes:
    """An error in the middle of OpenAI's stream."""
    error = {"message": "The server had an error", "type": "server_error"}
    return _data({"error": {**error, "param": None, "code": None}})


def error_body(provider: str, reply: Reply) -> dict[str, Any]:
    """The body of an HTTP error, in the words of whoever made it."""
    if reply.gateway_error:
        return gateway_error(reply.status, int(reply.code or 2009))
    if provider == "anthropic":
        error = {"type": reply.code or "api_error", "message": "The emulator was told to fail."}
        return {"type": "error", "error": error, "request_id": "req_01Emulated"}
    if provider == "workers-ai":
        told = [{"code": int(reply.code or 3040), "message": "The emulator was told to fail."}]
        return {"errors": told, "success": False, "result": {}, "messages": []}
    error = {"message": "The emulator was told to fail.", "type": "error", "param": ""}
    return {"error": {**error, "code": reply.code or None}}


def gateway_error(status: int, code: int) -> dict[str, Any]:
    """The body of an error that is AI Gateway's own."""
    return {
        "success": False,
        "result": [],
        "messages": [],
        "error": [{"code": code, "message": "Unauthorized"}],
        "name": "AiGatewayError",
        "httpCode": status,
        "internalCode": code,
    }


def _halves(call: Call) -> tuple[str, str]:
    text = json.dumps(dict(call.arguments))
    return text[: len(text) // 2], text[len(text) // 2 :]


def _event(kind: str, *, tokens: int = 0, **fields: Any) -> Piece:
    data = json.dumps({"type": kind, **fields})
    return Piece(f"event: {kind}\ndata: {data}\n\n".encode(), tokens)


def _chunk(model: str, choices: list[Any], usage: Any, tokens: int) -> Piece:
    body = {
        "id": "chatcmpl-emulated",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": model,
        "system_fingerprint": "fp_emulated",
        "choices": choices,
        "usage": usage,
    }
    return Piece(_data(body), tokens)


def _data(body: Mapping[str, Any]) -> bytes:
    return f"data: {json.dumps(body)}\n\n".encode()
