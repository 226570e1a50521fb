"""The slice of the Docker Engine's API that workerd uses, where a container is a process here.

For every object with a container workerd creates two: the container, for which a process is
started, and a sidecar through which all of its traffic goes. The sidecar is played here: workerd
reaches a port of the container by ``CONNECT`` to it, and what the container sends to the outside
comes in at a proxy (``http_proxy`` in the process's environment) and goes to workerd's egress
listener, where the object's outbound handlers are.

Each process gets free ports of its own in the variables that ``ports`` names, so several calls run
at once. There is no image, no root and no limit of memory or CPU here.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit


@dataclass
class Container:
    """A container: a process, or the sidecar of one.

    Attributes:
        name: As workerd calls it; a sidecar's is the container's with ``-proxy``.
        env: The environment that the object gave it.
        ports: The process's own port for each port of the container.
        status: ``created``, ``running`` or ``exited``.
        code: The exit code; 128 + n after signal n.
        signals: What it was sent, in order.
        asked: The addresses it sent requests to, in order.
        egress: Where workerd listens for what the container sends; a sidecar's.
    """

    name: str
    env: dict[str, str]
    ports: dict[int, int] = field(default_factory=dict)
    status: str = "created"
    code: int = 0
    signals: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    egress: int = 0
    process: asyncio.subprocess.Process | None = None
    server: asyncio.Server | None = None
    exited: asyncio.Event = field(default_factory=asyncio.Event)
    removed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_sidecar(self) -> bool:
        return self.name.endswith("-proxy")

    @property
    def running(self) -> bool:
        return self.status == "running"


class Engine:
    """Runs ``command`` for every container.

    Args:
        command: What the image would start.
        ports: The variable that tells the process where to listen, for each port of the container.
        env: More of the process's environment; may be changed between calls.
        output: Gets what the processes print.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        ports: Mapping[int, str],
        env: dict[str, str],
        output: Path,
    ) -> None:
        self.command, self.ports, self.env = command, ports, env
        self._output = output
        self.news = asyncio.Event()
        self.started: list[Container] = []
        self.unknown: list[str] = []
        self._boxes: dict[str, Container] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def running(self) -> list[Container]:
        """The containers whose process lives."""
        return [one for one in self.started if one.running]

    async def until(self, ready: Callable[[], bool], *, within: float = 30) -> None:
        """Wait until what became of the containers makes the condition true.

        Raises:
            TimeoutError: It did not, within so many seconds.
        """
        async with asyncio.timeout(within):
            while not ready():
                self.news.clear()
                await self.news.wait()

    @contextlib.asynccontextmanager
    async def listening(self, path: Path) -> AsyncIterator[None]:
        """Serve the API on a unix socket; no process outlives the block."""
        server = await asyncio.start_unix_server(self._answer, path)
        try:
            yield
        finally:
            server.close()
            for box in list(self._boxes.values()):
                await self._remove(box)
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    # The API

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with _closing(writer):
            method, target, headers = await _head(reader)
            body = await _body(reader, headers)
            status, answer = await self._route(method, target, body)
            await _respond(writer, status, answer)

    async def _route(self, method: str, target: str, body: bytes) -> tuple[int, Any]:
        url = urlsplit(target)
        parts = [unquote(part) for part in url.path.strip("/").split("/")]
        if parts[0].startswith("v1."):
            parts.pop(0)
        query = dict(parse_qsl(url.query))
        match method, *parts:
            case "GET", "networks", "bridge":
                return 200, {"IPAM": {"Config": [{"Gateway": "127.0.0.1"}]}}
            case "GET", "volumes":
                return 200, {"Volumes": [], "Warnings": []}
            case "POST", "containers", "create":
                return await self._create(query["name"], json.loads(body))
            case _, "containers", name, *verb if name in self._boxes:
                return await self._command(self._boxes[name], method, *verb, query=query)
            case _, "containers", *_:
                return 404, {"message": "no such container"}
        self.unknown.append(f"{method} {target}")
        return 404, {"message": "the engine double does not know this"}

    async def _create(self, name: str, spec: Mapping[str, Any]) -> tuple[int, Any]:
        if name in self._boxes:
            return 409, {"message": "the name is taken"}
        env = dict(pair.split("=", 1) for pair in spec.get("Env") or [] if "=" in pair)
        self._boxes[name] = Container(name=name, env=env)
        return 201, {"Id": name, "Warnings": []}

    async def _command(
        self, box: Container, method: str, verb: str = "", *, query: Mapping[str, str]
    ) -> tuple[int, Any]:
        match method, verb:
            case "DELETE", "":
                await self._remove(box)
                return 204, None
            case "GET", "json":
                return 200, _inspected(box)
            case "POST", "start":
                await self._start(box)
                return 204, None
            case "POST", "kill":
                return (
                    (204, None)
                    if self._signal(box, query["signal"])
                    else (409, {"message": "not running"})
                )
            case "POST", "wait":
                await (box.removed if query.get("condition") == "removed" else box.exited).wait()
                return 200, {"StatusCode": box.code}
        self.unknown.append(f"{method} {verb} of {box.name}")
        return 404, {"message": "the engine double does not know this"}

    # A container's life

    async def _start(self, box: Container) -> None:
        if box.is_sidecar:
            box.server = await asyncio.start_server(
                lambda reader, writer: self._sidecar(box, reader, writer), "127.0.0.1", 0
            )
            box.status = "running"
            return
        box.ports = dict(zip(self.ports, _free_ports(len(self.ports)), strict=True))
        box.server = await asyncio.start_server(
            lambda reader, writer: self._outbound(box, reader, writer), "127.0.0.1", 0
        )
        own = {self.ports[port]: str(local) for port, local in box.ports.items()}
        proxy = f"http://127.0.0.1:{_port_of(box.server)}"
        with self._output.open("ab") as output:
            box.process = await asyncio.create_subprocess_exec(
                *self.command,
                env={**os.environ, **box.env, **self.env, **own, "http_proxy": proxy},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        box.status = "running"
        self.started.append(box)
        self.news.set()
        task = asyncio.create_task(self._reap(box, box.process))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reap(self, box: Container, process: asyncio.subprocess.Process) -> None:
        code = await process.wait()
        box.code = code if code >= 0 else 128 - code
        box.status = "exited"
        box.exited.set()
        self.news.set()

    def _signal(self, box: Container, name: str) -> bool:
        if box.process is None or box.process.returncode is not None:
            return False
        box.signals.append(name)
        self.news.set()
        box.process.send_signal(signal.Signals[name])
        return True

    async def _remove(self, box: Container) -> None:
        if box.process is not None and box.process.returncode is None:
            box.signals.append("SIGKILL")
            with contextlib.suppress(ProcessLookupError):
                os.killpg(box.process.pid, signal.SIGKILL)
            await box.exited.wait()
        if box.server is not None:
            box.server.close()
        self._boxes.pop(box.name, None)
        box.exited.set()
        box.removed.set()

    # The sidecar

    async def _sidecar(
        self, box: Container, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        async with _closing(writer):
            method, target, headers = await _head(reader)
            if method != "CONNECT":
                body = await _body(reader, headers)
                if (method, target) == ("PUT", "/egress"):
                    box.egress = json.loads(body)["port"]
                await _respond(writer, 200, {})
                return
            container = self._boxes.get(box.name.removesuffix("-proxy"))
            port = int(headers.get("x-dst-addr", target).rsplit(":", 1)[1])
            try:
                if container is None or not container.running:
                    raise ConnectionRefusedError
                there = await asyncio.open_connection("127.0.0.1", container.ports[port])
            except OSError:
                await _respond(writer, 400, {"error": "nothing listens"})
                return
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            await _join((reader, writer), there)

    async def _outbound(
        self, box: Container, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        async with _closing(writer):
            method, target, headers = await _head(reader)
            box.asked.append(target)
            url = urlsplit(target)
            sidecar = self._boxes[box.name + "-proxy"]
            there = await asyncio.open_connection("127.0.0.1", sidecar.egress)
            async with _closing(there[1]):
                # An address that is documentation's: what counts is the name beside it.
                there[1].write(
                    b"CONNECT 203.0.113.1:80 HTTP/1.1\r\nHost: 203.0.113.1:80\r\n"
                    + f"X-Hostname: {url.hostname}\r\n\r\n".encode()
                )
                line = (await there[0].readuntil(b"\r\n\r\n")).split(b" ", 2)
                if line[1] != b"200":
                    await _respond(writer, 502, {"error": "no outbound handler takes this"})
                    return
                kept = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
                path = url.path or "/"
                there[1].write(f"{method} {path} HTTP/1.1\r\n{kept}\r\n".encode())
                await _join((reader, writer), there)


# HTTP/1.1, as far as one request a connection needs it

_REASONS = {200: "OK", 201: "Created", 204: "No Content", 400: "Bad Request", 404: "Not Found"}
_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@contextlib.asynccontextmanager
async def _closing(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    try:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            yield
    finally:
        writer.close()


async def _head(reader: asyncio.StreamReader) -> tuple[str, str, dict[str, str]]:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin1").split("\r\n")
    method, target, _ = lines[0].split(" ", 2)
    pairs = (line.split(":", 1) for line in lines[1:] if line)
    return method, target, {name.strip().lower(): value.strip() for name, value in pairs}


async def _body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() != "chunked":
        return await reader.readexactly(int(headers.get("content-length") or 0))
    body = b""
    while size := int((await reader.readline()).strip() or b"0", 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    return body


async def _respond(writer: asyncio.StreamWriter, status: int, answer: Any) -> None:
    body = b"" if answer is None else json.dumps(answer).encode()
    head = f"HTTP/1.1 {status} {_REASONS.get(status, 'Said')}\r\nConnection: close\r\n"
    if status != 204:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    writer.write(head.encode() + b"\r\n" + body)
    await writer.drain()


async def _join(here: _Streams, there: _Streams) -> None:
    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):  # whichever way the other side left
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()

    try:
        await asyncio.gather(pump(here[0], there[1]), pump(there[0], here[1]))
    finally:
        there[1].close()


def _inspected(box: Container) -> dict[str, Any]:
    state = {"Status": box.status, "Running": box.running, "ExitCode": box.code}
    told: dict[str, Any] = {"Id": box.name, "Name": f"/{box.name}", "State": state}
    if box.is_sidecar and box.server is not None:
        port = {"HostIp": "127.0.0.1", "HostPort": str(_port_of(box.server))}
        told["NetworkSettings"] = {"Ports": {"39001/tcp": [port]}}
    return told


def _port_of(server: asyncio.Server) -> int:
    return int(server.sockets[0].getsockname()[1])


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:  # none is given twice
        socks = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in socks:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in socks]
