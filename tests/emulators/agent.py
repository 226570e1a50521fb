"""An agent that does what a test tells it: the far side of the emulated phone, on a real socket."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from tipring.phone import mulaw
from tipring.testing.clip import Clip
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed


def tone(seconds: float, *, hertz: float = 440.0) -> Clip:
    """A steady tone at a quarter of full scale: audible from its first sample to its last."""
    at = np.arange(round(seconds * 8000)) / 8000
    # A cosine, so that the first sample is not a zero.
    return Clip(samples=np.round(8192 * np.cos(2 * np.pi * hertz * at)).astype(np.int16))


@dataclass
class Agent:
    """One stream, seen from the agent."""

    ws: ServerConnection
    messages: list[dict[str, Any]] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def stream_sid(self) -> str:
        return str(self.of("start")[0]["streamSid"])

    @property
    def headers(self) -> dict[str, str]:
        assert self.ws.request is not None
        return {name.lower(): value for name, value in self.ws.request.headers.raw_items()}

    def of(self, event: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["event"] == event]

    @property
    def marks(self) -> list[str]:
        return [message["mark"]["name"] for message in self.of("mark")]

    async def hears(self, ready: Callable[[], bool]) -> None:
        """Wait until what came makes the condition true."""
        while not ready():
            self.news.clear()
            await self.news.wait()

    async def send(self, message: dict[str, Any]) -> None:
        await self.ws.send(json.dumps({"streamSid": self.stream_sid, **message}))

    async def play(self, clip: Clip) -> None:
        payload = base64.b64encode(mulaw.encode(clip.samples)).decode()
        await self.send({"event": "media", "media": {"payload": payload}})

    async def mark(self, name: str) -> None:
        await self.send({"event": "mark", "mark": {"name": name}})

    async def clear(self) -> None:
        await self.send({"event": "clear"})

    async def listen(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for raw in self.ws:
                self.messages.append(json.loads(raw))
                self.news.set()


Behaviour = Callable[[Agent], Awaitable[None]]


@contextlib.asynccontextmanager
async def answering(behaviour: Behaviour | None = None) -> AsyncIterator[tuple[str, list[Agent]]]:
    """Serve streams; each is given to ``behaviour`` after its start, and closed when it returns.

    Without a behaviour the agent listens until the phone hangs up.

    Yields:
        The stream's address, and every agent that answered.
    """
    agents: list[Agent] = []

    async def handle(ws: ServerConnection) -> None:
        agent = Agent(ws)
        agents.append(agent)
        listening = asyncio.create_task(agent.listen())
        if behaviour is None:
            await listening
            return

        async def behave() -> None:
            await agent.hears(lambda: bool(agent.of("start")))
            with contextlib.suppress(ConnectionClosed):
                await behaviour(agent)

        # A behaviour that waits for something ends with the call at the latest.
        behaving = asyncio.create_task(behave())
        await asyncio.wait({listening, behaving}, return_when=asyncio.FIRST_COMPLETED)
        behaving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await behaving
        await ws.close()
        await listening

    async with serve(handle, "127.0.0.1", 0, compression=None, max_size=None) as server:
        port = server.sockets[0].getsockname()[1]
        yield f"ws://127.0.0.1:{port}/media", agents


async def until_gone(agent: Agent) -> None:
    """Stay on the line until the phone leaves."""
    await agent.ws.wait_closed()
