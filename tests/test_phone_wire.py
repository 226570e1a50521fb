"""The phone's websocket goes on reading, and still makes a phone wait that is too far ahead."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket
from tipring.phone.wire import PhoneProtocol
from websockets.asyncio.client import connect

MESSAGES = [f"{n:06d}" + "x" * 250 for n in range(2000)]


class Quiet(uvicorn.Server):
    """A server that leaves pytest's signal handlers alone."""

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield


async def test_what_comes_faster_than_it_is_taken_waits_on_the_network_and_comes_in_order() -> None:
    wires: list[PhoneProtocol] = []
    heard: list[str] = []
    heard_all = asyncio.Event()

    class Seen(PhoneProtocol):
        def __init__(self, *args: Any, **more: Any) -> None:
            super().__init__(*args, **more)
            wires.append(self)

    async def media(websocket: WebSocket) -> None:
        await websocket.accept()
        (wire,) = wires
        while wire.transport.is_reading():  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        waiting = wire.queue.qsize()
        assert 50 <= waiting < len(MESSAGES)
        await asyncio.sleep(0.05)
        assert wire.queue.qsize() == waiting
        for _ in MESSAGES:
            heard.append(await websocket.receive_text())
        assert wire.transport.is_reading()
        heard_all.set()

    app = Starlette(routes=[WebSocketRoute("/", media)])
    server = Quiet(uvicorn.Config(app, log_config=None, lifespan="off", ws=Seen))
    with socket.create_server(("127.0.0.1", 0)) as sock:
        running = asyncio.create_task(server.serve([sock]))
        url = f"ws://127.0.0.1:{sock.getsockname()[1]}"
        async with connect(url, compression=None) as phone:
            for message in MESSAGES:
                await phone.send(message)
            await asyncio.wait_for(heard_all.wait(), 20)
        server.should_exit = True
        await running
    assert heard == MESSAGES
