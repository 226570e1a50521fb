"""The emulated gateway says what the providers' SDKs understand, and refuses what they refuse."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest
from anthropic.types import RawMessageStreamEvent
from openai.types.chat import ChatCompletionChunk
from pydantic import TypeAdapter

from tests.emulators.gateway import ACCOUNT, CF_TOKEN, KEYS, MODELS, TOKEN, GatewayEmulator
from tests.emulators.gateway_streams import Call, Fault, Reply

PATHS = {
    "anthropic": f"/v1/{ACCOUNT}/voice/anthropic/v1/messages",
    "openai": f"/v1/{ACCOUNT}/voice/openai/chat/completions",
    "workers-ai": f"/v1/{ACCOUNT}/voice/workers-ai/v1/chat/completions",
    "plain": "/plain/v1/chat/completions",
}


def headers(provider: str, **more: str) -> dict[str, str]:
    made = {"cf-aig-authorization": f"Bearer {TOKEN}"}
    if provider == "anthropic":
        made |= {"x-api-key": KEYS["anthropic"], "anthropic-version": "2023-06-01"}
    elif provider in KEYS:
        made["authorization"] = f"Bearer {KEYS[provider]}"
    return made | {name.replace("_", "-"): value for name, value in more.items()}


def body(provider: str, **more: Any) -> dict[str, Any]:
    return {
        "model": MODELS[provider],
        "stream": True,
        "max_tokens": 100,
        "messages": [{"role": "user", "content": "Hello?"}],
        **more,
    }


async def post(
    url: str, sent: Mapping[str, str], asked: Mapping[str, Any]
) -> tuple[int, Mapping[str, str], str]:
    async with aiohttp.ClientSession() as http, http.post(url, headers=sent, json=asked) as got:
        return got.status, got.headers, await got.text()


def data(stream: str) -> list[str]:
    return [line[6:] for line in stream.splitlines() if line.startswith("data: ")]


REPLIES = [
    Reply(),
    Reply(text=""),
    Reply(text="One moment.", calls=[Call(id="c1", name="book", arguments={"people": 2})]),
    Reply(text="", calls=[Call(id="c1", name="a"), Call(id="c2", name="b")]),
]


@pytest.mark.parametrize("reply", REPLIES)
async def test_anthropics_events_are_what_its_sdk_says_they_are(reply: Reply) -> None:
    async with GatewayEmulator(replies=[reply]) as gateway:
        status, got, stream = await post(
            gateway.url + PATHS["anthropic"], headers("anthropic"), body("anthropic")
        )
    assert status == 200
    assert got["content-type"].startswith("text/event-stream")
    kinds: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
    # A ping is no event to the SDK, which swallows it.
    events = [kinds.validate_json(e, strict=True) for e in data(stream) if '"ping"' not in e]
    assert events[0].type == "message_start"
    assert events[-1].type == "message_stop"
    deltas = [e.delta for e in events if e.type == "content_block_delta"]
    assert "".join(d.text for d in deltas if d.type == "text_delta") == reply.text
    starts = [e.content_block for e in events if e.type == "content_block_start"]
    assert [b.name for b in starts if b.type == "tool_use"] == [c.name for c in reply.calls]


@pytest.mark.parametrize("provider", ["openai", "workers-ai", "plain"])
@pytest.mark.parametrize("reply", REPLIES)
async def test_openais_chunks_are_what_its_sdk_says_they_are(provider: str, reply: Reply) -> None:
    async with GatewayEmulator(replies=[reply]) as gateway:
        asked = body(provider, stream_options={"include_usage": True})
        status, _, stream = await post(gateway.url + PATHS[provider], headers(provider), asked)
    assert status == 200
    *chunks, last = data(stream)
    assert last == "[DONE]"
    read = [ChatCompletionChunk.model_validate_json(chunk, strict=True) for chunk in chunks]
    choices = [chunk.choices[0] for chunk in read if chunk.choices]
    assert "".join(choice.delta.content or "" for choice in choices) == reply.text
    assert choices[-1].finish_reason == ("tool_calls" if reply.calls else "stop")
    assert read[-1].usage is not None
    parts = [part for choice in choices for part in choice.delta.tool_calls or ()]
    for at, call in enumerate(reply.calls):
        mine = [part.function for part in parts if part.index == at]
        spelled = "".join((part.arguments if part else None) or "" for part in mine)
        assert json.loads(spelled) == call.arguments


async def test_without_the_gateways_token_it_answers_401_in_the_gateways_own_shape() -> None:
    async with GatewayEmulator() as gateway:
        sent = headers("openai") | {"cf-aig-authorization": "Bearer wrong"}
        status, _, text = await post(gateway.url + PATHS["openai"], sent, body("openai"))
        assert (status, json.loads(text)["internalCode"]) == (401, 2009)
        assert [e.outcome for e in gateway.transcript] == ["refused"]


@pytest.mark.parametrize("provider", ["anthropic", "openai", "workers-ai"])
async def test_a_wrong_key_and_a_wrong_model_are_refused(provider: str) -> None:
    key = {"x_api_key": "wrong"} if provider == "anthropic" else {"authorization": "Bearer wrong"}
    async with GatewayEmulator() as gateway:
        url = gateway.url + PATHS[provider]
        status, _, _ = await post(url, headers(provider, **key), body(provider))
        assert status == 401
        status, _, _ = await post(url, headers(provider), body(provider, model="nobody"))
        assert status == (400 if provider == "workers-ai" else 404)


async def test_a_stored_key_serves_requests_without_one() -> None:
    async with GatewayEmulator(stored_keys=True) as gateway:
        sent = headers("openai")
        del sent["authorization"]
        status, _, _ = await post(gateway.url + PATHS["openai"], sent, body("openai"))
        assert status == 200


async def test_the_rest_form_wants_cloudflares_token_and_the_authors_name() -> None:
    async with GatewayEmulator() as gateway:
        url = f"{gateway.rest_url}/accounts/{ACCOUNT}/ai/v1/chat/completions"
        sent = {"authorization": f"Bearer {CF_TOKEN}", "cf-aig-gateway-id": "voice"}
        status, _, _ = await post(url, sent, body("openai", model="openai/gpt-4o-mini"))
        assert status == 200
        status, _, _ = await post(url, sent, body("openai"))
        assert status == 404
        status, _, _ = await post(url, {}, body("openai"))
        assert status == 401


async def test_the_path_that_cloudflares_own_sample_leads_to_is_not_there() -> None:
    async with GatewayEmulator() as gateway:
        url = f"{gateway.rest_url}/accounts/{ACCOUNT}/ai/v1/v1/messages"
        status, _, _ = await post(url, {"authorization": f"Bearer {CF_TOKEN}"}, body("anthropic"))
        assert status == 404


RESULT = {"type": "tool_result", "tool_use_id": "c1", "content": "ok"}
USE = {"type": "tool_use", "id": "c1", "name": "book", "input": {}}
TOOL = {"role": "tool", "tool_call_id": "c1", "content": "ok"}
FUNCTION = {"id": "c1", "type": "function", "function": {"name": "book", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("provider", "wrong"),
    [
        ("anthropic", [{"role": "assistant", "content": "Hi"}]),
        ("anthropic", [{"role": "user", "content": ""}]),
        ("anthropic", [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": [USE]}]),
        ("anthropic", [{"role": "user", "content": [RESULT]}]),
        ("openai", [TOOL]),
        ("openai", [{"role": "assistant", "tool_calls": [FUNCTION]}]),
        ("workers-ai", [{"role": "developer", "content": "Hi"}]),
    ],
)
async def test_messages_that_the_provider_would_refuse_are_refused(
    provider: str, wrong: list[Any]
) -> None:
    async with GatewayEmulator() as gateway:
        asked = body(provider, messages=wrong)
        status, _, _ = await post(gateway.url + PATHS[provider], headers(provider), asked)
        assert status == 400


async def test_a_reset_reaches_the_client_behind_the_tokens_before_it() -> None:
    reply = Reply(text="one two three four", fault=Fault(do="reset", after=2))
    async with GatewayEmulator(replies=[reply]) as gateway, aiohttp.ClientSession() as http:
        url = gateway.url + PATHS["openai"]
        async with http.post(url, headers=headers("openai"), json=body("openai")) as got:
            heard = b""
            with pytest.raises(aiohttp.ClientError):
                async for piece in got.content.iter_any():
                    heard += piece
        assert b" two" in heard and b" three" not in heard
        await gateway.until(lambda t: t[0].outcome == "faulted" and t[0].ended is not None)


async def test_replies_are_given_in_order_and_to_the_model_they_are_for() -> None:
    replies = [Reply(text="first"), Reply(text="gpt", model=MODELS["openai"])]
    async with GatewayEmulator(replies=replies) as gateway:
        heard = []
        for provider in ("openai", "plain", "openai"):
            url = gateway.url + PATHS[provider]
            _, _, text = await post(url, headers(provider), body(provider))
            heard.append("first" in text or ("gpt" if '"gpt"' in text else "default"))
    assert heard == [True, "default", "gpt"]
