"""The real host in a process of its own, and everything a line can do to it."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from xml.etree import ElementTree

import httpx
import numpy as np
import pytest
import pytest_asyncio
import websockets
from tipring.phone import mulaw
from tipring.server import listen
from tipring.testing import Phone
from tipring.testing.hosted import HostedHost, HostFailed, hosted
from twilio.request_validator import RequestValidator

from tests.told import Told

CALL = "CA" + "0" * 31

# One host for the module: that the next call works after every abuse is the point of it.
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def told() -> Told:
    return Told()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def host(told: Told) -> AsyncIterator[HostedHost]:
    environ = {"TIPRING_LIMITS__MAX_CALLS": "2", "TIPRING_CONTROL_TOKEN": "control"}
    async with hosted(environ=environ, on_event=told) as running:
        yield running


def signed(host: HostedHost, path: str, form: Mapping[str, str]) -> dict[str, str]:
    url = host.url.replace("http", "ws", 1) + path if path.startswith("/media") else host.url + path
    signature = RequestValidator(host.auth_token).compute_signature(url, dict(form))
    return {"x-twilio-signature": signature}


async def post_voice(host: HostedHost, call: str, **headers: str) -> httpx.Response:
    form = {"CallSid": call, "From": "+15005550006", "To": "+15005550001"}
    async with httpx.AsyncClient() as client:
        return await client.post(
            f"{host.url}/voice", data=form, headers=headers or signed(host, "/voice", form)
        )


async def stream_path(host: HostedHost, call: str) -> str:
    answer = await post_voice(host, call)
    stream = ElementTree.fromstring(answer.text).find("./Connect/Stream")
    assert stream is not None, answer.text
    return "/media" + stream.attrib["url"].split("/media", 1)[1]


def open_stream(host: HostedHost, path: str) -> websockets.connect:
    url = host.url.replace("http", "ws", 1) + path
    return websockets.connect(url, additional_headers=signed(host, path, {}), max_size=None)


def start_message(call: str) -> str:
    return json.dumps(
        {
            "event": "start",
            "sequenceNumber": "1",
            "streamSid": "MZ" + call[2:],
            "start": {
                "accountSid": "AC1",
                "streamSid": "MZ" + call[2:],
                "callSid": call,
                "tracks": ["inbound"],
                "customParameters": {},
            },
        }
    )


def media(payload: bytes | str) -> str:
    text = payload if isinstance(payload, str) else base64.b64encode(payload).decode()
    return json.dumps({"event": "media", "media": {"track": "inbound", "payload": text}})


_calls = iter(range(10**6))


def new_call() -> str:
    return f"CA{next(_calls):032x}"


async def assert_the_next_call_works(host: HostedHost, told: Told) -> None:
    async with await Phone.dial(host.url, auth_token=host.auth_token) as phone:
        await phone.agent_speaks(within=30)
        call = phone.call_sid
    assert (await told.until(call, "call.ended"))["reason"] == "caller hung up"


async def test_ready_is_said_with_the_words_the_container_waits_for(host: HostedHost) -> None:
    for url in (host.url, host.control_url):
        async with httpx.AsyncClient() as client:
            answer = await client.get(f"{url}/health")
        assert answer.status_code == 200
        assert answer.json() == {"ok": True, "ready": True, "problems": []}


async def test_a_webhook_that_twilio_did_not_sign_is_refused(host: HostedHost) -> None:
    assert (await post_voice(host, CALL, **{"x-twilio-signature": "forged"})).status_code == 403
    assert (await post_voice(host, CALL, **{"x-nothing": "1"})).status_code == 403


async def test_a_webhook_as_large_as_no_webhook_is_refused(host: HostedHost) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"{host.url}/voice", data={"CallSid": "x" * 40_000})
    assert answer.status_code == 413


async def test_a_ticket_is_good_for_one_stream_and_for_its_own_call(host: HostedHost) -> None:
    call = new_call()
    path = await stream_path(host, call)
    other = path.replace(call, new_call())
    for wrong in (other, f"/media/{call}/guess"):
        with pytest.raises(websockets.InvalidStatus):
            await open_stream(host, wrong).__aenter__()
    async with open_stream(host, path) as line:
        with pytest.raises(websockets.InvalidStatus):
            await open_stream(host, path).__aenter__()
        await line.close()


async def test_an_unsigned_stream_is_refused_with_the_right_ticket(host: HostedHost) -> None:
    path = await stream_path(host, new_call())
    url = host.url.replace("http", "ws", 1) + path
    with pytest.raises(websockets.InvalidStatus):
        await websockets.connect(url)
    async with open_stream(host, path):  # and the ticket is still good for its owner
        pass


async def test_a_caller_over_the_limit_is_told_that_the_line_is_busy(
    host: HostedHost, told: Told
) -> None:
    async with (
        await Phone.dial(host.url, auth_token=host.auth_token) as one,
        await Phone.dial(host.url, auth_token=host.auth_token) as two,
    ):
        answer = await post_voice(host, new_call())
        said = ElementTree.fromstring(answer.text)
        assert "busy" in (said.findtext("Say") or "")
        assert said.find("Hangup") is not None and said.find("Connect") is None
        await one.agent_speaks(within=30)
        await two.agent_speaks(within=30)
        calls = (one.call_sid, two.call_sid)
    for call in calls:
        await told.until(call, "call.ended")
    await assert_the_next_call_works(host, told)


BEFORE_START: dict[str, list[str | bytes]] = {
    "malformed JSON": ["{not json"] * 9,
    "a list": ["[]"] * 9,
    "bottomless JSON": ["[" * 10_000] * 9,
    "media before the start": [media(b"\xff" * 160)] * 9,
    "bytes": [b"\x00\x01"],
    "a start without its body": ['{"event":"start"}'],
    "a start with a number for an id": ['{"event":"start","start":{"streamSid":1,"callSid":2}}'],
    "a start for another call": [start_message("CA" + "f" * 32)],
    "a megabyte": ["x" * 1_000_000],
    "nothing but a close": [],
}


@pytest.mark.parametrize("name", BEFORE_START)
async def test_a_stream_that_does_not_introduce_itself_is_closed(
    name: str, host: HostedHost, told: Told
) -> None:
    path = await stream_path(host, new_call())
    line = await open_stream(host, path)
    try:
        for message in BEFORE_START[name]:
            await line.send(message)
        if not BEFORE_START[name]:
            await line.close()
    except websockets.ConnectionClosed:
        pass  # closed while we were still talking
    async with asyncio.timeout(30):
        await line.wait_closed()
    await assert_the_next_call_works(host, told)


IN_CALL: dict[str, list[str | bytes]] = {
    "malformed JSON": ["{not json"],
    "an unknown event": ['{"event":"teleport"}'],
    "wrong base64": [media("!!!")],
    "no payload": [
        '{"event":"media","media":{}}',
        '{"event":"media"}',
        '{"event":"media","media":7}',
    ],
    "odd payloads": [media(b"\xff" * size) for size in (1, 7, 159, 161, 4001)],
    "more than a second at once": [media(b"\xff" * 8001)],
    "a second start": [start_message(CALL)],
    "marks of nobody's": ['{"event":"mark","mark":{"name":"x"}}', '{"event":"mark","mark":3}'],
    "keys that no phone has": ['{"event":"dtmf","dtmf":{"digit":"Q"}}', '{"event":"dtmf"}'],
    "bytes": [b"\xff" * 160],
}


@pytest.mark.parametrize("name", IN_CALL)
async def test_nonsense_in_a_call_is_ignored_and_the_call_goes_on(
    name: str, host: HostedHost, told: Told
) -> None:
    call = new_call()
    async with open_stream(host, await stream_path(host, call)) as line:
        await line.send(start_message(call))
        await told.until(call, "call.began")
        for message in IN_CALL[name]:
            await line.send(message)
        await line.send('{"event":"dtmf","dtmf":{"digit":"5"}}')
        assert (await told.until(call, "key"))["digit"] == "5"
    assert (await told.until(call, "call.ended"))["reason"] == "caller hung up"


async def test_a_megabyte_in_a_call_ends_that_call_and_no_other(
    host: HostedHost, told: Told
) -> None:
    call = new_call()
    line = await open_stream(host, await stream_path(host, call))
    await line.send(start_message(call))
    await told.until(call, "call.began")
    try:
        await line.send("x" * 1_000_000)
    except websockets.ConnectionClosed:
        pass
    assert (await told.until(call, "call.ended"))["reason"] == "caller hung up"
    await line.close()
    await assert_the_next_call_works(host, told)


async def test_a_line_that_breaks_ends_the_call(host: HostedHost, told: Told) -> None:
    phone = await Phone.dial(host.url, auth_token=host.auth_token)
    await told.until(phone.call_sid, "agent.started")
    await phone.abort()
    assert (await told.until(phone.call_sid, "call.ended"))["reason"] == "caller hung up"
    await assert_the_next_call_works(host, told)


async def test_the_kill_switch_wants_its_token_and_ends_a_call(
    host: HostedHost, told: Told
) -> None:
    async with await Phone.dial(host.url, auth_token=host.auth_token) as phone:
        await phone.agent_speaks(within=30)
        url = f"{host.control_url}/calls/{phone.call_sid}/kill"
        async with httpx.AsyncClient() as client:
            assert (await client.post(url, json={"kill": "hard"})).status_code == 401
            client.headers["authorization"] = "Bearer control"
            assert (await client.post(url, json={"kill": "softly"})).status_code == 400
            assert (await client.post(url, content=b"[" * 900)).status_code == 400
            assert (await client.post(url, json={"kill": "none"})).status_code == 200
            assert phone.ending is None
            assert (await client.post(url, json={"kill": "hard"})).status_code == 200
            await phone.closed(within=30)
            await told.until(phone.call_sid, "call.ended")
            assert (await client.post(url, json={"kill": "hard"})).status_code == 404
    assert told.of(phone.call_sid, "call.ended")[0]["reason"] == "killed"


async def test_a_warm_kill_says_goodbye_and_waits_until_it_was_heard(
    host: HostedHost, told: Told
) -> None:
    async with await Phone.dial(host.url, auth_token=host.auth_token) as phone:
        await phone.agent_speaks(within=30)
        await phone.agent_silent(for_=0.6, within=30)
        async with httpx.AsyncClient(headers={"authorization": "Bearer control"}) as client:
            await client.post(
                f"{host.control_url}/calls/{phone.call_sid}/kill", json={"kill": "warm"}
            )
        ending = await phone.closed(within=30)
        assert ending.by == "agent"
        goodbye = phone.utterances[-1]
        # The whole goodbye was played before the line was closed: the mark behind it came back.
        assert goodbye.end is not None and goodbye.end <= ending.at
        await told.until(phone.call_sid, "mark.played")
        await told.until(phone.call_sid, "call.ended")
    said = [event["text"] for event in told.of(phone.call_sid, "agent.said")]
    assert said[-1] == "Thanks for calling. Goodbye."


async def test_sigterm_lets_the_call_finish_takes_no_other_and_exits_0() -> None:
    told = Told()
    async with hosted(on_event=told) as host:
        async with await Phone.dial(host.url, auth_token=host.auth_token) as phone:
            await phone.agent_speaks(within=30)
            host.process.send_signal(signal.SIGTERM)
            await not_ready(host)
            assert "<Hangup" in (await post_voice(host, new_call())).text
            # Neither the stream nor the call is gone: a key is still heard.
            phone.press("5")
            assert (await told.until(phone.call_sid, "key"))["digit"] == "5"
            assert phone.ending is None
        async with asyncio.timeout(30):
            assert await host.process.wait() == 0
    assert told.of(phone.call_sid, "call.ended")[0]["reason"] == "caller hung up"


async def not_ready(host: HostedHost) -> None:
    async with asyncio.timeout(30), httpx.AsyncClient() as client:
        while (await client.get(f"{host.url}/health")).status_code == 200:
            pass


@pytest.mark.parametrize("signals", [[signal.SIGINT], [signal.SIGTERM, signal.SIGTERM]])
async def test_ctrl_c_and_a_second_signal_say_goodbye_to_the_caller(
    signals: list[signal.Signals],
) -> None:
    told = Told()
    async with hosted(on_event=told) as host:
        async with await Phone.dial(host.url, auth_token=host.auth_token) as phone:
            await phone.agent_speaks(within=30)
            for one in signals:
                host.process.send_signal(one)
                await not_ready(host)
            ending = await phone.closed(within=30)
        async with asyncio.timeout(30):
            assert await host.process.wait() == 0
    assert ending.by == "agent"
    assert told.of(phone.call_sid, "call.ended")[0]["reason"] == "host stopped"


async def test_a_call_near_its_limit_is_told_so_and_ended_with_a_goodbye() -> None:
    told = Told()
    environ = {"TIPRING_LIMITS__TTL": "16", "TIPRING_LIMITS__WARNING": "10"}
    async with hosted(environ=environ, on_event=told) as host:
        async with await Phone.dial(host.url, auth_token=host.auth_token) as phone:
            ending = await phone.closed(within=60)
    assert ending.by == "agent"
    said = [event["text"] for event in told.of(phone.call_sid, "agent.said")]
    warning, goodbye = "We have about a minute left on this call.", "Thanks for calling. Goodbye."
    assert said.index(warning) < said.index(goodbye) == len(said) - 1
    assert told.of(phone.call_sid, "call.ended")[0]["reason"] == "time limit"


async def serve_fails(**environ: str) -> str:
    """Start ``tipring serve``, which must stop with exit code 2, and give what it said."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("TIPRING", "TWILIO"))}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tipring", "serve"),
        env={**clean, "TIPRING_SERVER__PORT": "0", "TIPRING_SERVER__CONTROL_PORT": "0", **environ},
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        _, said = await process.communicate()
    assert process.returncode == 2, said
    return said.decode()


