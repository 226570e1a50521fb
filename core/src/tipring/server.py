"""Two servers in one process: the phone's, and the control plane's."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import logging
import re
import socket
from collections.abc import AsyncIterator
from typing import Any, Literal
from urllib.parse import parse_qsl

import uvicorn
from fastapi import FastAPI, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.responses import JSONResponse

from tipring import lag
from tipring.call import PhoneCall
from tipring.config import Config
from tipring.errors import ConfigError
from tipring.host import Host
from tipring.phone.signature import Signatures, stream_url
from tipring.phone.stream import MAX_MESSAGE, NotAPhone, greet
from tipring.phone.twiml import connect_stream, say_and_hang_up

log = logging.getLogger(__name__)

_CALL = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MAX_FORM = 32_768
# Long enough for a goodbye; a container has up to 15 minutes, a laptop's Ctrl-C has this.
_CLOSE_WITHIN = 15.0
_TRY_AGAIN, _NOT_ALLOWED = 1013, 1008


def audio_app(host: Host, signatures: Signatures | None, public_url: str) -> FastAPI:
    """The phone's side: the webhook, the media stream, and whether the host is ready.

    Args:
        host: Holds the calls.
        signatures: Checks that a request is Twilio's; None to believe everybody.
        public_url: Where Twilio reaches this app.
    """
    app = FastAPI(openapi_url=None)

    @app.get("/health")
    async def health() -> JSONResponse:
        return _health(host)

    @app.post("/voice")
    async def voice(request: Request) -> Response:
        form = await _form(request)
        if form is None:
            return Response("a webhook is a small form", status_code=413)
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        if signatures and not signatures.webhook(
            path, form, request.headers.get("x-twilio-signature", "")
        ):
            log.warning("a webhook without Twilio's signature was refused")
            return Response("not signed by Twilio", status_code=403)
        call = form.get("CallSid", "")
        if not _CALL.fullmatch(call):
            return Response("a webhook names its CallSid", status_code=400)
        agent = host.config.agent
        if host.full or not host.ready:
            log.warning("call %s: the host is %s", call, "full" if host.full else "not ready")
            return _xml(say_and_hang_up(agent.busy, language=agent.language))
        url = stream_url(public_url, f"/media/{call}/{host.admit(call)}")
        return _xml(connect_stream(url, {}))

    @app.websocket("/media/{call}/{ticket}")
    async def media(websocket: WebSocket, call: str, ticket: str) -> None:
        signature = websocket.headers.get("x-twilio-signature", "")
        signed = signatures is None or signatures.upgrade(websocket.url.path, signature)
        if not signed or not host.redeem(call, ticket) or call in host.calls:
            log.warning("a stream without signature and ticket was refused")
            await websocket.close(_NOT_ALLOWED)
            return
        await websocket.accept()
        if not host.ready:
            await websocket.close(_TRY_AGAIN)
            return
        try:
            start = await greet(websocket)
        except NotAPhone as error:
            log.warning("call %s: %s", call, error)
            await _close(websocket, _NOT_ALLOWED)
            return
        if start.call != call:
            log.warning("call %s: the stream says that it belongs to another call", call)
            await _close(websocket, _NOT_ALLOWED)
            return
        one = PhoneCall(
            start,
            websocket,
            selection=host.selection,
            phrases=host.phrases,
            breakers=host.breakers,
            record_to=host.record_to,
            on_event=host.on_event,
        )
        async with host.holding(one):
            reason = await one.run()
        log.info("call %s ended: %s", call, reason)
        await _close(websocket, 1000)

    return app


def control_app(host: Host) -> FastAPI:
    """The control plane's side: health with figures, and the kill switch.

    It needs the control token as a bearer, where one is set; ``/health`` does not.
    """
    app = FastAPI(openapi_url=None)
    token = host.config.server.control_token

    @app.get("/health")
    async def health() -> JSONResponse:
        return _health(host)

    @app.get("/stats")
    async def stats(request: Request) -> Response:
        if not _allowed(request):
            return _unauthorized()
        return JSONResponse({"calls": len(host.calls), **lag.figures()})

    @app.post("/calls/{call}/kill")
    async def kill(request: Request, call: str) -> Response:
        if not _allowed(request):
            return _unauthorized()
        live = host.calls.get(call)
        if live is None:
            return JSONResponse({"error": "there is no such call"}, status_code=404)
        how = await _how(request)
        if how is None:
            say = 'say {"kill": "none"}, {"kill": "warm"} or {"kill": "hard"}'
            return JSONResponse({"error": say}, status_code=400)
        if how == "warm":
            await live.hang_up("killed")
        elif how == "hard":
            await live.end("killed")
        return JSONResponse({"call": call, "kill": how})

    def _allowed(request: Request) -> bool:
        if token is None:
            return True
        given = request.headers.get("authorization", "")
        return hmac.compare_digest(given.encode(), f"Bearer {token.get_secret_value()}".encode())

    return app


async def serve(host: Host, *, allow_unsigned: bool = False, announce: bool = True) -> None:
    """Answer the phone until a signal comes, then end the calls in order.

    Args:
        host: Not loaded yet: the servers listen at once, and are ready when it is.
        allow_unsigned: Whether to believe requests that Twilio did not sign.
        announce: Whether to print where it listens, as one line of JSON on stdout.

    Raises:
        ConfigError: The configuration cannot be followed, a port is taken, or nothing proves that
            a request is Twilio's.
    """
    server = host.config.server
    audio = _bind(server.host, server.port, "port")
    control = _bind(server.host, server.control_port, "control_port")
    with contextlib.closing(audio), contextlib.closing(control):
        url = server.public_url.rstrip("/") or f"http://{server.host}:{audio.getsockname()[1]}"
        signatures = _signatures(host.config, url, allow_unsigned)
        servers = [
            _Server(_settings(audio_app(host, signatures, url))),
            _Server(_settings(control_app(host))),
        ]
        running = [
            asyncio.create_task(one.serve([sock]))
            for one, sock in zip(servers, (audio, control), strict=True)
        ]
        async with _until_signal() as stopped, lag.watched():
            try:
                await host.load()
                if announce:
                    where = {"url": url, "port": audio.getsockname()[1]}
                    ready = {**where, "control_port": control.getsockname()[1]}
                    print(json.dumps({"ready": ready}), flush=True)
                await stopped.wait()
            finally:
                await host.close(within=_CLOSE_WITHIN)
                for one in servers:
                    one.should_exit = True
                await asyncio.gather(*running)


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: it would close a live call's stream at once."""

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield


