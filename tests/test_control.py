"""A host that is given its calls, as in a container: docs/control-protocol.md from outside."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import pytest_asyncio
import websockets
from aiohttp import web
from tipring.phone import mulaw
from tipring.testing.hosted import HostedHost, hosted
from websockets.asyncio.client import ClientConnection, connect

from tests.emulated_host import KEYRING, TONES, Providers, emulated
from tests.emulators.gateway_streams import Reply

# One host for the module: each test gives it a call of its own.
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

TOKEN = "control-token"
BEARER = {"authorization": f"Bearer {TOKEN}"}
WITHIN = 30.0
CALLS = 3
GOODBYE = "Goodbye, and thank you for calling the kitchen."


@dataclass(frozen=True, kw_only=True)
class World:
    host: HostedHost
    providers: Providers

    @property
    def control(self) -> str:
        return self.host.control_url.replace("http", "ws", 1) + "/control"

    async def init(self, call: dict[str, Any], **headers: str) -> httpx.Response:
        async with httpx.AsyncClient() as client:
            return await client.post(f"{self.host.url}/init", json=call, headers=headers or BEARER)

    async def given(self, **more: Any) -> dict[str, Any]:
        """A call that the host has taken."""
        call = new_call(**more)
        async with asyncio.timeout(WITHIN):
            # The calls of the tests before may be on their way out.
            while (answer := await self.init(call)).status_code == 409:
                pass
        assert answer.status_code == 200, answer.text
        return call

    def stream(self, call: dict[str, Any]) -> str:
        url = self.host.url.replace("http", "ws", 1)
        return f"{url}/media/{call['call']}/{call['media_token']}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder: Path = tmp_path_factory.mktemp("host")
    environ = {
        **KEYRING,
        "XDG_CACHE_HOME": str(folder),
        "TIPRING_LIMITS__MAX_CALLS": str(CALLS),
        "TIPRING_AGENT__GOODBYE": GOODBYE,
    }
    async with (
        emulated(folder) as providers,
        hosted(config=providers.config, environ=environ, control_token=TOKEN) as host,
    ):
        yield World(host=host, providers=providers)


def new_call(**more: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "call": f"CA{secrets.token_hex(16)}",
        "direction": "inbound",
        "from": "+15005550006",
        "to": "+15005550001",
        "ttl": 60,
        "media_token": secrets.token_urlsafe(24),
        **more,
    }


@dataclass
class Line:
    """Twilio's end of a stream: it says nothing but tones, and returns marks at once."""

    ws: ClientConnection
    stream: str
    heard: list[str] = field(default_factory=list)
    sound: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def listen(self) -> None:
        async for text in self.ws:
            told = json.loads(text)
            assert told["streamSid"] == self.stream
            self.heard.append(told["event"])
            if told["event"] == "media":
                sound = base64.b64decode(told["media"]["payload"])
                self.sound += sum(byte not in (0xFF, 0x7F) for byte in sound)
            elif told["event"] == "mark":
                await self.ws.send(text)
            self.news.set()

    async def until(self, ready: Callable[[], bool]) -> None:
        async with asyncio.timeout(WITHIN):
            while not ready():
                self.news.clear()
                await self.news.wait()

    async def say(self, *words: str) -> None:
        """Say words at the pace of speech, and then a second of nothing, unless hung up on."""
        pcm = np.frombuffer(TONES.speak(*words, rate=8000), "<i2")
        sound = mulaw.encode(pcm) + b"\xff" * 8000
        with contextlib.suppress(websockets.ConnectionClosedOK):
            for at in range(0, len(sound), 160):
                payload = base64.b64encode(sound[at : at + 160]).decode()
                media = {"track": "inbound", "payload": payload}
                await self.ws.send(
                    json.dumps({"event": "media", "streamSid": self.stream, "media": media})
                )
                await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def line(world: World, call: dict[str, Any], stream: str = "MZ1") -> AsyncIterator[Line]:
    async with connect(world.stream(call), compression=None) as ws:
        start = {"streamSid": stream, "callSid": "CAtwilio", "customParameters": {}}
        await ws.send(json.dumps({"event": "start", "streamSid": stream, "start": start}))
        phone = Line(ws, stream)
        listening = asyncio.create_task(phone.listen())
        try:
            yield phone
        finally:
            with contextlib.suppress(websockets.ConnectionClosed):
                await ws.send(json.dumps({"event": "stop", "streamSid": stream}))
            await ws.close()
            with contextlib.suppress(websockets.ConnectionClosed):
                await listening


