"""The gateway's rungs, alone and on the ladder, against everything a provider can do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tipring.llm.failures import RungFailed
from tipring.llm.ladder import LadderLLMService
from tipring.providers import End, RungEvent, TextDelta
from tipring_llm_gateway import clients

from tests.emulators.gateway import (
    GatewayEmulator,
)
from tests.emulators.gateway_streams import Fault, Reply
from tests.gateway_rungs import (
    PROVIDERS,
    a_context,
    heard,
    patience,
    rung,
    text_of,
)
from tests.scripted_rungs import Line, line

pytestmark = pytest.mark.loopback


@pytest.fixture
async def gateway() -> AsyncIterator[GatewayEmulator]:
    async with GatewayEmulator() as emulator:
        yield emulator
        await clients.close_clients()


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
        await heard(rung(gateway, provider, read_within=patience(reply)))


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
    reply = Reply(fault=Fault(do=fault, after=3))
    gateway.replies = [reply]
    events: list[RungEvent] = []
    faulty = rung(gateway, provider, read_within=patience(reply))
    with pytest.raises(RungFailed, match=MIDDLE[fault]):
        async for event in faulty.stream(a_context(), system=""):
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
    await gateway.until(lambda t: t[0].outcome == "dropped")


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
    rungs = [
        ("anthropic", rung(gateway, "anthropic", read_within=patience(reply))),
        ("openai", rung(gateway, "openai")),
    ]
    async with line(LadderLLMService(rungs, system="", commit_within=5)) as phone:
        assert await turn(phone) == ["GPT here.", "Go on."]
        assert phone.told("on_rung_used") == [("openai",)]


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("fault", ["hang", "reset", "end", "error", "malformed"])
async def test_whatever_happens_after_a_sentence_only_whole_sentences_are_said_and_once(
    gateway: GatewayEmulator, provider: str, fault: Any
) -> None:
    reply = Reply(fault=Fault(do=fault, after=5))
    gateway.replies = [reply]
    faulty = rung(gateway, provider, read_within=patience(reply))
    rungs = [("first", faulty), ("second", rung(gateway, "openai"))]
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
