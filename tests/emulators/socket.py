"""A scripted websocket server: real sockets, one scenario a connection, faults where you want them.

What is said in either direction is written down with its time, so that a test waits for a line of
the transcript instead of sleeping. Faults reach down to the transport: a reset is a TCP RST, a
half-close is a FIN, a stall stops reading.
"""

from __future__ import annotations

import asyncio
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, Self, TypeVar
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A handshake answered with anything but 101."""

    status: int
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that goes wrong once in a connection.

    Attributes:
        do: ``reset`` (RST), ``half-close`` (FIN, and nothing more is read), ``stall`` (reads
            nothing more), ``mute`` (reads on, says nothing more), ``close`` (with a close frame),
            ``say`` (sends ``text`` as it is), ``pause`` (for ``seconds``).
        at: Seconds of audio heard on this connection.
        before: The label of a message that is not sent any more.
        after: The label of a message that is the last one sent.
        nth: Which message of that label.
    """

    do: Literal["reset", "half-close", "stall", "mute", "close", "say", "pause"]
    at: float | None = None
    before: str = ""
    after: str = ""
    nth: int = 1
    code: int = 1000
    reason: str = ""
    text: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """How one connection goes.

    Attributes:
        refuse: Answer the handshake with this instead.
        hang: Never answer the handshake.
        reset: Answer the handshake with a TCP reset.
        faults: What goes wrong once it is open.
    """

    refuse: Refusal | None = None
    hang: bool = False
    reset: bool = False
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of the transcript.

    Attributes:
        at: Seconds since the emulator started.
        connection: The number of the connection, from 0.
        direction: ``in`` from the client, ``out`` to it, ``event`` for what happened to the socket.
        label: ``audio``, a message's type, or the event.
        payload: The message, the bytes of audio, or what explains the event.
    """

    at: float
    connection: int
    direction: Literal["in", "out", "event"]
    label: str
    payload: Any = None


class Over(Exception):
    """This connection has come to its end."""


S = TypeVar("S", bound=Scenario)
T = TypeVar("T")


class Session(Generic[S]):
    """One connection as the emulator sees it."""

    def __init__(self, emulator: Emulator[S], connection: ServerConnection, number: int, how: S):
        self.emulator = emulator
        self.connection = connection
        self.number = number
        self.how = how
        self.query = query_of(connection.request)
        self.audio = bytearray()
        self.muted = False
        self._left = list(how.faults)
        self._said: dict[str, int] = {}

    def note(
        self, direction: Literal["in", "out", "event"], label: str, payload: Any = None
    ) -> None:
        self.emulator.note(self.number, direction, label, payload)

    async def say(self, label: str, message: Mapping[str, Any] | str) -> bool:
        """Send one message, or whatever goes wrong instead of it. Tells whether it was sent."""
        count = self._said[label] = self._said.get(label, 0) + 1
        await self._strike(lambda f: f.before == label and f.nth == count)
        if self.muted:
            return False
        try:
            await self.connection.send(message if isinstance(message, str) else json.dumps(message))
        except ConnectionClosed as closed:
            raise Over from closed
        self.note("out", label, message)
        await self._strike(lambda f: f.after == label and f.nth == count)
        return True

    async def heard(self, seconds: float) -> None:
        """Let go wrong what goes wrong after so many seconds of audio."""
        await self._strike(lambda f: f.at is not None and f.at <= seconds)

    async def close(self, code: int, reason: str = "") -> None:
        self.note("event", "close", (code, reason))
        await self.connection.close(code, reason)
        raise Over

    async def _strike(self, due: Callable[[Fault], bool]) -> None:
        for fault in [f for f in self._left if due(f)]:
            self._left.remove(fault)
            await self._fail(fault)

    async def _fail(self, fault: Fault) -> None:
        transport = self.connection.transport
        if fault.do == "say":
            await self.connection.send(fault.text)
            self.note("out", "raw", fault.text)
            return
        if fault.do == "close":
            await self.close(fault.code, fault.reason)
        self.note("event", fault.do)
        if fault.do == "mute":
            self.muted = True
        elif fault.do == "pause":
            await asyncio.sleep(fault.seconds)
        elif fault.do == "reset":
            transport.abort()
            raise Over
        elif fault.do in ("stall", "half-close"):
            if fault.do == "half-close":
                transport.write_eof()
            transport.pause_reading()
            await self.connection.wait_closed()
            raise Over


def query_of(request: Request | None) -> dict[str, list[str]]:
    """The query of a request, every value a list."""
    assert request is not None
    return parse_qs(urlsplit(request.path).query, keep_blank_values=True)


class Emulator(ABC, Generic[S]):
    """Serves connections by script.

    Args:
        script: One scenario a connection, in order.
        otherwise: How every connection after the script goes.
        scale: By what the provider's own time limits are multiplied.
    """

    def __init__(self, script: Sequence[S], otherwise: S, *, scale: float = 1.0) -> None:
        self.script = list(script)
        self.otherwise = otherwise
        self.scale = scale
        self.transcript: list[Line] = []
        self.sessions: list[Session[S]] = []
        self._began = time.monotonic()
        self._changed = asyncio.Event()
        self._next = 0
        self._open: set[ServerConnection] = set()
        self._plan: dict[ServerConnection, tuple[int, S]] = {}
        self._server: Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await serve(
            self._talk,
            "127.0.0.1",
            0,
            process_request=self._shake_hands,
            open_timeout=None,
            ping_interval=None,
            close_timeout=0.5,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        for connection in list(self._open):
            connection.transport.abort()
        self._server.close()
        await self._server.wait_closed()

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(next(iter(self._server.sockets)).getsockname()[1])

    @property
    def url(self) -> str:
        """The root, as a client's setting wants it."""
        return f"ws://127.0.0.1:{self.port}"

    def note(
        self,
        connection: int,
        direction: Literal["in", "out", "event"],
        label: str,
        payload: Any = None,
    ) -> None:
        self.transcript.append(
            Line(
                at=time.monotonic() - self._began,
                connection=connection,
                direction=direction,
                label=label,
                payload=payload,
            )
        )
        self._changed.set()

    def said(self, label: str, *, connection: int | None = None) -> list[Line]:
        """Every line with this label so far."""
        return [
            line
            for line in self.transcript
            if line.label == label and connection in (None, line.connection)
        ]

    async def until(self, found: Callable[[], T], *, within: float = 10.0) -> T:
        """Wait until something holds of the transcript.

        Raises:
            TimeoutError: It never did.
        """
        async with asyncio.timeout(within):
            while not (result := found()):
                self._changed.clear()
                await self._changed.wait()
        return result

    async def until_said(
        self, label: str, *, count: int = 1, connection: int | None = None, within: float = 10.0
    ) -> Line:
        """Wait for the n-th line with this label."""
        lines = await self.until(
            lambda: (
                lines if len(lines := self.said(label, connection=connection)) >= count else None
            ),
            within=within,
        )
        assert lines is not None
        return lines[count - 1]

    @abstractmethod
    def check(self, request: Request) -> Refusal | None:
        """Refuse what the provider refuses."""

    @abstractmethod
    async def talk(self, session: Session[S]) -> None:
        """Hold one conversation. May raise :class:`Over`."""

    async def _shake_hands(self, connection: ServerConnection, request: Request) -> Response | None:
        number, self._next = self._next, self._next + 1
        how = self.script[number] if number < len(self.script) else self.otherwise
        self._open.add(connection)
        self._plan[connection] = (number, how)
        self.note(number, "in", "handshake", request)
        if how.hang:
            self.note(number, "event", "hang")
            await connection.wait_closed()
        if how.reset:
            self.note(number, "event", "reset")
            connection.transport.abort()
            await connection.wait_closed()
        refusal = how.refuse or self.check(request)
        if refusal is None:
            return None
        self.note(number, "event", "refused", refusal)
        response = connection.respond(refusal.status, refusal.body)
        for name, value in refusal.headers.items():
            response.headers[name] = value
        return response

    async def _talk(self, connection: ServerConnection) -> None:
        number, how = self._plan[connection]
        session = self.session(connection, number, how)
        self.sessions.append(session)
        self.note(number, "event", "open")
        try:
            await self.talk(session)
        except (Over, ConnectionClosed):
            pass
        finally:
            self._open.discard(connection)
            self.note(number, "event", "over", connection.close_code)

    def session(self, connection: ServerConnection, number: int, how: S) -> Session[S]:
        """Make the state of one connection."""
        return Session(self, connection, number, how)