@dataclass
class Object:
    """The object's end of the control socket."""

    ws: ClientConnection
    events: list[dict[str, Any]] = field(default_factory=list)

    async def until(self, name: str) -> dict[str, Any]:
        """Read up to an event."""
        async with asyncio.timeout(WITHIN):
            while True:
                told: dict[str, Any] = json.loads(await self.ws.recv())
                if told["type"] == "event":
                    self.events.append(told)
                    if told["name"] == name:
                        return told

    async def kill(self, how: str) -> None:
        await self.ws.send(json.dumps({"type": "kill", "kill": how}))


@contextlib.asynccontextmanager
async def control(
    world: World, call: dict[str, Any], *, after: int = 0, kill: str = "none"
) -> AsyncIterator[Object]:
    async with connect(world.control, additional_headers=BEARER) as ws:
        hello = {"type": "hello", "version": 1, "call": call["call"], "after": after, "kill": kill}
        await ws.send(json.dumps({**hello, "more": "of a later version"}))
        assert json.loads(await ws.recv()) == {"type": "hello", "version": 1}
        yield Object(ws)


# /init


async def test_a_call_is_taken_from_whoever_has_the_token(world: World) -> None:
    call = new_call(ttl=0.5)
    for authorization in ("", "Bearer", "Bearer wrong", TOKEN):
        answer = await world.init(call, authorization=authorization)
        assert (answer.status_code, answer.json()["error"]) == (
            401,
            "send the control token as a bearer",
        )
    assert (await world.init(call)).json() == {"call": call["call"]}
    # The same once more is the same call; another one of that name is not.
    assert (await world.init(call)).status_code == 200
    assert (await world.init({**call, "to": "+15005550002"})).status_code == 409


WRONG: dict[str, dict[str, Any]] = {
    "another version": {"version": 2},
    "a name that is a path": {"call": "../etc"},
    "a direction that is none": {"direction": "sideways"},
    "no time": {"ttl": 0},
    "more time than a day": {"ttl": 90_000},
    "a short token": {"media_token": "short-1234"},
    "an address that is none": {"kill_url": "file:///etc/passwd"},
    "a parameter that is no text": {"parameters": {"order": {"deep": "secret-1234"}}},
    "forty parameters": {"parameters": {f"p{n}": "x" for n in range(40)}},
}


@pytest.mark.parametrize("name", WRONG)
async def test_a_call_that_cannot_be_is_refused_in_a_sentence_without_its_values(
    name: str, world: World
) -> None:
    answer = await world.init(new_call(**WRONG[name]))
    assert answer.status_code == 400
    [key] = WRONG[name]
    assert key in answer.json()["error"]
    assert "1234" not in answer.text and "passwd" not in answer.text


async def test_what_is_no_call_at_all_is_refused(world: World) -> None:
    async with httpx.AsyncClient(headers=BEARER) as client:
        for body, status in ((b"", 400), (b"[1]", 400), (b"{" * 900, 400), (b"x" * 70_000, 413)):
            answer = await client.post(f"{world.host.url}/init", content=body)
            assert answer.status_code == status


async def test_a_host_takes_no_more_calls_than_it_may(world: World) -> None:
    calls = [await world.given() for _ in range(CALLS)]
    answer = await world.init(new_call())
    assert (answer.status_code, answer.json()["error"]) == (409, "this host has another call")
    for call in calls:
        async with line(world, call):
            pass
    await world.given(ttl=0.1)  # they are over


async def test_a_call_whose_end_was_told_makes_room(world: World) -> None:
    calls = [await world.given() for _ in range(CALLS)]
    async with httpx.AsyncClient(headers=BEARER) as client, contextlib.AsyncExitStack() as stack:
        lines = [await stack.enter_async_context(line(world, call)) for call in calls]
        async with control(world, calls[0]) as owner:
            await owner.until("agent.started")
            assert (await client.post(f"{world.host.url}/init", json=new_call())).status_code == 409
            await lines[0].ws.send(json.dumps({"event": "stop", "streamSid": lines[0].stream}))
            await owner.until("call.ended")
            told = new_call(ttl=0.1)
            assert (await client.post(f"{world.host.url}/init", json=told)).status_code == 200


async def test_a_call_whose_stream_never_came_makes_room(world: World) -> None:
    for _ in range(CALLS + 1):
        await world.given(ttl=0.1)


async def test_a_stream_needs_the_token_of_its_call(world: World) -> None:
    call = await world.given(ttl=1)
    never = new_call()
    for wrong, status in (({**call, "media_token": "x" * 32}, 403), (never, 404)):
        with pytest.raises(websockets.InvalidStatus) as refused:
            await connect(world.stream(wrong))
        assert refused.value.response.status_code == status


async def test_no_telephone_company_comes_by_itself(world: World) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"{world.host.url}/voice", data={"CallSid": "CA1"})
    assert answer.status_code == 404


# The stream


