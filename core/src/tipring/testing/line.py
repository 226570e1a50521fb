"""One media stream from Twilio's end: it paces what the caller says and plays what comes back.

Three tasks share one clock: one reads, one writes, one makes a frame every 20 ms. A frame's time
is counted from the start message, so a pause of the machine is caught up with, not added up.
"""

from __future__ import annotations

import asyncio
import json
import random
import uuid
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from tipring.journal import Event, Subscriber
from tipring.phone import mulaw
from tipring.phone.mulaw import RATE
from tipring.testing import wire
from tipring.testing.ear import Ear, Track
from tipring.testing.webhook import CallFailed

FRAME = 160
"""Samples, and bytes, of one media message: 20 ms."""

LATE = 0.040
"""Seconds: a frame sent later than this after its time is counted in ``late_frames``."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """Something that Twilio would put into its debugger.

    Attributes:
        at: Seconds since the start message.
        code: Twilio's number, such as 31951.
        what: A sentence.
    """

    at: float
    code: int
    what: str


@dataclass(frozen=True, kw_only=True)
class Said:
    """When a clip is on the line, first sample to last."""

    begin: float
    end: float


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How the call ended.

    Attributes:
        at: Seconds since the start message; 0 when there was no stream.
        by: Who ended it.
        why: ``hung up``, ``closed``, ``aborted``, ``rejected`` or ``busy``.
        code: The websocket's close code; None when there was no stream.
    """

    at: float
    by: Literal["caller", "agent"]
    why: str
    code: int | None = None


@dataclass(frozen=True, kw_only=True)
class Faults:
    """What a bad line does, for tests that need one.

    Attributes:
        start: Whether the start message is sent; without it, media follows connected.
        stop: Whether stop is sent before the socket is closed.
        close_after: Seconds between stop and the close; None leaves that to the host.
        echo_marks: Whether marks come back.
        jitter: Seconds by which a frame may be sent late, evenly drawn; order is kept.
        loss: The part of the frames that is never sent: 0.02 is one in fifty.
        seed: Of the draws for jitter and loss.
    """

    start: bool = True
    stop: bool = True
    close_after: float | None = 0.0
    echo_marks: bool = True
    jitter: float = 0.0
    loss: float = 0.0
    seed: int = 0


