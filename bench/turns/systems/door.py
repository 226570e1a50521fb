"""What every system's process has in common: its arguments, and how a call comes in."""

from __future__ import annotations

import argparse
import asyncio
import contextvars
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from bench.turns.truth import Desk

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

SID: contextvars.ContextVar[str] = contextvars.ContextVar("sid", default="rehearsal")
"""Twilio's name of the call that is being handled."""


def arguments() -> argparse.Namespace:
    """What the run tells a system."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=Path, required=True)
    parser.add_argument("--variant", default="")
    parser.add_argument("--track", type=int, default=1)
    parser.add_argument("--notes", type=Path, help="for a system that can say why it did it")
    return parser.parse_args()


class Introductions:
    """Lets the webhook say which of the bench's calls it is, before the system sees it.

    Args:
        app: The system's own app.
        desk: Told of the call.
    """

    def __init__(self, app: App, desk: Desk) -> None:
        self._app = app
        self._desk = desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the webhook's form and pass everything on."""
        path = scope.get("path", "")
        if scope["type"] == "websocket" and path.startswith("/media/"):
            SID.set(path.split("/")[2])
        if scope["type"] != "http" or path != "/voice":
            await self._app(scope, receive, send)
            return
        messages, body, more = [], b"", True
        while more:
            message = await receive()
            messages.append(message)
            body += message.get("body", b"")
            more = bool(message.get("more_body"))
        form = parse_qs(body.decode())
        self._desk.answer(form["CallSid"][0], form["BenchCall"][0])

        async def again() -> MutableMapping[str, Any]:
            return messages.pop(0) if messages else await receive()

        await self._app(scope, again, send)


async def serve(app: App, desk: Desk) -> None:
    """Answer calls until the caller's process closes stdin."""
    import socket

    import uvicorn

    from bench.turns.truth import watched

    sock = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        Introductions(app, desk),
        log_config=None,
        access_log=False,
        lifespan="off",
        ws_per_message_deflate=False,
        ws="websockets-sansio",
    )
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    running = asyncio.create_task(server.serve([sock]))
    async with watched(desk):
        desk.tell(ready=f"http://127.0.0.1:{sock.getsockname()[1]}")
        await desk.listen()
    server.should_exit = True
    server.force_exit = True
    await running


def twiml(host: str, sid: str) -> str:
    """Put the caller on a stream of this process."""
    return f'<Response><Connect><Stream url="ws://{host}/media/{sid}" /></Connect></Response>'
