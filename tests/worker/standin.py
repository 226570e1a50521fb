"""A process that keeps the host's side of the contract with the Worker, and does what a test says.

It is what runs in a container here. Port 8080: ``/health``, ``/init`` and the media stream; port
9090: the control socket. ``STANDIN`` in its environment is a table of what it does:

* ``boot``, ``load``: seconds until its ports open, and then until it is ready
* ``die``: exit at once with this code
* ``deaf``, ``stubborn``: ignore SIGTERM, and the kill switch
* ``version``: of the control protocol
* ``init``: the status that ``/init`` answers
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import sys
import urllib.request
from typing import Any

from aiohttp import WSMsgType, web

DOES: dict[str, Any] = json.loads(os.environ.get("STANDIN", "{}"))
TOKEN = f"Bearer {os.environ.get('TIPRING_CONTROL_TOKEN', '')}"
# 200 ms of a level that no ear takes for silence, as mu-law.
TONE = base64.b64encode(bytes([0x10, 0x90] * 800)).decode()


class Host:
    """One call, at most."""

    def __init__(self) -> None:
        self.ready = False
        self.call: dict[str, Any] = {}
        self.events: list[dict[str, Any]] = []
        self.control: web.WebSocketResponse | None = None
        self.media: web.WebSocketResponse | None = None

    async def health(self, _: web.Request) -> web.Response:
        body = {"ok": True, "ready": self.ready, "problems": []}
        return web.json_response(body, status=200 if self.ready else 503)

    async def init(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != TOKEN:
            return web.Response(status=401)
        self.call = await request.json()
        # An answer that is longer than any buffer, and that nobody may leave unread.
        body = {"ok": True, "padding": "x" * 200_000}
        return web.json_response(body, status=DOES.get("init", 200))

    async def on_control(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != TOKEN:
            return web.Response(status=401)
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        hello = await ws.receive_json()
        await ws.send_json({"type": "hello", "version": DOES.get("version", 1)})
        for event in self.events:
            if event["seq"] > hello["after"]:
                await ws.send_json(event)
        self.control = ws
        async for message in ws:
            if message.type is WSMsgType.TEXT:
                await self.pushed(json.loads(message.data))
        if self.control is ws:
            self.control = None
        return ws

    async def pushed(self, message: dict[str, Any]) -> None:
        await self.note("standin.pushed", kill=message.get("kill"))
        if message.get("kill") == "warm" and not DOES.get("stubborn"):
            await self.note("call.ended", reason="killed")
            if self.media is not None:
                await self.media.close()

    async def note(self, name: str, **detail: Any) -> None:
        seq = len(self.events) + 1
        event = {"type": "event", "seq": seq, "name": name, "at": 0.0, "detail": detail}
        self.events.append(event)
        if self.control is not None:
            await self.control.send_json(event)

    async def on_media(self, request: web.Request) -> web.StreamResponse:
        if request.match_info["token"] != self.call.get("media_token"):
            return web.Response(status=403)
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        self.media = ws
        async for message in ws:
            if message.type is WSMsgType.TEXT:
                await self.said(ws, json.loads(message.data))
        return ws

    async def said(self, ws: web.WebSocketResponse, message: dict[str, Any]) -> None:
        """A caller speaks in keys here: each makes the host do one thing."""
        match message.get("event"):
            case "start":
                start = message["start"]
                secrets = sorted(name for name in os.environ if name.endswith(("_KEY", "_TOKEN")))
                await self.note("call.began", call=self.call["call"], env=secrets)
                tone = {"event": "media", "streamSid": start["streamSid"]}
                await ws.send_json({**tone, "media": {"payload": TONE}})
            case "stop":
                await self.note("call.ended", reason="caller hung up")
            case "dtmf":
                await self.pressed(ws, message["dtmf"]["digit"])

    async def pressed(self, ws: web.WebSocketResponse, digit: str) -> None:
        match digit:
            case "1":  # says something that no log may hold
                await self.note("transcript.final", text="my card ends in four four nine")
            case "2":  # asks for the kill switch
                answer = await asyncio.to_thread(_poll, self.call["kill_url"])
                await self.note("standin.polled", **answer)
            case "3":  # loses the control socket
                if self.control is not None and self.control._req is not None:
                    transport = self.control._req.transport
                    assert transport is not None
                    self.control = None
                    transport.abort()
                await self.note("standin.unheard")
            case "4":  # loses the stream
                assert ws._req is not None and ws._req.transport is not None
                ws._req.transport.abort()
            case "5":  # ends the call in order
                await self.note("call.ended", reason="agent hung up")
                await ws.close()
            case "6":
                os._exit(7)


def _poll(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(url, timeout=30) as answer:
        told: dict[str, Any] = json.load(answer)
        return told


async def _serve(app: web.Application, variable: str) -> web.AppRunner:
    runner = web.AppRunner(app, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(os.environ[variable])).start()
    return runner


async def main() -> None:
    stopped = asyncio.Event()
    if DOES.get("deaf"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    if "die" in DOES:
        sys.exit(DOES["die"])
    await asyncio.sleep(DOES.get("boot", 0))
    host = Host()
    audio, control = web.Application(), web.Application()
    audio.add_routes(
        [
            web.get("/health", host.health),
            web.post("/init", host.init),
            web.get("/media/{call}/{token}", host.on_media),
        ]
    )
    control.add_routes([web.get("/control", host.on_control)])
    runners = [await _serve(audio, "AUDIO_PORT"), await _serve(control, "CONTROL_PORT")]
    await asyncio.sleep(DOES.get("load", 0))
    host.ready = True
    await stopped.wait()
    if host.call and not any(event["name"] == "call.began" for event in host.events):
        await host.note("call.ended", reason="host stopped")
    for runner in runners:
        await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
