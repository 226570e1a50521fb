"""Cloudflare AI Gateway on a real socket, with the providers behind it.

It answers each request by the next reply it was given, refuses what the gateway and the providers
refuse, and writes down every request. Faults reach down to the transport.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

from tests.emulators.gateway_streams import (
    Piece,
    Reply,
    anthropic_error_event,
    anthropic_stream,
    error_body,
    gateway_error,
    openai_error_chunk,
    openai_stream,
)

ACCOUNT = "0123456789abcdef0123456789abcdef"
GATEWAY = "voice"
TOKEN = "cf-aig-token"
CF_TOKEN = "cf-api-token"
KEYS = {"anthropic": "sk-ant-key", "openai": "sk-openai-key", "workers-ai": CF_TOKEN}
MODELS = {
    "anthropic": "claude-haiku-4-5-20251001",
    "openai": "gpt-4o-mini",
    "workers-ai": "@cf/meta/llama-3.3-70b-instruct-fp8-fast",
    "plain": "local-model",
}

Refusal = tuple[int, Mapping[str, Any]]


@dataclass(kw_only=True)
class Exchange:
    """One request and what became of it.

    Attributes:
        at: Seconds since the emulator began.
        ended: When the answer was over, or the client was gone.
        connection: The client's address; requests over one connection share it.
        outcome: ``answered``, ``refused``, ``faulted`` or ``dropped``: the client closed first.
    """

    at: float
    path: str
    provider: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]
    connection: object = None
    status: int = 0
    ended: float | None = None
    outcome: str = ""


@dataclass(kw_only=True)
class GatewayEmulator:
    """AI Gateway, its REST form, and beside them a plain OpenAI-compatible server.

    Attributes:
        replies: What is answered, in order; then :class:`Reply` as it is.
        token: The gateway's own token; None: the gateway is not authenticated.
        stored_keys: Whether the gateway holds the providers' keys, so that a request without one
            is served (BYOK).
    """

    replies: list[Reply] = field(default_factory=list)
    token: str | None = TOKEN
    stored_keys: bool = False
    transcript: list[Exchange] = field(default_factory=list)
    _port: int = 0
    _runner: web.AppRunner | None = None
    _began: float = field(default_factory=time.monotonic)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def __aenter__(self) -> Self:
        app = web.Application()
        root = "/v1/{account}/{gateway}"
        rest = "/client/v4/accounts/{account}/ai/v1"
        for path, provider in (
            (f"{root}/anthropic/v1/messages", "anthropic"),
            (f"{root}/openai/chat/completions", "openai"),
            (f"{root}/workers-ai/v1/chat/completions", "workers-ai"),
            (f"{rest}/messages", "rest-anthropic"),
            (f"{rest}/chat/completions", "rest-openai"),
            ("/plain/v1/chat/completions", "plain"),
        ):
            app.router.add_post(path, self._handler(provider))
        self._runner = web.AppRunner(
            app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._port = int(self._runner.addresses[0][1])
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def url(self) -> str:
        """The server's root."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def gateway_url(self) -> str:
        """What stands in for https://gateway.ai.cloudflare.com/v1."""
        return f"{self.url}/v1"

    @property
    def rest_url(self) -> str:
        """What stands in for https://api.cloudflare.com/client/v4."""
        return f"{self.url}/client/v4"

    @property
    def plain_url(self) -> str:
        """The base URL of the plain OpenAI-compatible server."""
        return f"{self.url}/plain/v1"

    async def until(
        self, condition: Callable[[list[Exchange]], bool], seconds: float = 30.0
    ) -> None:
        """Wait until something stands in the transcript."""
        async with asyncio.timeout(seconds), self._changed:
            await self._changed.wait_for(lambda: condition(self.transcript))

    def _handler(self, provider: str) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                body = await request.json()
            except json.JSONDecodeError:
                body = {}
            kind = provider.removeprefix("rest-")
            if provider == "rest-openai" and str(body.get("model", "")).startswith("@cf/"):
                kind = "workers-ai"
            exchange = Exchange(
                at=self._now(),
                path=request.rel_url.path_qs,
                provider=kind,
                headers={k.lower(): v for k, v in request.headers.items()},
                body=body,
                connection=request.transport and request.transport.get_extra_info("peername"),
            )
            self.transcript.append(exchange)
            try:
                return await self._answer(request, exchange, rest=provider.startswith("rest-"))
            except asyncio.CancelledError:
                exchange.outcome = exchange.outcome or "dropped"
                raise
            finally:
                exchange.ended = self._now()
                await asyncio.shield(self._wake())

        return handle

    async def _wake(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _now(self) -> float:
        return time.monotonic() - self._began

    def _next(self, model: str) -> Reply:
        for at, reply in enumerate(self.replies):
            if reply.model in ("", model):
                return self.replies.pop(at)
        return Reply()

    async def _answer(
        self, request: web.Request, exchange: Exchange, *, rest: bool
    ) -> web.StreamResponse:
        await self._wake()
        refusal = self._refusal(request, exchange, rest=rest)
        if refusal is not None:
            exchange.outcome = "refused"
            exchange.status, body = refusal
            return web.json_response(body, status=exchange.status)
        reply = self._next(str(exchange.body["model"]))
        exchange.status = reply.status
        if reply.headers_after:
            await asyncio.sleep(reply.headers_after)
        fault = reply.fault
        if fault is not None and fault.after is None:
            await self._break(request, exchange, fault.do)
        if reply.status != 200:
            exchange.outcome = "refused"
            body = error_body(exchange.provider, reply)
            return web.json_response(body, status=reply.status, headers=reply.headers)
        response = web.StreamResponse(
            headers={
                "content-type": "text/event-stream; charset=utf-8",
                "cf-aig-cache-status": "MISS",
                "cf-aig-log-id": "01EMULATED",
                **reply.headers,
            }
        )
        await response.prepare(request)
        if reply.first_token_after:
            await asyncio.sleep(reply.first_token_after)
        if reply.held is not None:
            await reply.held.wait()
        sent = 0
        for piece in self._pieces(reply, exchange):
            if fault is not None and fault.after == sent and piece.tokens:
                return await self._fault(request, response, exchange, fault.do)
            await response.write(piece.data)
            sent += piece.tokens
        exchange.outcome = "answered"
        await response.write_eof()
        return response

    def _pieces(self, reply: Reply, exchange: Exchange) -> Iterator[Piece]:
        model = str(exchange.body["model"])
        if exchange.provider == "anthropic":
            return anthropic_stream(reply, model)
        options = exchange.body.get("stream_options") or {}
        return openai_stream(reply, model, usage=bool(options.get("include_usage")))

    async def _fault(
        self, request: web.Request, response: web.StreamResponse, exchange: Exchange, do: str
    ) -> web.StreamResponse:
        if do in ("error", "malformed", "end"):
            exchange.outcome = "faulted"
        if do == "error":
            anthropic = exchange.provider == "anthropic"
            await response.write(anthropic_error_event() if anthropic else openai_error_chunk())
        elif do == "malformed":
            await response.write(b'event: content_block_delta\ndata: {"type": "content_blo\n\n')
        elif do != "end":
            await self._break(request, exchange, do)
        await response.write_eof()
        return response

    async def _break(self, request: web.Request, exchange: Exchange, do: str) -> None:
        await self._wake()
        if do == "reset" and request.transport is not None:
            exchange.outcome = "faulted"
            # What was written is let out first, so that the client has the tokens before the reset.
            await asyncio.sleep(0.05)
            request.transport.abort()
        await asyncio.Event().wait()

    def _refusal(self, request: web.Request, exchange: Exchange, *, rest: bool) -> Refusal | None:
        if exchange.provider == "plain":
            return _refused_body(exchange)
        if request.match_info["account"] != ACCOUNT:
            return 404, gateway_error(404, 2001)
        headers = exchange.headers
        if rest:
            if headers.get("authorization") != f"Bearer {CF_TOKEN}":
                return 401, {"success": False, "errors": [{"code": 10000}], "result": None}
            if exchange.provider == "workers-ai" and "cf-aig-gateway-id" not in headers:
                return 400, {"success": False, "errors": [{"code": 2001}], "result": None}
            return _refused_body(exchange, rest=True)
        if request.match_info["gateway"] != GATEWAY:
            return 400, gateway_error(400, 2001)
        if self.token and headers.get("cf-aig-authorization") != f"Bearer {self.token}":
            return 401, gateway_error(401, 2009)
        name = "x-api-key" if exchange.provider == "anthropic" else "authorization"
        given = headers.get(name, "").removeprefix("Bearer ")
        stored = self.stored_keys and exchange.provider != "workers-ai"
        if not given and stored:
            return _refused_body(exchange)
        if given != KEYS[exchange.provider]:
            code = {"anthropic": "authentication_error", "workers-ai": "10000"}
            reply = Reply(status=401, code=code.get(exchange.provider, "invalid_api_key"))
            return 401, error_body(exchange.provider, reply)
        return _refused_body(exchange)


def _refused_body(exchange: Exchange, *, rest: bool = False) -> Refusal | None:
    """What the provider says to the request itself."""
    body, provider = exchange.body, exchange.provider
    named = str(body.get("model", ""))
    if rest and provider != "workers-ai":
        author, _, named = named.partition("/")
        if author != provider:
            return 404, error_body(provider, Reply(code="not_found_error"))
    if named != MODELS[provider]:
        if provider == "workers-ai":
            return 400, error_body(provider, Reply(code="5007"))
        kind = "not_found_error" if provider == "anthropic" else "model_not_found"
        return 404, error_body(provider, Reply(code=kind))
    messages = body.get("messages")
    if body.get("stream") is not True or not isinstance(messages, list) or not messages:
        return _bad(provider)
    if provider == "anthropic":
        return _bad(provider) if _wrong_for_anthropic(body, exchange.headers) else None
    roles = {"system", "user", "assistant", "tool"}
    if provider == "openai":
        roles.add("developer")
    if {message.get("role") for message in messages} - roles:
        return _bad(provider)
    return _bad(provider) if _unpaired(_openai_calls(messages)) else None


def _bad(provider: str) -> Refusal:
    code = {"anthropic": "invalid_request_error", "workers-ai": "5004"}
    return 400, error_body(provider, Reply(status=400, code=code.get(provider, "invalid_value")))


def _wrong_for_anthropic(body: Mapping[str, Any], headers: Mapping[str, str]) -> bool:
    messages = body["messages"]
    if "anthropic-version" not in headers or not isinstance(body.get("max_tokens"), int):
        return True
    if messages[0]["role"] != "user" or {m["role"] for m in messages} - {"user", "assistant"}:
        return True
    if any(not message.get("content") for message in messages):
        return True
    return _unpaired(_anthropic_calls(messages))


def _anthropic_calls(messages: list[Any]) -> Iterator[tuple[str, str]]:
    for message in messages:
        content = message["content"]
        for block in content if isinstance(content, list) else ():
            if block["type"] == "tool_use":
                yield "call", block["id"]
            elif block["type"] == "tool_result":
                yield "result", block["tool_use_id"]


def _openai_calls(messages: list[Any]) -> Iterator[tuple[str, str]]:
    for message in messages:
        for call in message.get("tool_calls") or ():
            yield "call", call["id"]
        if message["role"] == "tool":
            yield "result", message["tool_call_id"]


def _unpaired(calls: Iterable[tuple[str, str]]) -> bool:
    """Whether a call has no result, a result no call, or two calls one id."""
    open_calls: set[str] = set()
    seen: set[str] = set()
    for kind, id in calls:
        if kind == "call":
            if id in seen:
                return True
            seen.add(id)
            open_calls.add(id)
        elif id not in open_calls:
            return True
        else:
            open_calls.remove(id)
    return bool(open_calls)
