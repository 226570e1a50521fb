"""The gateway's rungs: the real SDKs, on real sockets, against everything a provider can do."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.frames.frames import LLMContextFrame
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.services.llm_service import FunctionCallParams
from pydantic import SecretStr, ValidationError
from tipring.errors import PluginError
from tipring.llm.failures import RungFailed
from tipring.llm.ladder import LadderLLMService
from tipring.providers import Call, End, Rung, RungEvent, TextDelta, ToolCall, Usage
from tipring_llm_gateway import build, clients, online, register_llm
from tipring_llm_gateway.settings import GatewaySettings

from tests.emulators.gateway import (
    ACCOUNT,
    CF_TOKEN,
    GATEWAY,
    KEYS,
    MODELS,
    TOKEN,
    GatewayEmulator,
)
from tests.emulators.gateway_streams import Call as ToolUse
from tests.emulators.gateway_streams import Fault, Reply
from tests.scripted_rungs import Line, line

PROVIDERS = ["anthropic", "openai", "workers-ai", "plain"]
TEXT = "Hello there. How can I help you today?"
CALL = Call(id="CA0123")


@pytest.fixture
async def gateway() -> AsyncIterator[GatewayEmulator]:
    async with GatewayEmulator() as emulator:
        yield emulator
        await clients.close_clients()


def settings(emulator: GatewayEmulator, provider: str, **changed: Any) -> GatewaySettings:
    values: dict[str, Any] = {
        "model": f"{provider}/{MODELS[provider]}",
        "account": ACCOUNT,
        "gateway": GATEWAY,
        "url": emulator.gateway_url,
        "gateway_token": SecretStr(TOKEN),
        "anthropic_api_key": SecretStr(KEYS["anthropic"]),
        "openai_api_key": SecretStr(KEYS["openai"]),
        "cloudflare_api_token": SecretStr(CF_TOKEN),
        "read_within": 0.3,
    }
    if provider == "plain":
        values |= {"model": MODELS["plain"], "base_url": emulator.plain_url}
        values |= {"account": "", "gateway": "", "url": ""}
    return GatewaySettings(**(values | changed))


def rung(emulator: GatewayEmulator, provider: str, **changed: Any) -> Rung:
    return build(settings(emulator, provider, **changed), CALL)


def a_context(**more: Any) -> LLMContext:
    return LLMContext(messages=[{"role": "user", "content": "Hello?"}], **more)


async def heard(rung: Rung, context: LLMContext | None = None) -> list[RungEvent]:
    stream = rung.stream(context or a_context(), system="Be brief.")
    return [event async for event in stream]


def text_of(events: list[RungEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


# What a rung says and sends


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


# Tools


def tools(handler: Any = None) -> ToolsSchema:
    names = ("book", "look_up")
    return ToolsSchema(
        standard_tools=[
            FunctionSchema(
                name=name,
                description=f"To {name}.",
                properties={"people": {"type": "integer"}},
                required=[],
                handler=handler,
            )
            for name in names
        ]
    )


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


# Faults


def lines(reply: Reply, said: str, *providers: str) -> list[Any]:
    return [pytest.param(p, reply, said, id=f"{p}: {said}") for p in providers or PROVIDERS]


BEFORE = [
    *lines(Reply(status=429, headers={"retry-after": "1"}), "HTTP 429.*: too many requests"),
    *lines(Reply(status=500), "HTTP 500.*: the provider failed"),
    *lines(Reply(status=529, code="overloaded_error"), "HTTP 529.*overloaded", "anthropic"),
    *lines(Reply(status=401, code="invalid_api_key"), "HTTP 401.*the key was refused", "openai"),
    *lines(
        Reply(status=401, gateway_error=True, code="2009"),
        "HTTP 401.*the gateway refused the token",
        *PROVIDERS[:3],
    ),
    *lines(Reply(status=400, code="5007"), "HTTP 400.*there is no such model", "workers-ai"),
    *lines(Reply(fault=Fault(do="hang", after=None)), "did not answer in time"),
    *lines(Reply(fault=Fault(do="reset", after=None)), "the connection to .* failed"),
    *lines(Reply(fault=Fault(do="hang", after=0)), "did not answer in time"),
    *lines(Reply(fault=Fault(do="malformed", after=0)), "is not JSON"),
    *lines(Reply(fault=Fault(do="error", after=0)), "gave up in the middle"),
]


@pytest.mark.parametrize(("provider", "reply", "said"), BEFORE)
async def test_a_failure_before_the_first_token_is_told_in_a_sentence(
    gateway: GatewayEmulator, provider: str, reply: Reply, said: str
) -> None:
    gateway.replies = [reply]
    with pytest.raises(RungFailed, match=said):
        await heard(rung(gateway, provider))


MIDDLE = {
    "hang": "did not answer in time",
    "reset": "the connection to .* (broke|failed)",
    "error": "gave up in the middle",
    "malformed": "is not JSON",
}


@pytest.mark.parametrize("fault", MIDDLE)
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_failure_in_the_middle_comes_behind_the_tokens_before_it(
    gateway: GatewayEmulator, provider: str, fault: Any
) -> None:
    gateway.replies = [Reply(fault=Fault(do=fault, after=3))]
    events: list[RungEvent] = []
    with pytest.raises(RungFailed, match=MIDDLE[fault]):
        async for event in rung(gateway, provider).stream(a_context(), system=""):
            events.append(event)
    assert text_of(events) == "Hello there. How"


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_stream_that_ends_early_has_no_end(gateway: GatewayEmulator, provider: str) -> None:
    gateway.replies = [Reply(fault=Fault(do="end", after=3))]
    events = await heard(rung(gateway, provider))
    assert text_of(events) == "Hello there. How"
    assert not any(isinstance(event, End) for event in events)


@pytest.mark.parametrize(
    ("provider", "stop"),
    [
        ("anthropic", "max_tokens"),
        ("anthropic", "refusal"),
        ("anthropic", "pause_turn"),
        ("openai", "length"),
        ("openai", "content_filter"),
        ("workers-ai", "length"),
    ],
)
async def test_why_the_model_stopped_is_told_in_its_own_word(
    gateway: GatewayEmulator, provider: str, stop: str
) -> None:
    gateway.replies = [Reply(stop=stop)]
    assert (await heard(rung(gateway, provider)))[-1] == End(reason=stop)


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_closing_the_stream_closes_the_request(
    gateway: GatewayEmulator, provider: str
) -> None:
    gateway.replies = [Reply(fault=Fault(do="hang", after=2))]
    stream: Any = rung(gateway, provider, read_within=60).stream(a_context(), system="")
    assert await anext(stream) == TextDelta(text="Hello")
    await stream.aclose()
    await gateway.until(lambda t: t[0].outcome == "dropped", 5)


# The ladder over them


async def turn(phone: Line) -> list[str]:
    return await phone.ask(a_context())


LADDER_FAULTS: dict[str, Reply] = {
    "429": Reply(status=429),
    "hangs before the headers": Reply(fault=Fault(do="hang", after=None)),
    "resets before the headers": Reply(fault=Fault(do="reset", after=None)),
    "hangs before a token": Reply(fault=Fault(do="hang", after=0)),
    "hangs in the first sentence": Reply(fault=Fault(do="hang", after=2)),
    "resets in the first sentence": Reply(fault=Fault(do="reset", after=2)),
    "ends early in the first sentence": Reply(fault=Fault(do="end", after=2)),
    "errors in the first sentence": Reply(fault=Fault(do="error", after=2)),
    "malformed in the first sentence": Reply(fault=Fault(do="malformed", after=2)),
    "is empty": Reply(text=""),
    "is cut short": Reply(text="Hello", stop="length"),
    "refuses": Reply(text="No.", stop="refusal"),
}


@pytest.mark.parametrize("fault", LADDER_FAULTS)
async def test_whatever_claude_does_before_a_sentence_gpt_answers(
    gateway: GatewayEmulator, fault: str
) -> None:
    reply = LADDER_FAULTS[fault]
    gateway.replies = [reply, Reply(text="GPT here. Go on.")]
    rungs = [(p, rung(gateway, p)) for p in ("anthropic", "openai")]
    async with line(LadderLLMService(rungs, system="", commit_within=5)) as phone:
        assert await turn(phone) == ["GPT here.", "Go on."]
        assert phone.told("on_rung_used") == [("openai",)]


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("fault", ["hang", "reset", "end", "error", "malformed"])
async def test_whatever_happens_after_a_sentence_only_whole_sentences_are_said_and_once(
    gateway: GatewayEmulator, provider: str, fault: Any
) -> None:
    gateway.replies = [Reply(fault=Fault(do=fault, after=5))]
    rungs = [("first", rung(gateway, provider)), ("second", rung(gateway, "openai"))]
    async with line(LadderLLMService(rungs, system="")) as phone:
        assert await turn(phone) == ["Hello there."]
        assert len(gateway.transcript) == 1
        assert [t[2] for t in phone.told("on_rung_failed")] == ["after the first sentence"]


async def test_all_three_providers_down_the_host_is_told(gateway: GatewayEmulator) -> None:
    gateway.replies = [Reply(status=529), Reply(status=500), Reply(status=429)]
    rungs = [(p, rung(gateway, p)) for p in PROVIDERS[:3]]
    async with line(LadderLLMService(rungs, system="")) as phone:
        assert await turn(phone) == []
        assert phone.told("on_exhausted") == [()]
        assert [e.provider for e in gateway.transcript] == PROVIDERS[:3]


# Settings, keys, and asking beforehand


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"account": ""}, "account is missing; set it to"),
        ({"gateway": ""}, "gateway is missing"),
        ({"account": "my-account"}, "32 hex digits"),
        ({"gateway": "https://gateway.ai.cloudflare.com/v1/x/voice"}, "the name only"),
        ({"model": "claude-haiku-4-5"}, "does not say whose it is; write anthropic/"),
        ({"model": "workers-ai/llama-3.3-70b"}, "begins with @cf/"),
        ({"url": "gateway.ai.cloudflare.com"}, "begins with http"),
        ({"base_url": "http://localhost:1234/v1"}, "base_url goes past Cloudflare"),
        ({"max_tokens": 0}, "greater than or equal to 1"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_with_its_mend(
    wrong: dict[str, Any], said: str
) -> None:
    right: dict[str, Any] = {"model": "openai/gpt-4o-mini", "account": ACCOUNT, "gateway": GATEWAY}
    GatewaySettings(**right)
    with pytest.raises(ValidationError, match=said):
        GatewaySettings(**(right | wrong))


@pytest.mark.parametrize(
    ("model", "more", "said"),
    [
        ("anthropic/x", {}, r"neither \$ANTHROPIC_API_KEY nor \$CF_AIG_TOKEN is set"),
        ("openai/x", {}, r"neither \$OPENAI_API_KEY nor \$CF_AIG_TOKEN is set"),
        ("workers-ai/@cf/x", {"gateway_token": "t"}, r"\$CLOUDFLARE_API_TOKEN is not set"),
        ("openai/x", {"api": "rest", "openai_api_key": "k"}, r"\$CLOUDFLARE_API_TOKEN is not"),
    ],
)
def test_a_rung_without_the_key_it_needs_is_not_built_and_the_fix_is_told(
    model: str, more: dict[str, Any], said: str
) -> None:
    made = GatewaySettings(model=model, account=ACCOUNT, gateway=GATEWAY, **more)
    with pytest.raises(PluginError, match=said) as caught:
        build(made, CALL)
    assert "wrangler secret put" in caught.value.fix


async def test_asked_beforehand_a_rung_that_works_has_no_problems(
    gateway: GatewayEmulator,
) -> None:
    for provider in PROVIDERS:
        assert await asyncio.to_thread(online, settings(gateway, provider)) == []


@pytest.mark.parametrize("provider", PROVIDERS[:3])
async def test_asked_beforehand_each_mistake_is_told_apart(
    gateway: GatewayEmulator, provider: str
) -> None:
    key = {"anthropic": "anthropic_api_key", "openai": "openai_api_key"}
    mistakes: dict[str, dict[str, Any]] = {
        "key": {key.get(provider, "cloudflare_api_token"): SecretStr("wrong")},
        "model": {"model": f"{provider}/@cf/nobody"},
        "token": {"gateway_token": SecretStr("wrong")},
        "gateway": {"gateway": "other"},
        "network": {"url": "http://127.0.0.1:9/v1"},
    }
    told = {}
    for name, wrong in mistakes.items():
        (told[name],) = await asyncio.to_thread(online, settings(gateway, provider, **wrong))
    assert "refused" in told["key"] and "$CF_AIG" not in told["key"]
    assert "no such model" in told["model"]
    assert "; set $CF_AIG_TOKEN" in told["token"]
    assert '; look for "other" under AI > AI Gateway' in told["gateway"]
    assert "; look at the network" in told["network"]
    assert len(set(told.values())) == len(told)
    assert not any("wrong" in sentence for sentence in told.values())


def test_offering_the_plugin_imports_neither_sdk_nor_pipecat() -> None:
    program = (
        "import sys, tipring_llm_gateway as p; list(p.register_llm());"
        "print(sorted({'anthropic', 'openai', 'httpx2', 'pipecat'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


FIRST_REQUEST = """
import asyncio, sys
import tipring.llm.ladder
from pipecat.processors.aggregators.llm_context import LLMContext
from tests.emulators.gateway import GatewayEmulator
from tests.test_gateway import rung
from tipring_llm_gateway.clients import close_clients

