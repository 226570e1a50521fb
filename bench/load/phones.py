"""Many telephones in one light process: what they say is made once, and sent as it stands.

They speak Twilio's protocol as far as a host can tell: media every 20 ms, marks back when what came
before them has been played, pending marks back at a clear. Frames are whole websocket frames,
masked with zeros, so that sending one is a single write.
"""

from __future__ import annotations

import asyncio
import base64
import html
import json
import re
import struct
import time
from collections import deque
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
from tipring.phone import mulaw

TICK = 0.02
STREAM = "MZ" + "0" * 32
GREETED = 3.0
"""Seconds that the caller listens to the greeting."""
SILENT = 4.0
"""Seconds between two turns of the caller."""
HEARD_OUT = 2.0
"""Seconds for which a caller with one thing to say stays for the answer."""


def frame(message: object) -> bytes:
    """One masked text frame of a websocket's client."""
    body = (message if isinstance(message, str) else json.dumps(message)).encode()
    size = len(body)
    head = (
        struct.pack("!BB", 0x81, 0x80 | size)
        if size < 126
        else struct.pack("!BBH", 0x81, 0xFE, size)
    )
    return head + bytes(4) + body


@dataclass(frozen=True, kw_only=True)
class Speech:
    """What every caller says, again and again.

    Attributes:
        frames: Websocket frames of 20 ms: the speech, then the silence behind it.
        spoken: How many of them are speech.
        silence: A frame of silence.
    """

    frames: tuple[bytes, ...]
    spoken: int
    silence: bytes

    @property
    def turn(self) -> float:
        """Seconds of a call in which the caller is greeted, speaks once, and hears the answer."""
        return GREETED + self.spoken * TICK + HEARD_OUT

    @classmethod
    def of(cls, samples: npt.NDArray[np.int16]) -> Speech:
        """Make it of speech at 8 kHz, which ends with its last sample."""
        sound = mulaw.encode(np.ascontiguousarray(samples[: len(samples) // 160 * 160]))
        quiet = bytes([mulaw.SILENCE]) * 160
        silence = _media(quiet)
        spoken = [_media(sound[at : at + 160]) for at in range(0, len(sound), 160)]
        return cls(
            frames=(*spoken, *([silence] * int(SILENT / TICK))),
            spoken=len(spoken),
            silence=silence,
        )


def _media(sound: bytes) -> bytes:
    payload = base64.b64encode(sound).decode()
    media = {"track": "inbound", "chunk": "1", "timestamp": "20", "payload": payload}
    return frame({"event": "media", "sequenceNumber": "2", "media": media, "streamSid": STREAM})


@dataclass(kw_only=True)
class Heard:
    """What one phone noted, on the machine's monotonic clock.

    Attributes:
        call: Its id.
        ends: When the caller's turns ended.
        answers: When the agent was first heard after each of them, if it was.
        late: How many frames left more than 40 ms after their time.
        closed: Whether the host closed the stream before the phone did.
    """

    call: str
    ends: list[float] = field(default_factory=list)
    answers: list[float | None] = field(default_factory=list)
    late: int = 0
    closed: bool = False


class Phone(asyncio.Protocol):
    """One call.

    Args:
        speech: What it says.
        call: Its id.
    """

    def __init__(self, speech: Speech, call: str) -> None:
        self.heard = Heard(call=call)
        self._speech = speech
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._upgraded = self._loop.create_future()
        self._buffer = bytearray()
        self._played = 0.0
        self._marks: deque[tuple[float, str]] = deque()
        self._began = 0.0
        self._sent = 0
        self._leaving = False

    async def dial(self, url: str) -> None:
        """Ask the webhook, and open the stream it names."""
        await self.open(await _webhook(url, self.heard.call))

    async def open(self, url: str) -> None:
        """Open a stream, and be on the line."""
        stream = urlsplit(url)
        await self._loop.create_connection(lambda: self, stream.hostname or "", stream.port or 80)
        assert self._transport is not None
        self._transport.write(
            f"GET {stream.path} HTTP/1.1\r\nHost: {stream.netloc}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
        )
        async with asyncio.timeout(30):
            await self._upgraded
        start = {
            "accountSid": "AC" + "0" * 32,
            "streamSid": STREAM,
            "callSid": self.heard.call,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": {},
        }
        connected = {"event": "connected", "protocol": "Call", "version": "1.0.0"}
        begin = {"event": "start", "sequenceNumber": "1", "start": start, "streamSid": STREAM}
        self._transport.write(frame(connected) + frame(begin))
        self._began = self._loop.time()
        self._loop.call_at(self._began + TICK, self._tick)

    async def hang_up(self) -> None:
        """Say that the call is over, and leave."""
        self._leaving = True
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frame({"event": "stop", "streamSid": STREAM, "stop": {}}))
            self._transport.write(struct.pack("!BB", 0x88, 0x82) + bytes(4) + b"\x03\xe8")
            await asyncio.sleep(0.3)
            self._transport.close()

    # -- what it says --------------------------------------------------------------------------

    def _tick(self) -> None:
        if self._leaving or self._transport is None or self._transport.is_closing():
            return
        now = self._loop.time()
        greeted = int(GREETED / TICK)
        speech = self._speech
        while (due := self._began + (self._sent + 1) * TICK) <= now:
            self.heard.late += now - due > 0.04
            place = self._sent - greeted
            if place < 0:
                self._transport.write(speech.silence)
            else:
                place %= len(speech.frames)
                self._transport.write(speech.frames[place])
                if place == speech.spoken - 1:
                    self.heard.ends.append(now)
                    self.heard.answers.append(None)
            self._sent += 1
        while self._marks and self._marks[0][0] <= now:
            self._echo(self._marks.popleft()[1])
        self._loop.call_at(due, self._tick)

    def _echo(self, name: str) -> None:
        if self._transport is not None:
            mark = {"event": "mark", "streamSid": STREAM, "mark": {"name": name}}
            self._transport.write(frame(mark))

    # -- what it hears -------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        """The socket is closed."""
        self.heard.closed = not self._leaving
        if not self._upgraded.done():
            self._upgraded.set_exception(ConnectionError("the stream was refused"))

    def data_received(self, data: bytes) -> None:
        """Take the websocket apart, as far as a host's frames go."""
        buffer = self._buffer
        buffer += data
        if not self._upgraded.done():
            head, found, rest = bytes(buffer).partition(b"\r\n\r\n")
            if not found:
                return
            if b" 101 " not in head.split(b"\r\n", 1)[0]:
                self._upgraded.set_exception(ConnectionError("the stream was refused"))
                return
            self._upgraded.set_result(None)
            buffer[:] = rest
        while len(buffer) >= 2:
            size, at = buffer[1] & 0x7F, 2
            if size >= 126:
                at = 4 if size == 126 else 10
                if len(buffer) < at:
                    return
                size = int.from_bytes(buffer[2:at], "big")
            if len(buffer) < at + size:
                return
            kind, body = buffer[0] & 0x0F, bytes(buffer[at : at + size])
            del buffer[: at + size]
            if kind == 1:
                self._message(body)
            elif kind == 9 and self._transport is not None:
                self._transport.write(bytes([0x8A, 0x80 | size]) + bytes(4) + body)

    def _message(self, body: bytes) -> None:
        now = self._loop.time()
        if body.startswith(b'{"event": "media"') or body.startswith(b'{"event":"media"'):
            if self.heard.answers and self.heard.answers[-1] is None:
                self.heard.answers[-1] = now
            # Three quarters of the base64 is sound; the JSON around it is a hundred bytes.
            self._played = max(now, self._played) + (len(body) - 110) * 0.75 / mulaw.RATE
            return
        message = json.loads(body)
        if message["event"] == "mark":
            self._marks.append((self._played, message["mark"]["name"]))
        elif message["event"] == "clear":
            self._played = now
            while self._marks:
                self._echo(self._marks.popleft()[1])


async def _webhook(url: str, call: str) -> str:
    at = urlsplit(url)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    form = f"CallSid={call}&From=%2B15005550006&To=%2B15005550001"
    writer.write(
        f"POST /voice HTTP/1.1\r\nHost: {at.netloc}\r\nConnection: close\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {len(form)}\r\n\r\n{form}".encode()
    )
    answer = (await reader.read()).decode()
    writer.close()
    stream = re.search(r'<Stream[^>]* url="([^"]+)"', answer)
    if stream is None:
        raise ConnectionError(f"the webhook gave no stream: {answer.splitlines()[0]}")
    return html.unescape(stream[1])


class Crowd:
    """So many phones at once.

    Args:
        url: Whom they call.
        speech: What they say.
    """

    def __init__(self, url: str, speech: Speech) -> None:
        self._url = url
        self._speech = speech
        self._number = 0
        self.phones: list[Phone] = []
        self.failed = 0

    async def dial(self, count: int, *, over: float) -> None:
        """Let so many call, spread over so many seconds, so that their turns do not coincide."""
        began = time.monotonic()
        for number in range(count):
            await asyncio.sleep(max(0.0, began + over * number / count - time.monotonic()))
            self._number += 1
            phone = Phone(self._speech, f"CA{self._number:032d}")
            try:
                await phone.dial(self._url)
            except (OSError, TimeoutError):
                self.failed += 1
            else:
                self.phones.append(phone)

    async def hang_up(self) -> list[Heard]:
        """End all calls; what their phones noted."""
        phones, self.phones = self.phones, []
        await asyncio.gather(*(phone.hang_up() for phone in phones))
        return [phone.heard for phone in phones]
