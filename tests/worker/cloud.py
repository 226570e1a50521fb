"""The Worker in real workerd, Twilio's REST API beside it, and what Twilio does from outside.

The containers are processes (``engine.py``); everything else is what runs at Cloudflare.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import os
import re
import sys
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from tests.worker.engine import Engine

ROOT = Path(__file__).parents[2]
PACKAGES = ROOT / "worker" / "node_modules"
BUNDLE = ROOT / "worker" / "dist" / "worker.js"
HOST = "voice.example.com"
AUTH_TOKEN, API_TOKEN = "twilio-auth-token", "api-token"
CALLER, AGENT = "+15005550006", "+15005550001"


@dataclass(frozen=True, kw_only=True)
class Image:
    """What runs in a container.

    Attributes:
        command: What the image would start.
        ports: The variable that tells the process where to listen, for each port of the container.
        env: More of its environment, beside what the object gives.
    """

    command: Sequence[str]
    ports: Mapping[int, str]
    env: Mapping[str, str]


def standin(does: Mapping[str, Any]) -> Image:
    """The process that does what a test says."""
    return Image(
        command=[sys.executable, str(Path(__file__).with_name("standin.py"))],
        ports={8080: "AUDIO_PORT", 9090: "CONTROL_PORT"},
        env={"STANDIN": json.dumps(dict(does))},
    )


def host(config: Path, cache: Path) -> Image:
    """The real host."""
    return Image(
        command=[sys.executable, "-m", "tipring", "--config", str(config), "serve"],
        ports={8080: "TIPRING_SERVER__PORT", 9090: "TIPRING_SERVER__CONTROL_PORT"},
        # The emulators of the providers are reached past the object, which is not their gateway.
        env={"no_proxy": "127.0.0.1", "XDG_CACHE_HOME": str(cache)},
    )


_CONFIG = """
using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = .worker),
    (name = "internet", network = (allow = ["public", "private"])),
    (name = "disk", disk = (path = "disk", writable = true)),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
);
const worker :Workerd.Worker = (
  modules = [(name = "worker.js", esModule = embed "worker.js")],
  compatibilityDate = "2026-11-01",
  bindings = [(name = "VOICE", durableObjectNamespace = "VoiceContainer"), %s],
  durableObjectNamespaces = [
    (className = "VoiceContainer", uniqueKey = "voice", enableSql = true,
     container = (imageName = "tipring:test"))
  ],
  durableObjectStorage = (localDisk = "disk"),
  containerEngine = (
    localDocker = (socketPath = "unix:%s", containerEgressInterceptorImage = "sidecar:test")
  ),
);
"""


def sign(url: str, form: Mapping[str, str] | None = None, *, token: str = AUTH_TOKEN) -> str:
    """What Twilio puts into X-Twilio-Signature, made without the host's code or the Worker's."""
    text = url + "".join(name + value for name, value in sorted((form or {}).items()))
    digest = hmac.new(token.encode(), text.encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()


def stream_path(twiml: str) -> str:
    """The path of the stream that TwiML opens."""
    found = re.search(rf'<Stream url="wss://{re.escape(HOST)}(/[^"]+)"', twiml)
    assert found, twiml
    return found[1]


def redirect_path(twiml: str) -> str:
    """The path of the last redirect."""
    found = re.findall(rf">https://{re.escape(HOST)}(/[^<]+)</Redirect>", twiml)
    assert found, twiml
    return str(found[-1])


@dataclass
class Twilio:
    """Twilio's REST API.

    Attributes:
        requests: Path and form of each, in order.
        refuses: The status to answer with, when it is to refuse.
        silent: Whether it takes requests and never answers them.
    """

    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    refuses: int = 0
    silent: bool = False
    news: asyncio.Event = field(default_factory=asyncio.Event)
    leave: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        wanted = base64.b64encode(f"ACtest:{AUTH_TOKEN}".encode()).decode()
        if request.headers.get("Authorization") != f"Basic {wanted}":
            return web.json_response({"code": 20003}, status=401)
        self.requests.append((request.path, form))
        self.news.set()
        if self.silent:
            await self.leave.wait()
        if self.refuses:
            return web.json_response({"code": 21211}, status=self.refuses)
        return web.json_response({"sid": "CAdialled", "status": "queued"}, status=201)

    @property
    def hung_up(self) -> list[str]:
        """The calls that were ended by REST."""
        ended = [path for path, form in self.requests if form.get("Status") == "completed"]
        return [path.rsplit("/", 1)[1].removesuffix(".json") for path in ended]

    async def until_hung_up(self, sid: str, *, within: float = 30) -> None:
        async with asyncio.timeout(within):
            while sid not in self.hung_up:
                self.news.clear()
                await self.news.wait()


@dataclass
class Cloud:
    """A running Worker."""

    url: str
    engine: Engine
    twilio: Twilio
    http: aiohttp.ClientSession
    folder: Path
    life: contextlib.AsyncExitStack

    async def restart(self) -> None:
        """Kill the runtime and start it again, as a deploy does to every object."""
        await self.life.aclose()
        self.url = await self.life.enter_async_context(_workerd(self.folder))

    @property
    def log(self) -> str:
        """What the Worker has logged."""
        return (self.folder / "workerd.log").read_text()

    # As Twilio

    async def webhook(
        self, path: str, form: Mapping[str, str], *, signature: str | None = None
    ) -> tuple[int, str]:
        """POST a form as Twilio does, signed unless a signature is given."""
        signed = sign(f"https://{HOST}{path}", form) if signature is None else signature
        headers = {"X-Twilio-Signature": signed}
        async with self.http.post(self.url + path, data=dict(form), headers=headers) as answer:
            return answer.status, await answer.text()

    async def ring(self, call: str, path: str = "/voice") -> str:
        """A call comes in; the TwiML with which it is answered."""
        form = {"CallSid": call, "From": CALLER, "To": AGENT, "CallStatus": "ringing"}
        status, twiml = await self.webhook(path, form)
        assert status == 200, twiml
        return twiml

    async def answered(self, call: str) -> str:
        """A call comes in and rings until it is answered; the stream's path."""
        twiml = await self.ring(call)
        while "<Pause" in twiml:
            twiml = await self.ring(call, redirect_path(twiml))
        return stream_path(twiml)

    async def stream(
        self, path: str, *, signature: str | None = None, headers: Mapping[str, str] | None = None
    ) -> aiohttp.ClientWebSocketResponse:
        """Open a media stream.

        Raises:
            aiohttp.WSServerHandshakeError: It was refused.
        """
        signed = sign(f"wss://{HOST}{path}") if signature is None else signature
        told = {"X-Twilio-Signature": signed, **(headers or {})}
        return await self.http.ws_connect(self.url + path, headers=told)

    async def refused(self, path: str, **asked: Any) -> int:
        """The status with which a stream is refused."""
        try:
            ws = await self.stream(path, **asked)
        except aiohttp.WSServerHandshakeError as error:
            return error.status
        await ws.close()
        raise AssertionError("the stream was opened")

    async def talk(self, path: str, call: str) -> aiohttp.ClientWebSocketResponse:
        """Open a stream, introduce it, and hear the host's first words."""
        ws = await self.stream(path)
        start = {"streamSid": "MZ1", "callSid": call, "customParameters": {"call": call}}
        await ws.send_json({"event": "start", "streamSid": "MZ1", "start": start})
        heard = await ws.receive_json(timeout=30)
        assert heard["event"] == "media"
        return ws

    # As an operator

    async def api(
        self, method: str, path: str, body: Any = None, *, token: str = API_TOKEN
    ) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {token}"}
        async with self.http.request(method, self.url + path, json=body, headers=headers) as answer:
            return answer.status, await answer.json()

    async def kill(self, call: str, how: str) -> tuple[int, Any]:
        return await self.api("POST", f"/calls/{call}/kill", {"kill": how})

    async def names(self, call: str) -> list[str]:
        """The names of a call's events so far."""
        _, told = await self.api("GET", f"/calls/{call}/events")
        return [event["name"] for event in told["events"]]

    async def event(
        self, call: str, name: str, *, count: int = 1, within: float = 30
    ) -> dict[str, Any]:
        """Wait for an event, past ones included, or for the count-th of its name."""
        headers = {"Authorization": f"Bearer {API_TOKEN}"}
        url = f"{self.url}/calls/{call}/events"
        async with asyncio.timeout(within), self.http.ws_connect(url, headers=headers) as ws:
            async for message in ws:
                event: dict[str, Any] = json.loads(message.data)
                count -= event["name"] == name
                if not count:
                    return event
        raise AssertionError(f"{name} did not come")

    async def events(self, call: str, name: str) -> list[dict[str, Any]]:
        """The details of the events of this name, so far."""
        _, told = await self.api("GET", f"/calls/{call}/events")
        return [event["detail"] for event in told["events"] if event["name"] == name]