async def main():
    async with GatewayEmulator() as gateway:
        built = rung(gateway, sys.argv[1])
        before = set(sys.modules)
        context = LLMContext(messages=[{"role": "user", "content": "Hello?"}])
        async for _ in built.stream(context, system=""):
            pass
        print(sorted(set(sys.modules) - before))
        await close_clients()

asyncio.run(main())
"""


@pytest.mark.parametrize("provider", ["anthropic", "openai"])
def test_what_the_first_request_needs_is_loaded_when_the_rung_is_built(provider: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FIRST_REQUEST, provider],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    assert done.stdout.strip() == "[]"


def test_what_its_readme_says_to_paste_can_be_pasted() -> None:
    readme = Path(__file__).parents[1] / "plugins/llm_gateway/README.md"
    tables = [part.split("```")[0] for part in readme.read_text().split("```toml\n")[1:]]
    default, local = (tomllib.loads(table)["llm"] for table in tables)
    for rung in [*default.values(), *local.values()]:
        assert rung.pop("plugin") == "gateway"
        GatewaySettings(**rung)
    assert [rung["model"] for rung in default.values()] == [
        f"{provider}/{MODELS[provider]}" for provider in PROVIDERS[:3]
    ]


def test_every_setting_stands_in_its_readme() -> None:
    readme = (Path(__file__).parents[1] / "plugins/llm_gateway/README.md").read_text()
    for name, field in GatewaySettings.model_fields.items():
        extra = field.json_schema_extra
        shown = extra["secret_env"] if isinstance(extra, dict) else name
        assert f"`{shown}`" in readme


def test_it_is_offered_under_its_name() -> None:
    (offered,) = register_llm()
    assert offered.name == "gateway"
    assert offered.settings is GatewaySettings
