"""Port 9090: health with figures, the kill switch, and the socket of a call's owner.

It runs on a loop and a thread of its own, so that it answers whatever the calls are doing.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Literal, cast

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from tipring import lag, web
from tipring.control.owner import Owner
from tipring.control.protocol import VERSION, Hello, Push, hello, read
from tipring.host import Host

log = logging.getLogger(__name__)

_HELLO_WITHIN = 5.0
_MAX_KILL = 1024
_NOT_ALLOWED, _PROTOCOL_ERROR = 1008, 1002


def control_app(host: Host, loop: asyncio.AbstractEventLoop) -> Starlette:
    """The control plane's side.

    It needs the control token as a bearer, where one is set; ``/health`` does not.

    Args:
        host: Holds the calls.
        loop: The calls' loop; this app runs on another one.
    """
    token = host.config.server.control_token

    async def health(request: Request) -> Response:
        return web.health(host)

    async def stats(request: Request) -> Response:
        if not web.is_bearer(request.headers, token):
            return web.unauthorized()
        return JSONResponse({"calls": len(host.calls), **lag.figures()})

    async def kill(request: Request) -> Response:
        if not web.is_bearer(request.headers, token):
            return web.unauthorized()
        call = request.path_params["call"]
        live = host.calls.get(call)
        if live is None or live.ended:
            return web.refusal(404, "there is no such call")
        how = _how(await web.body(request, limit=_MAX_KILL))
        if how is None:
            return web.refusal(400, 'say {"kill": "none"}, {"kill": "warm"} or {"kill": "hard"}')
        await _over_there(lambda: live.kill(how), loop)
        return JSONResponse({"call": call, "kill": how})

    async def plain(request: Request) -> Response:
        return web.refusal(426, "this is a websocket")

    async def control(websocket: WebSocket) -> None:
        if token is None or not web.is_bearer(websocket.headers, token):
            await websocket.send_denial_response(web.unauthorized())
            return
        await websocket.accept()
        try:
            async with asyncio.timeout(_HELLO_WITHIN):
                first = read(await websocket.receive_text())
        except (TimeoutError, WebSocketDisconnect, KeyError):  # KeyError: bytes
            first = None
        if not isinstance(first, Hello) or first.version != VERSION:
            log.warning("a control socket without a hello of version %d was closed", VERSION)
            await web.close(websocket, _PROTOCOL_ERROR)
            return
        owner = host.owners.get(first.call)
        if owner is None:
            log.warning("a control socket for a call that is not here was closed")
            await web.close(websocket, _NOT_ALLOWED)
            return
        await _converse(websocket, owner, first)

    return Starlette(
        routes=[
            Route("/health", health),
            Route("/stats", stats),
            Route("/calls/{call}/kill", kill, methods=["POST"]),
            Route("/control", plain),
            WebSocketRoute("/control", control),
        ]
    )


async def _converse(websocket: WebSocket, owner: Owner, first: Hello) -> None:
    """Send what happens and take what is set, until the socket is gone."""
    owner.push(first.kill)
    await websocket.send_text(hello())
    sending = asyncio.create_task(_send(websocket, owner, first.after))
    try:
        while True:
            message = read(await websocket.receive_text())
            if isinstance(message, Push):
                owner.push(message.kill)
    except (WebSocketDisconnect, RuntimeError, KeyError):
        log.info("call %s: the control socket is gone", owner.init.call)
    finally:
        sending.cancel()


async def _send(websocket: WebSocket, owner: Owner, after: int) -> None:
    here, more = asyncio.get_running_loop(), asyncio.Event()

    def wake() -> None:
        here.call_soon_threadsafe(more.set)

    owner.outbox.enter(wake)
    try:
        while True:
            more.clear()
            for seq, text in owner.outbox.after(after):
                await websocket.send_text(text)
                after = seq
                owner.outbox.passed_on(seq)
            await more.wait()
    except (WebSocketDisconnect, RuntimeError):
        log.info("call %s: events wait for the next control socket", owner.init.call)
    finally:
        owner.outbox.leave(wake)


async def _over_there(do: Callable[[], Awaitable[None]], loop: asyncio.AbstractEventLoop) -> None:
    async def done() -> None:
        await do()

    await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(done(), loop))


def _how(body: bytes | None) -> Literal["none", "warm", "hard"] | None:
    try:
        told = json.loads(body or b"")
    except (ValueError, RecursionError):
        return None
    how = told.get("kill") if isinstance(told, dict) else None
    known = isinstance(how, str) and how in ("none", "warm", "hard")
    return cast(Literal["none", "warm", "hard"], how) if known else None