async def test_without_twilios_token_the_host_does_not_start() -> None:
    said = await serve_fails()
    assert "$TWILIO_AUTH_TOKEN is not set" in said
    assert "fix:" in said and "Traceback" not in said


async def test_a_port_that_is_taken_is_told_with_its_mend(host: HostedHost) -> None:
    port = host.url.rsplit(":", 1)[1]
    said = await serve_fails(TWILIO_AUTH_TOKEN="t", TIPRING_SERVER__PORT=port)
    assert f"127.0.0.1:{port} cannot be listened on" in said
    assert "port = 0" in said and "Traceback" not in said


async def test_what_is_sent_does_not_wait_for_what_was_sent_before() -> None:
    accepted: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sock = writer.get_extra_info("socket")
        accepted.set_result(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    with listen("127.0.0.1", 0, "port") as sock:
        async with await asyncio.start_server(connected, sock=sock):
            _, writer = await asyncio.open_connection(*sock.getsockname())
            assert await accepted
            writer.close()
            await writer.wait_closed()


async def test_a_host_that_does_not_come_up_is_told() -> None:
    with pytest.raises(HostFailed, match="exit code 2"):
        async with hosted(environ={"TIPRING_LIMITS__MAX_CALLS": "0"}):
            pass


async def test_silence_for_ever_is_broken_and_then_ended() -> None:
    told = Told()
    environ = {
        "TIPRING_TURNS__NUDGE_AFTER": "1",
        "TIPRING_TURNS__NUDGE_AGAIN": "1",
    }
    async with hosted(environ=environ, on_event=told) as host:
        async with await Phone.dial(host.url, auth_token=host.auth_token) as phone:
            ending = await phone.closed(within=60)
        assert ending.by == "agent"
    said = [event["text"] for event in told.of(phone.call_sid, "agent.said")]
    assert said[1:] == ["Are you still there?", "Are you still there?", said[-1]]
    assert "Goodbye" in said[-1]


async def test_the_record_holds_both_voices(tmp_path: Path) -> None:
    told = Told()
    async with hosted(arguments=["--out", str(tmp_path)], on_event=told) as host:
        async with await Phone.dial(host.url, auth_token=host.auth_token) as phone:
            await told.until(phone.call_sid, "agent.stopped")
            await phone.agent_silent(for_=0.6, within=30)
            heard = phone.heard
        saved = await told.until(phone.call_sid, "record.saved")
    import soundfile

    folder = Path(saved["folder"])
    sound, rate = soundfile.read(folder / "call.wav", dtype="int16")
    assert rate == mulaw.RATE and sound.shape[1] == 2
    # What the caller heard is what the record says that the agent sent.
    sent = np.abs(sound[:, 1].astype(int)).sum()
    assert abs(sent - np.abs(heard.astype(int)).sum()) < 0.02 * sent
    assert json.loads((folder / "call.json").read_text())["end_reason"] == "caller hung up"
    assert "<svg" in (folder / "timeline.html").read_text()
