"""The gateway's rungs say and send what they should: the real SDKs, on real sockets."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pipecat.frames.frames import LLMContextFrame
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.services.llm_service import FunctionCallParams
from pydantic import SecretStr
from tipring.llm.failures import RungFailed
from tipring.llm.ladder import LadderLLMService
from tipring.providers import Call, End, TextDelta, ToolCall, Usage
from tipring_llm_gateway import build, clients

from tests.emulators.gateway import (
    GATEWAY,
    MODELS,
    GatewayEmulator,
)
from tests.emulators.gateway_streams import Call as ToolUse
from tests.emulators.gateway_streams import Reply
from tests.gateway_rungs import (
    PROVIDERS,
    TEXT,
    a_context,
    heard,
    rung,
    settings,
    text_of,
    tools,
)
from tests.scripted_rungs import line

pytestmark = pytest.mark.loopback


@pytest.fixture
async def gateway() -> AsyncIterator[GatewayEmulator]:
    async with GatewayEmulator() as emulator:
        yield emulator
        await clients.close_clients()


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_an_answer_comes_token_by_token_and_ends_with_its_cost(
    gateway: GatewayEmulator, provider: str
) -> None:
    events = await heard(rung(gateway, provider))
    assert text_of(events) == TEXT
    assert len([e for e in events if isinstance(e, TextDelta)]) == len(TEXT.split())
    assert events[-2] == Usage(prompt=42, completion=15, cached=30)
    reason = "end_turn" if provider == "anthropic" else "stop"
    assert events[-1] == End(reason=reason)


@pytest.mark.parametrize("provider", PROVIDERS[:3])
async def test_each_request_says_whose_call_it_is_and_keeps_what_was_said_out_of_the_log(
    gateway: GatewayEmulator, provider: str
) -> None:
    await heard(rung(gateway, provider, first_byte_within=2.5))
    (exchange,) = gateway.transcript
    assert exchange.headers["cf-aig-collect-log-payload"] == "false"
    assert json.loads(exchange.headers["cf-aig-metadata"]) == {"call": "CA0123"}
    assert exchange.headers["cf-aig-request-timeout"] == "2500"
    assert exchange.headers["x-stainless-retry-count"] == "0"
    assert exchange.outcome == "answered"


async def test_a_failed_request_is_not_tried_again_by_the_sdk(gateway: GatewayEmulator) -> None:
    for provider in PROVIDERS:
        gateway.replies = [Reply(status=503), Reply()]
        with pytest.raises(RungFailed, match="HTTP 503"):
            await heard(rung(gateway, provider))
    assert len(gateway.transcript) == len(PROVIDERS)


@pytest.mark.parametrize("provider", PROVIDERS[:3])
async def test_calls_of_one_process_share_a_connection(
    gateway: GatewayEmulator, provider: str
) -> None:
    for id in ("CA1", "CA2"):
        one = build(settings(gateway, provider), Call(id=id))
        await heard(one)
        await one.aclose()
    first, second = gateway.transcript
    assert first.connection == second.connection
    assert [json.loads(e.headers["cf-aig-metadata"])["call"] for e in (first, second)] == [
        "CA1",
        "CA2",
    ]


@pytest.mark.parametrize("provider", ["anthropic", "openai"])
async def test_without_a_providers_key_the_gateways_stored_one_is_used(
    gateway: GatewayEmulator, provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.stored_keys = True
    # What the SDKs would pick up by themselves must not travel.
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "stray")
    monkeypatch.setenv("OPENAI_API_KEY", "stray")
    one = rung(gateway, provider, anthropic_api_key=None, openai_api_key=None)
    assert text_of(await heard(one)) == TEXT
    (exchange,) = gateway.transcript
    assert not {"x-api-key", "authorization"} & set(exchange.headers)


@pytest.mark.parametrize("provider", PROVIDERS[:3])
async def test_the_rest_form_answers_as_well(gateway: GatewayEmulator, provider: str) -> None:
    one = rung(gateway, provider, api="rest", url=gateway.rest_url)
    assert text_of(await heard(one)) == TEXT
    (exchange,) = gateway.transcript
    assert exchange.headers["cf-aig-gateway-id"] == GATEWAY
    assert "x-api-key" not in exchange.headers


async def test_a_server_of_your_own_gets_its_own_key_and_nobody_elses(
    gateway: GatewayEmulator,
) -> None:
    await heard(rung(gateway, "plain"))
    await heard(rung(gateway, "plain", server_api_key=SecretStr("local")))
    without, with_key = gateway.transcript
    assert "authorization" not in without.headers
    assert with_key.headers["authorization"] == "Bearer local"
    assert not [name for name in with_key.headers if name.startswith("cf-")]
    assert with_key.body["model"] == MODELS["plain"]


async def test_claude_is_asked_with_marks_for_its_cache_and_never_more_than_it_takes(
    gateway: GatewayEmulator,
) -> None:
    messages: list[Any] = []
    for turn in range(4):
        messages += [
            {"role": "user", "content": f"Question {turn}"},
            {"role": "assistant", "content": f"Answer {turn}"},
        ]
    context = LLMContext(
        messages=[*messages, {"role": "user", "content": "And now?"}], tools=tools()
    )
    await heard(rung(gateway, "anthropic"), context)
    body = gateway.transcript[0].body
    assert body["system"][-1]["cache_control"] == {"type": "ephemeral"}
    assert body["tools"][-1]["cache_control"] == {"type": "ephemeral"}
    assert json.dumps(body).count("cache_control") <= 4


async def test_limits_temperature_and_more_fields_reach_the_provider(
    gateway: GatewayEmulator,
) -> None:
    for provider in PROVIDERS:
        await heard(rung(gateway, provider, max_tokens=77, temperature=0.2, extra={"top_p": 0.9}))
    bodies = [exchange.body for exchange in gateway.transcript]
    assert [body.get("max_tokens", body.get("max_completion_tokens")) for body in bodies] == [
        77
    ] * 4
    assert [body["temperature"] for body in bodies] == [0.2] * 4
    assert [body["top_p"] for body in bodies] == [0.9] * 4


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_conversation_that_the_agent_opened_and_the_host_noted_in_is_understood(
    gateway: GatewayEmulator, provider: str
) -> None:
    context = LLMContext(
        messages=[
            {"role": "assistant", "content": "Hello, how can I help?"},
            {"role": "user", "content": "I need a table."},
            {"role": "developer", "content": "The caller is a regular."},
        ]
    )
    assert text_of(await heard(rung(gateway, provider), context)) == TEXT
    assert "regular" in json.dumps(gateway.transcript[0].body["messages"])


TWO = (
    ToolUse(id="call_1", name="book", arguments={"people": 2, "name": "Žofie"}),
    ToolUse(id="call_2", name="look_up"),
)
SHAPES = {
    "as documented": Reply(text="One moment.", calls=TWO),
    "without an index": Reply(text="One moment.", calls=TWO, indexless=True),
    "with a last part of nulls": Reply(text="One moment.", calls=TWO, null_chunk=True),
    "with neither": Reply(text="One moment.", calls=TWO, indexless=True, null_chunk=True),
    "and called a plain stop": Reply(text="One moment.", calls=TWO, stop="stop"),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_two_tool_calls_in_one_answer_are_both_heard_whole(
    gateway: GatewayEmulator, provider: str, shape: str
) -> None:
    gateway.replies = [SHAPES[shape]]
    events = await heard(rung(gateway, provider), a_context(tools=tools()))
    assert text_of(events) == "One moment."
    assert [event for event in events if isinstance(event, ToolCall)] == [
        ToolCall(id="call_1", name="book", arguments={"people": 2, "name": "Žofie"}),
        ToolCall(id="call_2", name="look_up", arguments={}),
    ]
    assert isinstance(events[-1], End)
    sent = gateway.transcript[0].body["tools"]
    assert [t.get("name") or t["function"]["name"] for t in sent] == ["book", "look_up"]


@pytest.mark.parametrize("provider", PROVIDERS[1:])
async def test_an_answer_cut_short_inside_a_tool_call_is_no_answer(
    gateway: GatewayEmulator, provider: str
) -> None:
    gateway.replies = [Reply(text="One moment.", calls=TWO, stop="length")]
    with pytest.raises(RungFailed, match="cut short"):
        await heard(rung(gateway, provider))


@pytest.mark.parametrize("choice", ["auto", "none", "required", "book"])
async def test_a_tool_choice_is_said_in_each_providers_words(
    gateway: GatewayEmulator, choice: str
) -> None:
    given: Any = choice
    if choice == "book":
        given = {"type": "function", "function": {"name": "book"}}
    for provider in ("anthropic", "openai"):
        await heard(rung(gateway, provider), a_context(tools=tools(), tool_choice=given))
    claude, gpt = (exchange.body["tool_choice"] for exchange in gateway.transcript)
    assert gpt == given
    words = {"required": {"type": "any"}, "book": {"type": "tool", "name": "book"}}
    assert claude == words.get(choice, {"type": choice})


@pytest.mark.parametrize(("first", "second"), [("anthropic", "openai"), ("openai", "anthropic")])
async def test_a_tool_call_made_by_one_rung_is_read_by_the_next(
    gateway: GatewayEmulator, first: str, second: str
) -> None:
    ran: list[str] = []

    async def run(params: FunctionCallParams) -> None:
        ran.append(params.function_name)
        await params.result_callback({"table": 7})

    gateway.replies = [
        Reply(text="One moment.", calls=TWO, model=MODELS[first]),
        Reply(status=529, model=MODELS[first]),
        Reply(text="Table seven is yours.", model=MODELS[second]),
    ]
    ladder = LadderLLMService(
        [(first, rung(gateway, first)), (second, rung(gateway, second))], system="Be brief."
    )
    context = a_context(tools=tools(run))
    pair = LLMContextAggregatorPair(context)
    async with line(ladder, pair.assistant(), before=[pair.user()]) as phone:
        await phone.send(LLMContextFrame(context=context))
        await phone.below.until(lambda: "Table seven is yours." in phone.said)
    assert sorted(ran) == ["book", "look_up"]
    # The emulator refuses calls without results and results without calls.
    assert [e.outcome for e in gateway.transcript] == ["answered", "refused", "answered"]
    sent = json.dumps(gateway.transcript[-1].body["messages"])
    assert "call_1" in sent and "table" in sent and "call_2" in sent
