"""Two servers in one process: the phone's, and the control plane's."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import signal
import socket
import threading
from collections.abc import AsyncIterator, Coroutine
from typing import Any
from urllib.parse import parse_qsl

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from tipring import lag, methods, web
from tipring.call import PhoneCall
from tipring.config import Config
from tipring.control.app import control_app
from tipring.control.audio import owned_app
from tipring.errors import ConfigError
from tipring.host import Host
from tipring.memory import end_start
from tipring.phone.signature import Signatures, stream_url
from tipring.phone.stream import MAX_MESSAGE, NotAPhone, greet
from tipring.phone.twiml import connect_stream, say_and_hang_up
from tipring.phone.wire import PhoneProtocol

log = logging.getLogger(__name__)

_CALL = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MAX_FORM = 32_768
# Long enough for a goodbye.
_CLOSE_WITHIN = 15.0
_TRY_AGAIN, _NOT_ALLOWED = 1013, 1008


def audio_app(host: Host, signatures: Signatures | None, public_url: str) -> Starlette:
    """The phone's side: the webhook, the media stream, and whether the host is ready.

    Args:
        host: Holds the calls.
        signatures: Checks that a request is Twilio's; None to believe everybody.
        public_url: Where Twilio reaches this app.
    """

    async def health(request: Request) -> Response:
        return web.health(host)

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

    async def media(websocket: WebSocket) -> None:
        call, ticket = websocket.path_params["call"], websocket.path_params["ticket"]
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
            await web.close(websocket, _NOT_ALLOWED)
            return
        if start.call != call:
            log.warning("call %s: the stream says that it belongs to another call", call)
            await web.close(websocket, _NOT_ALLOWED)
            return
        one = PhoneCall(
            start,
            websocket,
            selection=host.selection,
            phrases=host.phrases,
            breakers=host.breakers,
            transcribers=host.transcribers,
            record_to=host.record_to,
            on_event=host.on_event,
        )
        host.hold(one)
        await one.carry(websocket, start)
        await web.close(websocket, 1000)

    return Starlette(
        routes=[
            Route("/health", health),
            Route("/voice", voice, methods=["POST"]),
            WebSocketRoute("/media/{call}/{ticket}", media),
        ]
    )


async def serve(host: Host, *, allow_unsigned: bool = False, announce: bool = True) -> None:
    """Answer the phone until a signal comes, then end in order.

    SIGTERM: no new calls, and the live ones are finished; each has its time limit. SIGINT, or a
    second signal: the live ones say goodbye.

    Args:
        host: Not loaded yet: the servers listen at once, and are ready when it is.
        allow_unsigned: Whether to believe requests that Twilio did not sign.
        announce: Whether to print where it listens, as one line of JSON on stdout.

    Raises:
        ConfigError: The configuration cannot be followed, a port is taken, or nothing proves that
            a request is Twilio's.
    """
    logging.getLogger("uvicorn.error").addFilter(_is_news)
    server = host.config.server
    audio = listen(server.host, server.port, "port")
    control = listen(server.host, server.control_port, "control_port")
    with contextlib.closing(audio), contextlib.closing(control):
        url = server.public_url.rstrip("/") or f"http://{server.host}:{audio.getsockname()[1]}"
        app = _phone_app(host, url, allow_unsigned)
        async with (
            _beside(control_app(host, asyncio.get_running_loop()), control),
            _serving(app, audio),
            _until_signal() as signals,
            lag.watched(),
        ):
            try:
                if not await _load(host, signals):
                    return
                methods.end()
                end_start()
                if announce:
                    where = {"url": url, "port": audio.getsockname()[1]}
                    ready = {**where, "control_port": control.getsockname()[1]}
                    print(json.dumps({"ready": ready}), flush=True)
                await signals.first.wait()
                await _first_of(host.drain(), signals.urgent.wait())
            finally:
                await host.close(within=_CLOSE_WITHIN)


def _phone_app(host: Host, url: str, allow_unsigned: bool) -> Starlette:
    """For calls that an owner gives, or for a telephone company that comes by itself."""
    config = host.config
    if config.twilio.auth_token is None and config.server.control_token and not allow_unsigned:
        return owned_app(host)
    return audio_app(host, _signatures(config, url, allow_unsigned), url)


async def _load(host: Host, signals: _Signals) -> bool:
    """Load, or stop loading when a signal comes."""
    loading = asyncio.create_task(host.load())
    await _first_of(asyncio.wait({loading}), signals.first.wait())
    if not loading.done():
        loading.cancel()
        return False
    loading.result()
    return True


async def _first_of(*these: Coroutine[Any, Any, Any]) -> None:
    tasks = [asyncio.create_task(one) for one in these]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


@contextlib.asynccontextmanager
async def _serving(app: Starlette, sock: socket.socket) -> AsyncIterator[None]:
    """Serve on this loop. It closes what is open at its end, so that comes after the calls'."""
    server = _Server(settings(app))
    running = asyncio.create_task(server.serve([sock]))
    try:
        yield
    finally:
        server.should_exit = True
        await running