class Line:
    """The stream of one call, and what became of it. :class:`Phone` is the one to use.

    Attributes:
        call_sid: Twilio's name for the call.
        stream_sid: Twilio's name for the stream.
        errors: What Twilio would have reported about the host's messages.
        began: The start message's moment on the event loop's clock.
        ending: How the call ended; None while it lasts.
        late_frames: How many frames went out more than 40 ms after their time. A run with many
            says more about the machine than about the host.
        latest: Seconds by which the latest frame was late.
        frames_sent: How many media messages went out.
    """

    def __init__(self, *, faults: Faults | None = None) -> None:
        self._stream = wire.Stream(
            account_sid=f"AC{uuid.uuid4().hex}",
            call_sid=f"CA{uuid.uuid4().hex}",
            stream_sid=f"MZ{uuid.uuid4().hex}",
        )
        self.call_sid = self._stream.call_sid
        self.stream_sid = self._stream.stream_sid
        self.errors: list[Report] = []
        self.began = 0.0
        self.late_frames = 0
        self.latest = 0.0
        self.frames_sent = 0
        self._faults = faults or Faults()
        self._loop = asyncio.get_running_loop()
        self._ws: ClientConnection | None = None
        self._life: asyncio.Task[None] | None = None
        self.ending: Ending | None = None
        self._leaving: str | None = None  # why, once the caller is the one who ends it
        self._sequence = 0
        self._outbox: asyncio.Queue[tuple[str | bytes, float | None]] = asyncio.Queue()
        self._mouth = Track()
        self._mouth_end = 0
        self._frames = 0  # whole frames spoken, sent or lost
        self._announced: deque[tuple[float, str]] = deque()
        self._ear = Ear()
        self._timeline: list[Event] = []
        self._subscribers: list[Subscriber] = []
        self._tick = asyncio.Event()
        self._late_spell = False

    async def _open(
        self, url: str, address: str, signature: str | None, parameters: Mapping[str, str]
    ) -> None:
        parts = urlsplit(address)
        if parts.scheme != "wss" and parts.hostname not in ("127.0.0.1", "::1", "localhost"):
            raise CallFailed(
                url, "a stream's address begins with wss:// (or is on this machine)", code=31920
            )
        if urlsplit(url).query:
            raise CallFailed(
                url,
                "a stream's address has a query string, which Twilio does not support",
                "send what it says as <Parameter>",
                code=31920,
            )
        headers = {"x-twilio-signature": signature} if signature else {}
        try:
            self._ws = await open_websocket(
                address,
                additional_headers=headers,
                user_agent_header="Twilio.TmeWs/1.0",
                compression=None,
                proxy=None,
                ping_interval=None,
                max_size=None,
                close_timeout=5,
            )
        except InvalidHandshake as error:
            status = int(getattr(getattr(error, "response", None), "status_code", 0))
            raise CallFailed(
                url,
                f"the stream was not opened: the host answered {status or 'something else'}",
                "check signature, path and token of the stream",
                code=31920,
                status=status,
            ) from None
        except (OSError, TimeoutError, InvalidURI) as error:
            raise CallFailed(
                url, f"the stream could not be reached ({type(error).__name__})", code=31901
            ) from None
        self._post(wire.CONNECTED, numbered=False)
        self.began = self._loop.time()
        if self._faults.start:
            self._post(self._stream.start(parameters))
        self._life = asyncio.create_task(self._live(self._ws))

    @property
    def now(self) -> float:
        """Seconds since the start message."""
        return self._loop.time() - self.began

    # One call's life

    async def _live(self, ws: ClientConnection) -> None:
        async with asyncio.TaskGroup() as tasks:
            sending = [tasks.create_task(self._write(ws)), tasks.create_task(self._pace())]
            try:
                async for raw in ws:
                    if self._leaving is None:
                        self._receive(raw)
            except ConnectionClosed:
                pass
            for task in sending:
                task.cancel()
        await self._finish(ws)

    async def _finish(self, ws: ClientConnection) -> None:
        at = self.now
        for when, word in self._ear.fall_silent(at):
            self._note(f"heard.{word}", at=when)
        self._announce(at)
        if self._announced and self._announced[0][1] == "said.ended":
            self._note("said.ended", at=at, cut=True)
        agents = self._leaving in (None, "hung up by the agent")
        self.ending = Ending(
            at=at,
            by="agent" if agents else "caller",
            why={None: "closed", "aborted": "aborted"}.get(self._leaving, "hung up"),
            code=ws.close_code,
        )
        self._note("closed", at=at, by=self.ending.by, code=ws.close_code)
        if self._leaving is None:
            self._closed_by_host()
        while not self._outbox.empty():  # nobody waits for what was not sent
            self._outbox.get_nowait()
            self._outbox.task_done()
        self._tick.set()

    def _closed_by_host(self) -> None:
        """For what the call does after its stream."""

    async def _write(self, ws: ClientConnection) -> None:
        while True:
            message, due = await self._outbox.get()
            try:
                await ws.send(message)
            except ConnectionClosed:
                return  # the reader sees it too, and ends the call
            finally:
                self._outbox.task_done()
            if due is not None:
                self._measure(self._loop.time() - due)

    async def _pace(self) -> None:
        chance = random.Random(self._faults.seed)
        due = self.began
        while True:
            on_time = self.began + (self._frames + 1) * FRAME / RATE
            due = max(due, on_time + chance.random() * self._faults.jitter)
            await asyncio.sleep(max(0.0, due - self._loop.time()))
            if self._leaving is not None:
                return
            begin = self._frames * FRAME
            self._frames += 1
            if chance.random() >= self._faults.loss:
                self.frames_sent += 1
                payload = mulaw.encode(self._mouth.read(begin, begin + FRAME))
                self._post(
                    self._stream.media(
                        payload, chunk=self.frames_sent, timestamp=begin * 1000 // RATE
                    ),
                    due=due,
                )
            self._listen()
            self._announce(self.now)
            self._tick.set()
            self._tick.clear()

    def _measure(self, late: float) -> None:
        self.latest = max(self.latest, late)
        if late > LATE:
            self.late_frames += 1
            if not self._late_spell:
                self._note("frames.late", seconds=late)
        self._late_spell = late > LATE

    def _receive(self, raw: str | bytes) -> None:
        at = self.now
        self._echo(at)
        try:
            message = wire.read(raw, stream_sid=self.stream_sid)
        except wire.Unreadable as error:
            self._report(at, error.code, error.what, once=error.code == 31950)
            return
        match message:
            case wire.Media():
                if not self._ear.media(message.payload, at):
                    what = "ten minutes of audio wait to be played, and what comes is discarded"
                    self._report(at, 31931, what, once=True)
            case wire.Mark():
                self._note("mark.received", at=at, mark=message.name)
                due = self._ear.mark(message.name, at)
                if due <= at:
                    self._echo(at)
                else:
                    self._loop.call_at(self.began + due, self._echo, due)
            case wire.Clear():
                self._listen(at, last=True)
                dropped, marks = self._ear.clear(at)
                self._note("clear", at=at, dropped=dropped)
                for name in marks:
                    self._return(name, at, played=False)

    def _echo(self, at: float) -> None:
        if self.ending is None:
            for name in self._ear.played(at):
                self._return(name, at, played=True)

    def _return(self, name: str, at: float, *, played: bool) -> None:
        if self._faults.echo_marks and self._leaving is None:
            self._note("mark.echoed", at=at, mark=name, played=played)
            self._post(self._stream.mark(name))

    def _listen(self, at: float | None = None, *, last: bool = False) -> None:
        if self.ending is not None or self._ws is None:
            return
        at = self.now if at is None else at
        for when, word in self._ear.fall_silent(at) if last else self._ear.listen(at):
            self._note(f"heard.{word}", at=when)

    def _announce(self, at: float) -> None:
        while self._announced and self._announced[0][0] <= at:
            when, name = self._announced.popleft()
            self._note(name, at=when)

    def _so_far(self) -> int:
        at = self.ending.at if self.ending else self.now if self._ws else 0.0
        return max(0, int(at * RATE))

    def _report(self, at: float, code: int, what: str, *, once: bool = False) -> None:
        if not (once and any(report.code == code for report in self.errors)):
            self.errors.append(Report(at=at, code=code, what=what))
            self._note("error", at=at, code=code, what=what)

    def _post(
        self, message: Mapping[str, Any], *, numbered: bool = True, due: float | None = None
    ) -> None:
        if numbered:
            self._sequence += 1
            message = {**message, "sequenceNumber": str(self._sequence)}
        self._outbox.put_nowait((json.dumps(message), due))

    def _note(self, name: str, at: float | None = None, **detail: Any) -> None:
        event = Event(at=self.now if at is None else at, name=name, detail=detail)
        self._timeline.append(event)
        for subscriber in self._subscribers:
            subscriber(event)
