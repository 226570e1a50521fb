"""Who gets in."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time

import pytest

from tests.worker.cloud import API_TOKEN, CALLER, HOST, Cloud, closed, new_call, press, sign

pytestmark = pytest.mark.asyncio(loop_scope="module")


def seal(call: str, until: int, secret: str = "stream-secret") -> str:
    """A ticket, made without the Worker's code."""
    head = f"{until}.nonce"
    mac = hmac.new(secret.encode(), f"{call}.{head}".encode(), hashlib.sha256).digest()
    return f"{head}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


@pytest.mark.parametrize("path", ["/voice", "/resume/CAx", "/status/CAx", "/status"])
@pytest.mark.parametrize("forged", ["", "bm9ib2R5", "other token", "other form", "other host"])
async def test_a_webhook_that_twilio_did_not_sign_wakes_nothing(
    cloud: Cloud, path: str, forged: str
) -> None:
    started = len(cloud.engine.started)
    form = {"CallSid": new_call(), "From": CALLER}
    url = f"https://{HOST}{path}"
    signatures = {
        "other token": sign(url, form, token="another"),
        "other form": sign(url, {**form, "From": "+15005550009"}),
        "other host": sign(f"{cloud.url}{path}", form),
    }
    status, _ = await cloud.webhook(path, form, signature=signatures.get(forged, forged))
    assert status == 403
    assert len(cloud.engine.started) == started


async def test_a_stream_needs_twilios_signature_over_its_wss_address(cloud: Cloud) -> None:
    call = new_call()
    path = await cloud.answered(call)
    assert await cloud.refused(path, signature="") == 403
    assert await cloud.refused(path, signature=sign(f"https://{HOST}{path}")) == 403
    await (await cloud.talk(path, call)).close()


async def test_a_ticket_opens_one_stream_of_one_call_once(cloud: Cloud) -> None:
    call, other = new_call(), new_call()
    path = await cloud.answered(call)
    ticket = path.rsplit("/", 1)[1]
    assert await cloud.refused(f"/media/{other}/{ticket}") == 403
    assert await cloud.refused(f"/media/{call}/{ticket[:-1]}") == 403
    ws = await cloud.talk(path, call)
    assert await cloud.refused(path) == 409
    await ws.close()
    assert await cloud.refused(path) == 409


async def test_a_ticket_is_sealed_and_runs_out(cloud: Cloud) -> None:
    call = new_call()
    await cloud.answered(call)
    now = int(time.time())
    assert await cloud.refused(f"/media/{call}/{seal(call, now - 1)}") == 403
    assert await cloud.refused(f"/media/{call}/{seal(call, now + 60, 'guessed')}") == 403
    assert await cloud.refused(f"/media/{call}/{seal(call, now + 60)}.more") == 403
    await (await cloud.talk(f"/media/{call}/{seal(call, now + 60)}", call)).close()


async def test_a_stream_of_a_call_that_is_over_or_never_was_is_refused(cloud: Cloud) -> None:
    never = new_call()
    assert await cloud.refused(f"/media/{never}/{seal(never, int(time.time()) + 60)}") == 404
    call = new_call()
    path = await cloud.answered(call)
    await cloud.kill(call, "hard")
    assert await cloud.refused(path) == 410


async def test_a_caller_cannot_choose_the_port_of_the_container(cloud: Cloud) -> None:
    call = new_call()
    path = await cloud.answered(call)
    ws = await cloud.stream(path, headers={"cf-container-target-port": "9090"})
    await ws.send_json(
        {"event": "start", "streamSid": "MZ1", "start": {"streamSid": "MZ1", "callSid": call}}
    )
    assert (await ws.receive_json(timeout=30))["event"] == "media"
    await ws.close()


async def test_a_plain_request_for_a_stream_is_told_that_it_is_one(cloud: Cloud) -> None:
    async with cloud.http.get(f"{cloud.url}/media/CAx/ticket") as answer:
        assert answer.status == 426


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/calls"),
        ("GET", "/calls/CAx"),
        ("POST", "/calls/CAx/kill"),
        ("GET", "/calls/CAx/events"),
    ],
)
@pytest.mark.parametrize("token", ["", "api-toke", API_TOKEN + "n"])
async def test_the_operators_doors_need_the_api_token(
    cloud: Cloud, method: str, path: str, token: str
) -> None:
    status, told = await cloud.api(method, path, {"kill": "hard"}, token=token)
    assert (status, told["error"]) == (401, "send the API token as a bearer")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/voice"),
        ("GET", "/container/health"),
        ("GET", "/init"),
        ("POST", "/voice/a/b/c"),
        ("GET", "/control"),
    ],
)
async def test_there_are_no_other_doors(cloud: Cloud, method: str, path: str) -> None:
    status, _ = await cloud.api(method, path)
    assert status == 404


async def test_a_form_larger_than_any_webhook_is_refused(cloud: Cloud) -> None:
    form = {"CallSid": new_call(), "From": "+" * 40_000}
    status, _ = await cloud.webhook("/voice", form)
    assert status == 413


async def test_a_signed_webhook_without_a_call_is_refused(cloud: Cloud) -> None:
    started = len(cloud.engine.started)
    assert (await cloud.webhook("/voice", {"CallSid": "../x"}))[0] == 400
    assert len(cloud.engine.started) == started


async def test_no_number_no_word_and_no_secret_is_logged(cloud: Cloud) -> None:
    call = new_call()
    path = await cloud.answered(call)
    ws = await cloud.talk(path, call)
    await press(ws, "1")
    await cloud.event(call, "transcript.final")
    await cloud.kill(call, "hard")
    await closed(ws)
    await cloud.event(call, "container.stopped")
    log = cloud.log
    assert call in log and "the call is over" in log
    token = cloud.engine.started[-1].env["TIPRING_CONTROL_TOKEN"]
    private = [
        CALLER,
        CALLER[1:],
        "four four nine",
        path.rsplit("/", 1)[1],
        token,
        "-token",
        "-key",
    ]
    assert [text for text in private if text in log] == []