def new_call() -> str:
    """A CallSid."""
    return f"CA{uuid.uuid4().hex}"


async def press(ws: aiohttp.ClientWebSocketResponse, digit: str) -> None:
    """Make the stand-in do what this key is for."""
    await ws.send_json({"event": "dtmf", "streamSid": "MZ1", "dtmf": {"digit": digit}})


async def closed(ws: aiohttp.ClientWebSocketResponse, *, within: float = 30) -> int | None:
    """Wait until the other side closes a stream; the close code."""
    async with asyncio.timeout(within):
        async for _ in ws:
            pass
    return ws.close_code


@contextlib.asynccontextmanager
async def running(folder: Path, settings: Mapping[str, str], image: Image) -> AsyncIterator[Cloud]:
    """Start everything, and leave nothing behind.

    Args:
        folder: Where its state and its logs go.
        settings: The Worker's variables, beside those that every test needs.
        image: What runs in the containers.
    """
    engine = Engine(
        image.command,
        ports=image.ports,
        env=dict(image.env),
        output=folder / "containers.log",
    )
    twilio = Twilio()
    socket = folder / "engine.sock"
    async with (
        engine.listening(socket),
        _served(twilio) as rest,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=90)) as http,
    ):
        variables = {
            "PUBLIC_HOST": HOST,
            "TWILIO_ACCOUNT_SID": "ACtest",
            "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
            "TWILIO_FROM": AGENT,
            "TWILIO_API": rest,
            "STREAM_SECRET": "stream-secret",
            "API_TOKEN": API_TOKEN,
            "DEEPGRAM_API_KEY": "deepgram-key",
            **settings,
        }
        bindings = ", ".join(
            f"(name = {_text(k)}, text = {_text(v)})" for k, v in variables.items()
        )
        (folder / "worker.capnp").write_text(_CONFIG % (bindings, socket))
        (folder / "worker.js").write_bytes(BUNDLE.read_bytes())
        (folder / "disk").mkdir(exist_ok=True)
        async with contextlib.AsyncExitStack() as life:
            url = await life.enter_async_context(_workerd(folder))
            yield Cloud(url, engine, twilio, http, folder, life)


