"""Twilio's end of one stream: it speaks in tones, plays at once, and can break off."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator

import aiohttp
import numpy as np
from tipring.phone import mulaw

from tests.emulators.hearing import Tones
from tests.worker.cloud import Cloud

_FRAME = 160
_SILENCE = b"\xff" * _FRAME


class Caller:
    """A caller on the line.

    Attributes:
        heard: Bytes of sound so far that were not silence.
        stream: Twilio's id of the stream, which comes with everything that is played.
        foreign: What came for another stream.
    """

    def __init__(self, ws: aiohttp.ClientWebSocketResponse, stream: str) -> None:
        self.ws, self.stream = ws, stream
        self.heard = 0
        self.foreign = 0
        self._mouth = bytearray()
        self._news = asyncio.Event()
        self._tasks = [asyncio.create_task(self._speak()), asyncio.create_task(self._listen())]

    def say(self, tones: Tones, *words: str) -> None:
        """Say words, from now on."""
        pcm = np.frombuffer(tones.speak(*words, rate=8000), "<i2")
        sound = mulaw.encode(pcm)
        self._mouth += sound + b"\xff" * (-len(sound) % _FRAME)

    async def hears(self, *, within: float = 30) -> None:
        """Wait for some more sound."""
        before = self.heard
        async with asyncio.timeout(within):
            while self.heard == before:
                self._news.clear()
                await self._news.wait()

    async def hang_up(self) -> None:
        """Twilio says that the call is over, and closes the stream."""
        await self.ws.send_json({"event": "stop", "streamSid": self.stream})
        await self.closed()

    async def closed(self, *, within: float = 30) -> None:
        """Wait for the end of the stream."""
        async with asyncio.timeout(within):
            await asyncio.wait(self._tasks)

    def abort(self) -> None:
        """Cut the connection: no stop, no close."""
        transport = self.ws.get_extra_info("socket") and self.ws._response.connection
        assert transport is not None and transport.transport is not None
        transport.transport.abort()

    async def leave(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.ws.close()

    async def _speak(self) -> None:
        with contextlib.suppress(ConnectionError, aiohttp.ClientError):
            while not self.ws.closed:
                frame, self._mouth = bytes(self._mouth[:_FRAME]), self._mouth[_FRAME:]
                payload = base64.b64encode(frame or _SILENCE).decode()
                media = {"track": "inbound", "payload": payload}
                await self.ws.send_json(
                    {"event": "media", "streamSid": self.stream, "media": media}
                )
                await asyncio.sleep(0.02)

    async def _listen(self) -> None:
        async for message in self.ws:
            told = json.loads(message.data)
            self.foreign += told["streamSid"] != self.stream
            if told["event"] == "media":
                sound = base64.b64decode(told["media"]["payload"])
                self.heard += sum(byte not in (0xFF, 0x7F) for byte in sound)
            elif told["event"] == "mark":
                await self.ws.send_json(told)
            self._news.set()


@contextlib.asynccontextmanager
async def calling(
    cloud: Cloud, path: str, call: str, *, stream: str = "MZ1"
) -> AsyncIterator[Caller]:
    """Open a stream and introduce it."""
    ws = await cloud.stream(path)
    start = {"streamSid": stream, "callSid": call, "customParameters": {"call": call}}
    await ws.send_json({"event": "start", "streamSid": stream, "start": start})
    caller = Caller(ws, stream)
    try:
        yield caller
    finally:
        await caller.leave()