async def test_a_second_stream_takes_over_from_the_first(world: World) -> None:
    call = await world.given()
    async with control(world, call) as owner, line(world, call) as first:
        await owner.until("agent.stopped")
        async with line(world, call, "MZ2") as second:
            async with asyncio.timeout(WITHIN):
                await first.ws.wait_closed()
            assert first.ws.close_code == 1000
            await second.say("table")
            await second.until(lambda: second.sound > 0)
            await owner.until("agent.stopped")
        assert (await owner.until("call.ended"))["detail"]["reason"] == "caller hung up"
    began = [event for event in owner.events if event["name"] == "call.began"]
    assert [event["detail"]["call"] for event in began] == [call["call"]]
    with pytest.raises(websockets.InvalidStatus) as refused:
        await connect(world.stream(call))
    assert refused.value.response.status_code == 410


async def test_what_was_said_while_the_stream_was_gone_is_heard_when_it_is_back(
    world: World,
) -> None:
    call, lost = await world.given(), asyncio.Event()
    world.providers.model.replies.append(Reply(held=lost))
    async with control(world, call) as owner:
        async with line(world, call) as first:
            await owner.until("agent.stopped")
            await first.say("table")
            await owner.until("turn.committed")
            first.ws.transport.abort()
            await owner.until("stream.lost")
            lost.set()
        await owner.until("agent.stopped")
        async with line(world, call, "MZ2") as second:
            await second.until(lambda: "mark" in second.heard)
            assert second.sound > 0
            played = await owner.until("mark.played")
    names = [event["name"] for event in owner.events]
    assert names.index("stream.lost") < names.index("agent.started", names.index("stream.lost"))
    assert names[-2:] == ["stream.back", "mark.played"]
    assert played["detail"]["name"] == "u2"


# The control socket


async def test_the_control_socket_needs_the_token_and_a_plain_request_is_told_what_it_is(
    world: World,
) -> None:
    with pytest.raises(websockets.InvalidStatus) as refused:
        await connect(world.control, additional_headers={"authorization": "Bearer wrong"})
    assert refused.value.response.status_code == 401
    async with httpx.AsyncClient() as client:
        url = world.host.control_url
        assert (await client.get(f"{url}/control")).status_code == 426
        assert (await client.get(f"{url}/health")).json() == {
            "ok": True,
            "ready": True,
            "problems": [],
        }


@pytest.mark.parametrize(
    "first",
    [
        "nonsense",
        '{"type": "kill", "kill": "hard"}',
        '{"type": "hello", "version": 2, "call": "CAx", "after": 0, "kill": "none"}',
        '{"type": "hello", "version": 1, "call": "CAnever", "after": 0, "kill": "none"}',
        b"\x00",
    ],
)
async def test_a_control_socket_that_does_not_introduce_itself_is_closed(
    first: str | bytes, world: World
) -> None:
    async with connect(world.control, additional_headers=BEARER) as ws:
        await ws.send(first)
        async with asyncio.timeout(WITHIN):
            await ws.wait_closed()
        assert ws.close_code in (1002, 1008)


async def test_events_behind_the_known_ones_come_again_on_another_socket(world: World) -> None:
    call = await world.given()
    async with line(world, call):
        async with control(world, call) as first:
            await first.until("agent.stopped")
        numbers = [event["seq"] for event in first.events]
        assert numbers == list(range(1, len(numbers) + 1))
        async with control(world, call, after=2) as second:
            again = await second.until("agent.stopped")
        assert second.events == first.events[2:]
        assert again == first.events[-1]


async def test_nonsense_on_the_control_socket_is_passed_over(world: World) -> None:
    call = await world.given()
    async with line(world, call), control(world, call) as owner:
        for text in ("nonsense", "[]", '{"type":"kill","kill":"softly"}', '{"type":"new"}'):
            await owner.ws.send(text)
        await owner.until("agent.stopped")
        await owner.kill("warm")
        assert (await owner.until("call.ended"))["detail"]["reason"] == "killed"


async def test_a_goodbye_that_is_interrupted_is_said_instead_of_the_next_answer(
    world: World,
) -> None:
    call = await world.given()
    async with line(world, call) as phone, control(world, call) as owner:
        await owner.until("agent.stopped")
        await owner.kill("warm")
        await owner.until("agent.started")
        await phone.say("table", "tonight")
        await owner.until("interruption")
        assert (await owner.until("call.ended"))["detail"]["reason"] == "killed"
    goodbyes = [event for event in owner.events if event["name"] == "hang_up"]
    assert [event["detail"]["by"] for event in goodbyes] == ["killed", "killed"]