@contextlib.asynccontextmanager
async def _served(twilio: Twilio) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/{path:.*}", twilio.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.5)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        twilio.leave.set()
        await runner.cleanup()


@contextlib.asynccontextmanager
async def _workerd(folder: Path) -> AsyncIterator[str]:
    [binary] = (PACKAGES / "@cloudflare").glob("workerd-*/bin/workerd")
    reading, writing = os.pipe()
    arguments = [
        "serve",
        "--experimental",
        f"--control-fd={writing}",
        str(folder / "worker.capnp"),
        "config",
    ]
    with (folder / "workerd.log").open("ab") as log, os.fdopen(reading, "rb", 0) as control:
        try:
            process = await asyncio.create_subprocess_exec(
                binary, *arguments, cwd=folder, stdout=log, stderr=log, pass_fds=[writing]
            )
        finally:
            os.close(writing)
        try:
            async with asyncio.timeout(30):
                line = await asyncio.to_thread(control.readline)
            if not line:
                raise AssertionError(
                    f"workerd did not start: {(folder / 'workerd.log').read_text()}"
                )
            yield f"http://127.0.0.1:{json.loads(line)['port']}"
        finally:
            if process.returncode is None:
                process.kill()  # it would drain what is open, and nobody is left to close it
            await process.wait()


def _text(value: str) -> str:
    return json.dumps(value)
