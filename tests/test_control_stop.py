"""SIGTERM to a host that is given its calls, where no stream has come yet."""

from __future__ import annotations

import asyncio
import json
import secrets
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets
from tipring.testing.hosted import HostedHost, hosted
from websockets.asyncio.client import ClientConnection, connect

from tests.emulated_host import KEYRING, emulated

pytestmark = pytest.mark.timeout(180)

TOKEN = "control-token"
BEARER = {"authorization": f"Bearer {TOKEN}"}
# A deadline, for a machine that is busy with other things.
WITHIN = 60.0


@asynccontextmanager
async def a_host(folder: Path) -> AsyncIterator[HostedHost]:
    environ = {**KEYRING, "XDG_CACHE_HOME": str(folder), "TIPRING_LIMITS__MAX_CALLS": "2"}
    async with (
        emulated(folder) as providers,
        hosted(config=providers.config, environ=environ, control_token=TOKEN) as host,
    ):
        yield host


async def given(host: HostedHost, *, ttl: float) -> dict[str, Any]:
    """A call that the host has taken."""
    call = {
        "version": 1,
        "call": f"CA{secrets.token_hex(16)}",
        "direction": "inbound",
        "ttl": ttl,
        "media_token": secrets.token_urlsafe(24),
    }
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"{host.url}/init", json=call, headers=BEARER)
    assert answer.status_code == 200, answer.text
    return call


def stream(host: HostedHost, call: dict[str, Any]) -> str:
    return f"{host.url.replace('http', 'ws', 1)}/media/{call['call']}/{call['media_token']}"


@asynccontextmanager
async def owner(host: HostedHost, call: dict[str, Any]) -> AsyncIterator[ClientConnection]:
    url = host.control_url.replace("http", "ws", 1) + "/control"
    async with connect(url, additional_headers=BEARER) as ws:
        hello = {"type": "hello", "version": 1, "call": call["call"], "after": 0, "kill": "none"}
        await ws.send(json.dumps(hello))
        assert json.loads(await ws.recv())["type"] == "hello"
        yield ws


async def until(ws: ClientConnection, name: str) -> dict[str, Any]:
    async with asyncio.timeout(WITHIN):
        while (event := json.loads(await ws.recv()))["name"] != name:
            pass
    return dict(event)


async def stopping(host: HostedHost) -> None:
    """Send SIGTERM, and wait until the host has heard of it."""
    host.process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(WITHIN), httpx.AsyncClient() as client:
        while (await client.get(f"{host.url}/health")).status_code == 200:
            pass


async def code(host: HostedHost) -> int:
    async with asyncio.timeout(WITHIN):
        return await host.process.wait()


async def test_a_call_that_was_taken_before_sigterm_gets_its_stream_and_a_second_one_ends_the_wait(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with a_host(tmp_path) as host:
        comes, never = await given(host, ttl=60), await given(host, ttl=600)
        async with owner(host, comes) as one, owner(host, never) as other:
            await stopping(host)
            async with httpx.AsyncClient() as client:
                late = {**comes, "call": "CAlate"}
                answer = await client.post(f"{host.url}/init", json=late, headers=BEARER)
                assert answer.status_code == 503
            async with connect(stream(host, comes), compression=None) as ws:
                start = {"streamSid": "MZ1", "callSid": "CAtwilio", "customParameters": {}}
                await ws.send(json.dumps({"event": "start", "streamSid": "MZ1", "start": start}))
                await until(one, "agent.stopped")
                await ws.send(json.dumps({"event": "stop", "streamSid": "MZ1"}))
                assert (await until(one, "call.ended"))["detail"]["reason"] == "caller hung up"
            assert host.process.returncode is None
            host.process.send_signal(signal.SIGTERM)
            told = await until(other, "call.ended")
            assert (told["seq"], told["detail"]) == (1, {"reason": "host stopped"})
        assert await code(host) == 0
    assert "Traceback" not in capfd.readouterr().err


async def test_a_host_that_has_no_call_yet_is_gone_at_once_and_in_order(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with a_host(tmp_path) as host:
        host.process.send_signal(signal.SIGTERM)
        assert await code(host) == 0
        with pytest.raises(httpx.ConnectError):
            await given(host, ttl=60)
    assert "Traceback" not in capfd.readouterr().err


async def test_a_stream_that_cannot_come_any_more_is_not_waited_for(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with a_host(tmp_path) as host:
        left, short = await given(host, ttl=600), await given(host, ttl=1)
        async with owner(host, short) as one:
            async with owner(host, left):
                await stopping(host)
                # Its time is over, and it is told.
                told = await until(one, "call.ended")
                assert (told["seq"], told["detail"]) == (1, {"reason": "host stopped"})
                with pytest.raises(websockets.InvalidStatus) as refused:
                    await connect(stream(host, short))
                assert refused.value.response.status_code == 410
            # Whoever gave the other one is gone.
            assert await code(host) == 0
    assert "Traceback" not in capfd.readouterr().err
