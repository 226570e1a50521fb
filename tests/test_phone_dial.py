"""Dialling a host: the signed webhook, the TwiML, and the way to the stream."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

import pytest
from tipring.testing import CallFailed, Phone
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped, unused-ignore]

from tests.emulators.agent import Agent, answering, tone

pytestmark = pytest.mark.loopback

TOKEN = "12345"


@dataclass
class Host:
    """A web server of one page, and what was asked of it."""

    port: int = 0
    requests: list[tuple[str, dict[str, str], dict[str, str]]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextlib.asynccontextmanager
async def host(answer: Callable[[str], str], *, status: int = 200) -> AsyncIterator[Host]:
    """Answer every POST with what ``answer`` makes of its path, and everything else with 404."""
    served = Host()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *fields = head.strip().split("\r\n")
        method, path, _ = first.split()
        headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in fields)}
        sent = await reader.readexactly(int(headers.get("content-length", 0)))
        served.requests.append((path, headers, dict(parse_qsl(sent.decode()))))
        body = answer(path) if method == "POST" else ""
        line = f"HTTP/1.1 {status if method == 'POST' else 404} X\r\nConnection: close\r\n"
        writer.write(f"{line}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        served.port = server.sockets[0].getsockname()[1]
        yield served


def stream_to(url: str, more: str = "") -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<Response><Connect>'
        f'<Stream url="{url}"><Parameter name="token" value="t&amp;1"/></Stream>'
        f"</Connect>{more}</Response>"
    )


async def test_a_call_is_a_signed_webhook_and_then_a_signed_stream() -> None:
    async with answering() as (media, agents), host(lambda _: stream_to(media)) as served:
        dialled = Phone.dial(
            served.url + "/",
            from_="+15005550009",
            auth_token=TOKEN,
            parameters={"FromCity": "Bonn"},
        )
        async with await dialled as phone:
            await phone.when(lambda: phone.frames_sent > 3, within=30)
        ((path, headers, form),) = served.requests
        assert path == "/voice"
        assert form["From"] == form["Caller"] == "+15005550009"
        assert form["To"] == form["Called"] == "+15005550001"
        assert (form["CallStatus"], form["Direction"]) == ("ringing", "inbound")
        assert (form["CallSid"], form["FromCity"]) == (phone.call_sid, "Bonn")
        twilio = RequestValidator(TOKEN)
        assert twilio.validate(f"{served.url}/voice", form, headers["x-twilio-signature"])
        (agent,) = agents
        assert twilio.validate(media, {}, agent.headers["x-twilio-signature"])
        start = agent.of("start")[0]["start"]
        assert start["customParameters"] == {"token": "t&1"}
        assert (start["callSid"], start["accountSid"]) == (form["CallSid"], form["AccountSid"])


async def test_a_host_behind_a_public_address_is_signed_by_that_and_reached_here() -> None:
    public = "https://agent.example"
    stream = "wss://agent.example/media/7"
    async with host(lambda _: stream_to(stream)) as served:
        with pytest.raises(CallFailed) as caught:
            await Phone.dial(served.url, auth_token=TOKEN, public_url=public)
        assert caught.value.status == 404
        (voice, voice_headers, form), (path, headers, _) = served.requests
        assert (voice, path) == ("/voice", "/media/7")
        twilio = RequestValidator(TOKEN)
        assert twilio.validate(f"{public}/voice", form, voice_headers["x-twilio-signature"])
        assert twilio.validate(stream, {}, headers["x-twilio-signature"])


async def test_without_a_token_nothing_is_signed() -> None:
    async with host(lambda _: "<Response><Hangup/></Response>") as served:
        phone = await Phone.dial(served.url)
        assert "x-twilio-signature" not in served.requests[0][1]
        assert phone.ending is not None


async def test_what_twilio_says_before_and_after_the_stream_is_kept() -> None:
    async def behaviour(agent: Agent) -> None:
        await agent.play(tone(0.1))

    def twiml(media: str) -> str:
        after = "<Say>We will  call\n back.</Say><Pause/><Hangup/><Say>Never.</Say>"
        return stream_to(media, after).replace("<Connect>", "<Say>One moment.</Say><Connect>")

    async with answering(behaviour) as (media, _), host(lambda _: twiml(media)) as served:
        async with await Phone.dial(served.url) as phone:
            ending = await phone.closed(within=30)
        assert (ending.by, ending.why) == ("agent", "closed")
        assert phone.said_by_twiml == ["One moment.", "We will call back."]


async def test_what_follows_the_stream_is_not_said_to_a_caller_who_hung_up() -> None:
    async with (
        answering() as (media, _),
        host(lambda _: stream_to(media, "<Say>Goodbye.</Say>")) as served,
    ):
        async with await Phone.dial(served.url) as phone:
            await phone.until(0.1)
        assert phone.said_by_twiml == []


@pytest.mark.parametrize(
    ("verbs", "why", "said"),
    [
        ('<Reject reason="busy"/>', "busy", []),
        ("<Reject/>", "rejected", []),
        ("<Say>All lines are busy.</Say>", "hung up", ["All lines are busy."]),
        ("<Hangup/><Say>Never.</Say>", "hung up", []),
        ('<Pause length="0"/>', "hung up", []),
    ],
)
async def test_a_call_without_a_stream_is_over_when_its_twiml_is(
    verbs: str, why: str, said: list[str]
) -> None:
    async with host(lambda _: f"<Response>{verbs}</Response>") as served:
        async with await Phone.dial(served.url) as phone:
            ending = await phone.closed()
        assert (ending.by, ending.why, ending.code) == ("agent", why, None)
        assert phone.said_by_twiml == said
        assert len(phone.heard) == 0
        assert not phone.agent_speaking


async def test_a_redirect_is_followed_with_a_signature_for_its_address() -> None:
    def answer(path: str) -> str:
        if path == "/voice":
            return "<Response><Redirect>/other</Redirect></Response>"
        return "<Response><Say>Here.</Say></Response>"

    async with host(answer) as served:
        phone = await Phone.dial(served.url, auth_token=TOKEN)
        assert phone.said_by_twiml == ["Here."]
        path, headers, form = served.requests[1]
        assert path == "/other"
        signature = headers["x-twilio-signature"]
        assert RequestValidator(TOKEN).validate(f"{served.url}/other", form, signature)


@pytest.mark.parametrize(
    ("twiml", "code", "sentence"),
    [
        ("busy", 12100, "not XML"),
        ("<html/>", 12100, "not <Response>"),
        ("<Response><Dial>+1</Dial></Response>", 12200, "does not know <Dial>"),
        ("<Response><Connect/></Response>", 12200, "no <Stream>"),
        ('<Response><Pause length="x"/></Response>', 12200, "the length 'x'"),
        ("<Response><Redirect>/voice</Redirect></Response>", 12200, "in a circle"),
        (stream_to("ws://agent.example/media"), 31920, "wss://"),
        (stream_to("ws://127.0.0.1:9/media?token=1"), 31920, "query string"),
        (stream_to("ws://127.0.0.1:9/media"), 31901, "could not be reached"),
        (
            '<Response><Connect><Stream url="wss://x" track="both_tracks"/></Connect></Response>',
            31941,
            "both_tracks",
        ),
        (stream_to("wss://x").replace('value="', 'value="' + 500 * "x"), 12200, "under 500"),
    ],
)
async def test_twiml_that_cannot_be_fails_the_call_with_twilios_number(
    twiml: str, code: int, sentence: str
) -> None:
    async with host(lambda _: twiml) as served:
        with pytest.raises(CallFailed, match=sentence) as caught:
            await Phone.dial(served.url)
        assert caught.value.code == code


async def test_a_host_that_refuses_the_signature_is_told_with_its_status() -> None:
    async with host(lambda _: "no", status=403) as served:
        with pytest.raises(CallFailed, match="auth token") as caught:
            await Phone.dial(served.url)
        assert (caught.value.code, caught.value.status) == (11200, 403)


async def test_a_stream_that_answers_no_101_is_told_with_its_status() -> None:
    async with host(lambda _: "") as served:
        with pytest.raises(CallFailed) as caught:
            await Phone.connect(f"ws://127.0.0.1:{served.port}/media")
        assert (caught.value.code, caught.value.status) == (31920, 404)


async def test_a_host_that_is_not_there_is_told() -> None:
    async with host(lambda _: "") as served:
        url = served.url
    with pytest.raises(CallFailed, match="could not be reached") as caught:
        await Phone.dial(url)
    assert caught.value.code == 11200


def test_importing_the_package_imports_nothing_heavy() -> None:
    import subprocess
    import sys

    code = (
        "import sys, tipring.testing as t; "
        "assert not {'numpy', 'websockets', 'httpx', 'twilio'} & set(sys.modules); "
        "assert all(getattr(t, name) for name in t.__all__); assert dir(t) == sorted(t.__all__)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