def _settings(app: FastAPI) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,  # a path holds a ticket
        lifespan="off",
        ws="websockets-sansio",
        ws_per_message_deflate=False,  # μ-law does not compress, and 50 messages a second cost CPU
        ws_max_size=2 * MAX_MESSAGE,
        timeout_graceful_shutdown=2,
        server_header=False,
    )


def _bind(address: str, port: int, key: str) -> socket.socket:
    try:
        return socket.create_server((address, port), backlog=128)
    except OSError as error:
        raise ConfigError(
            f"[server] {key}",
            f"{address}:{port} cannot be listened on: {error.strerror}",
            f"stop what listens there, or set [server] {key} = 0 for any free port",
        ) from None


def _signatures(config: Config, url: str, allow_unsigned: bool) -> Signatures | None:
    token = config.twilio.auth_token
    if token is not None:
        return Signatures(token, url)
    if allow_unsigned:
        log.warning("requests are not checked for Twilio's signature: anybody can call")
        return None
    raise ConfigError(
        "[twilio] auth_token",
        "$TWILIO_AUTH_TOKEN is not set, so nothing proves that a request is Twilio's",
        "export TWILIO_AUTH_TOKEN=..., or tipring serve --allow-unsigned on a network of your own",
    )


@contextlib.asynccontextmanager
async def _until_signal() -> AsyncIterator[asyncio.Event]:
    import signal

    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for one in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(one, stopped.set)
    try:
        yield stopped
    finally:
        for one in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(one)


def _health(host: Host) -> JSONResponse:
    problems = [{"where": one.where, "what": one.what, "fix": one.fix} for one in host.problems]
    body = {"ok": True, "ready": host.ready, "problems": problems}
    return JSONResponse(body, status_code=200 if host.ready else 503)


async def _form(request: Request) -> dict[str, str] | None:
    """The fields of a form, or None when it is larger than any webhook."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_FORM:
            return None
    return dict(parse_qsl(bytes(body).decode("utf-8", "replace"), keep_blank_values=True))


async def _how(request: Request) -> Literal["none", "warm", "hard"] | None:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > 1024:
            return None
    try:
        told = json.loads(bytes(body))
    except (ValueError, RecursionError):
        return None
    how = told.get("kill") if isinstance(told, dict) else None
    return how if how in ("none", "warm", "hard") else None


def _xml(twiml: str) -> Response:
    return Response(twiml, media_type="text/xml")


def _unauthorized() -> Response:
    return JSONResponse({"error": "send the control token as a bearer"}, status_code=401)


async def _close(websocket: WebSocket, code: int) -> None:
    # Closed already, by whichever side.
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):
        await websocket.close(code)
