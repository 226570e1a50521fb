"""The phone's socket, as a call sees it: the stream behind it may break, and be another one.

::

    socket = PhoneSocket(first, wait=10.0, ...)     # what the pipeline writes to
    await socket.listen(hear)                       # in the pipeline: what it hears
    await socket.carry(first, start)                # in the handler of each stream, while it lasts
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import Awaitable, Callable

from starlette.types import Message
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from tipring.phone.stream import Start

# What is said into a gap, at twice the pace of speech: more than ten seconds of it, with the marks.
_HELD = 1_200

Hear = Callable[[str | bytes], Awaitable[None]]
"""Takes what the phone says, a message at a time."""


class PhoneSocket(WebSocket):
    """One call's socket over the streams that it has, one after the other.

    What is sent while there is no stream is kept for the next one.

    Args:
        first: The first stream, accepted.
        wait: Seconds that the call waits for another stream when one broke; 0: not at all.
        on_lost: Called when a stream broke and is waited for.
        on_back: Called when another stream carries the call on, before anything goes to it.
        before_close: Awaited before the call closes its stream.
    """

    def __init__(
        self,
        first: WebSocket,
        *,
        wait: float,
        on_lost: Callable[[], None],
        on_back: Callable[[Start], None],
        before_close: Callable[[], Awaitable[None]],
    ) -> None:
        super().__init__(first.scope, first.receive, self._pass_on)
        self.client_state = self.application_state = WebSocketState.CONNECTED
        self._wait = wait
        self._on_lost, self._on_back, self._before_close = on_lost, on_back, before_close
        self._stream: WebSocket | None = first
        self._pump: asyncio.Task[None] | None = None
        self._carried = False
        self._held: deque[Message] = deque(maxlen=_HELD)
        self._hear: Hear | None = None
        self._heard = asyncio.Event()
        self._lost = asyncio.Event()
        self._back = asyncio.Event()
        self._over = asyncio.Event()

    @property
    def over(self) -> bool:
        """Whether the call will not have another stream."""
        return self._over.is_set()

    async def carry(self, stream: WebSocket, start: Start) -> None:
        """Carry the call over this stream, until it breaks, the call is over, or another one comes.

        Args:
            stream: Accepted, and read up to its start message.
            start: How it introduced itself.
        """
        if self._carried:
            await self._take_over(stream, start)
        self._carried = True
        self._pump = pump = asyncio.create_task(self._read(stream))
        over = asyncio.create_task(self._over.wait())
        try:
            await asyncio.wait({pump, over}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (pump, over):
                task.cancel()
            if self._stream is stream:
                self._lose()

    def end(self) -> None:
        """There will be no other stream, and nobody waits for one any longer."""
        if not self._over.is_set():
            self._over.set()
            self._lost.set()
            self._back.set()

    async def listen(self, hear: Hear) -> None:
        """Hear what the phone says, until it will say no more.

        Each message is heard in the task that took it from the network, so that one in fifty a
        second costs no way through a queue. What comes before anybody listens waits on the network.

        Args:
            hear: Given one message after the other.
        """
        self._hear = hear
        self._heard.set()
        try:
            while not self.over:
                await self._lost.wait()
                async with asyncio.timeout(self._wait):
                    await self._back.wait()
        except TimeoutError:
            self.end()
        finally:
            self._hear = None  # what still comes is for nobody
        self.client_state = WebSocketState.DISCONNECTED

    async def _take_over(self, stream: WebSocket, start: Start) -> None:
        if self._pump is not None:
            self._pump.cancel()
        self._stream = None  # what is said from here on waits until the new one is told all before
        self._on_back(start)
        while self._held:
            await stream.send(_for_stream(self._held.popleft(), start.stream))
        self._stream = stream
        self._lost.clear()
        self._back.set()

    async def _read(self, stream: WebSocket) -> None:
        while True:
            await self._heard.wait()
            try:
                message = await stream.receive()
            except (RuntimeError, WebSocketDisconnect):
                return
            if message["type"] == "websocket.disconnect":
                return
            said = message.get("text") or message.get("bytes")
            if said and self._hear is not None:
                await self._hear(said)

    def _lose(self) -> None:
        self._stream = None
        self._back.clear()
        self._lost.set()
        if self._wait and not self.over:
            self._on_lost()

    async def _pass_on(self, message: Message) -> None:
        if message["type"] == "websocket.close":
            if not self.over:
                await self._before_close()
            stream, self._stream = self._stream, None
            self.end()
            if stream is not None:
                with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                    await stream.close(message.get("code", 1000))
        elif self._stream is None:
            self._hold(message)
        else:
            try:
                await self._stream.send(message)
            except (RuntimeError, WebSocketDisconnect):  # it broke, and that is still to be heard
                self._hold(message)

    def _hold(self, message: Message) -> None:
        if not self.over:
            if _event(message) == "clear":  # what the phone has not got needs no clearing
                self._held.clear()
            else:
                self._held.append(message)


def _event(message: Message) -> object:
    told = json.loads(message["text"])
    return told.get("event") if isinstance(told, dict) else None


def _for_stream(message: Message, sid: str) -> Message:
    return {**message, "text": json.dumps({**json.loads(message["text"]), "streamSid": sid})}