async def test_a_goodbye_that_words_for_somebody_else_stopped_is_finished_and_ends_the_call(
    world: World,
) -> None:
    call = await world.given()
    async with line(world, call) as phone, control(world, call) as owner:
        await owner.until("agent.stopped")
        await owner.kill("warm")
        await owner.until("agent.started")
        await phone.say("table", "tonight", "window", "honey")
        await owner.until("interruption")
        await owner.until("agent.resumed")
        assert (await owner.until("call.ended"))["detail"]["reason"] == "killed"
    names = [event["name"] for event in owner.events]
    assert names.count("hang_up") == 1 and "nudge" not in names
    assert "mark.played" in names[names.index("agent.resumed") :]


async def test_a_call_that_was_killed_before_its_stream_came_is_not_begun(world: World) -> None:
    call = await world.given()
    async with control(world, call, kill="hard") as owner:
        async with line(world, call) as phone:
            assert (await owner.until("call.ended"))["detail"]["reason"] == "killed"
            async with asyncio.timeout(WITHIN):
                await phone.ws.wait_closed()
            assert phone.sound == 0


# Asking for the kill switch


@contextlib.asynccontextmanager
async def switch(*answers: str | None) -> AsyncIterator[tuple[str, list[str]]]:
    """Where the switch is asked for; None never answers. Gives the address, and who asked."""
    left, asked = list(answers), list[str]()
    leave = asyncio.Event()

    async def handle(request: web.Request) -> web.Response:
        asked.append(request.path)
        answer = left.pop(0) if len(left) > 1 else left[0]
        if answer is None:
            await leave.wait()
        return web.Response(text=answer, content_type="application/json")

    app = web.Application()
    app.router.add_get("/kill", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/kill", asked
    finally:
        leave.set()
        await runner.cleanup()


@pytest.mark.parametrize(("how", "spoken"), [("warm", 2), ("hard", 1)])
async def test_a_kill_that_is_answered_to_the_hosts_question_ends_the_call_before_the_reply(
    how: str, spoken: int, world: World
) -> None:
    async with switch(json.dumps({"kill": how})) as (url, asked):
        call = await world.given(kill_url=url)
        async with line(world, call) as phone, control(world, call) as owner:
            await owner.until("agent.stopped")
            assert asked == []  # a greeting is no reply
            await phone.say("table")
            assert (await owner.until("call.ended"))["detail"]["reason"] == "killed"
        assert asked and _sounds(owner) == spoken
        assert _said(owner) == ["Kitchen.", GOODBYE][:spoken]


async def test_a_reply_that_was_dropped_is_not_in_the_models_memory_when_the_call_goes_on(
    world: World,
) -> None:
    async with switch(json.dumps({"kill": "warm"}), json.dumps({"kill": "none"})) as (url, _):
        call = await world.given(kill_url=url)
        async with line(world, call) as phone, control(world, call) as owner:
            await owner.until("agent.stopped")
            await phone.say("table")
            await owner.until("hang_up")
            await owner.until("agent.started")
            await owner.kill("none")
            await phone.say("window")  # over the goodbye
            await owner.until("interruption")
            await owner.until("rung.used")
            await owner.until("agent.stopped")
    greeting, goodbye, *reply = _said(owner)
    assert (greeting, goodbye) == ("Kitchen.", GOODBYE)
    # The model answers in the same words each time: one of its two answers was dropped.
    assert reply and len(set(reply)) == len(reply)
    messages = json.dumps(world.providers.asked()[-1]["messages"])
    assert "table" in messages and "window" in messages
    assert not any(sentence in messages for sentence in reply)


@pytest.mark.parametrize("answer", [None, "nonsense", '{"kill": "softly"}', '{"kill": "none"}'])
async def test_no_answer_about_the_switch_is_none_and_the_reply_is_said(
    answer: str | None, world: World
) -> None:
    async with switch(answer) as (url, asked):
        call = await world.given(kill_url=url)
        async with line(world, call) as phone, control(world, call) as owner:
            await owner.until("agent.stopped")
            await phone.say("table")
            await owner.until("agent.stopped")
        assert asked and _sounds(owner) == 2


def _said(owner: Object) -> list[str]:
    """What went to the voice."""
    return [event["detail"]["text"] for event in owner.events if event["name"] == "agent.said"]


def _sounds(owner: Object) -> int:
    """How often the agent was heard."""
    return [event["name"] for event in owner.events].count("agent.started")


async def test_what_the_owner_knows_of_a_call_is_told_to_the_model(world: World) -> None:
    call = await world.given(direction="outbound", parameters={"order": "number 12"})
    async with line(world, call) as phone, control(world, call) as owner:
        await owner.until("agent.stopped")
        await phone.say("table")
        await owner.until("agent.stopped")
    system = world.providers.asked()[-1]["system"][0]["text"]
    assert system.endswith("About this call:\nYou placed this call.\norder: number 12")
    assert "1500555" not in json.dumps(world.providers.asked()[-1])