@contextlib.asynccontextmanager
async def _beside(app: Starlette, sock: socket.socket) -> AsyncIterator[None]:
    """Serve on a loop and a thread of its own."""
    server = _Server(settings(app))
    thread = threading.Thread(
        target=lambda: asyncio.run(server.serve([sock])), name="control", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        await asyncio.to_thread(thread.join)


def _is_news(record: logging.LogRecord) -> bool:
    """Uvicorn calls it an error when a websocket is refused with a response of its own."""
    return "without completing handshake" not in record.getMessage()


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: it would close a live call's stream at once."""

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield


def settings(app: Starlette) -> uvicorn.Config:
    """How a server of this process is run."""
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,  # a path holds a ticket
        lifespan="off",
        ws=PhoneProtocol,
        ws_per_message_deflate=False,  # μ-law does not compress, and 50 messages a second cost CPU
        ws_max_size=2 * MAX_MESSAGE,
        timeout_graceful_shutdown=2,
        server_header=False,
    )


def listen(address: str, port: int, key: str) -> socket.socket:
    """A socket that listens, and whose connections send at once what they are given.

    Without that the kernel holds the end of an answer, or a frame of speech, until the peer has
    said that it got what came before, which it may put off for 40 ms. asyncio asks for it only on
    a socket that names its protocol, which one of ``create_server`` does not.

    Args:
        address: Where.
        port: Which; 0 for any that is free.
        key: The setting that names it.

    Raises:
        ConfigError: It cannot be listened on.
    """
    try:
        sock = socket.create_server((address, port), backlog=128)
    except OSError as error:
        raise ConfigError(
            f"[server] {key}",
            f"{address}:{port} cannot be listened on: {error.strerror}",
            f"stop what listens there, or set [server] {key} = 0 for any free port",
        ) from None
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # its connections inherit it
    return sock


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


class _Signals:
    """The first signal to stop, and one that does not want to wait for the calls."""

    def __init__(self) -> None:
        self.first, self.urgent = asyncio.Event(), asyncio.Event()

    def came(self, number: int) -> None:
        if self.first.is_set() or number == signal.SIGINT:
            self.urgent.set()
        self.first.set()


@contextlib.asynccontextmanager
async def _until_signal() -> AsyncIterator[_Signals]:
    signals = _Signals()
    loop = asyncio.get_running_loop()
    for one in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(one, signals.came, one)
    try:
        yield signals
    finally:
        for one in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(one)
        # It is ending in order: one more SIGTERM on the way out must not make that a failure.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


async def _form(request: Request) -> dict[str, str] | None:
    """The fields of a form, or None when it is larger than any webhook."""
    body = await web.body(request, limit=_MAX_FORM)
    if body is None:
        return None
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))


def _xml(twiml: str) -> Response:
    return Response(twiml, media_type="text/xml")
