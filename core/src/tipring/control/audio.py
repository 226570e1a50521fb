"""The phone's side of a host that is given its calls: inside a container, behind an owner.

Whoever gives it a call has checked the caller, so neither webhook nor signature is known here.
"""

from __future__ import annotations

import dataclasses
import logging

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from tipring import web
from tipring.call import PhoneCall
from tipring.control.owner import Owner
from tipring.control.protocol import MAX_BODY, Init, mistakes
from tipring.host import Host, Refused
from tipring.phone.stream import NotAPhone, Start, greet

log = logging.getLogger(__name__)

# A stream that breaks comes back by way of Twilio and the owner.
STREAM_WAIT = 10.0
_NOT_ALLOWED = 1008


def owned_app(host: Host) -> Starlette:
    """``GET /health``, ``POST /init`` with the control token, and the media streams.

    Args:
        host: Holds the calls. Its configuration has a control token.
    """
    token = host.config.server.control_token

    async def health(request: Request) -> Response:
        return web.health(host)

    async def init(request: Request) -> Response:
        if not web.is_bearer(request.headers, token):
            return web.unauthorized()
        body = await web.body(request, limit=MAX_BODY)
        if body is None:
            return web.refusal(413, f"a call is told in {MAX_BODY} bytes")
        try:
            given = Init.model_validate_json(body)
        except ValidationError as error:
            return web.refusal(400, mistakes(error))
        try:
            host.take(given)
        except Refused as refused:
            log.warning("call %s: refused: %s", given.call, refused)
            return web.refusal(refused.status, str(refused))
        return JSONResponse({"call": given.call})

    async def media(websocket: WebSocket) -> None:
        call = websocket.path_params["call"]
        owner = host.owners.get(call)
        if refused := _refused(owner, websocket.path_params["media_token"]):
            log.warning("a stream was refused with %d", refused.status_code)
            await websocket.send_denial_response(refused)
            return
        assert owner is not None
        await websocket.accept()
        try:
            start = dataclasses.replace(await greet(websocket), call=call)
        except NotAPhone as error:
            log.warning("call %s: %s", call, error)
            await web.close(websocket, _NOT_ALLOWED)
            return
        if owner.call is None and not owner.over:
            owner.begin(_begin(host, owner, websocket, start))
        if owner.call is not None and not owner.call.over:
            await owner.call.carry(websocket, start)
        await web.close(websocket, 1000)

    return Starlette(
        routes=[
            Route("/health", health),
            Route("/init", init, methods=["POST"]),
            WebSocketRoute("/media/{call}/{media_token}", media),
        ]
    )


def _refused(owner: Owner | None, media_token: str) -> Response | None:
    if owner is None:
        return web.refusal(404, "there is no such call")
    if not owner.opens(media_token):
        return web.refusal(403, "this is not the call's media token")
    if owner.over:
        return web.refusal(410, "the call is over")
    return None


def _begin(host: Host, owner: Owner, websocket: WebSocket, start: Start) -> PhoneCall:
    call = PhoneCall(
        start,
        websocket,
        selection=host.selection,
        phrases=host.phrases,
        breakers=host.breakers,
        transcribers=host.transcribers,
        record_to=host.record_to,
        on_event=host.on_event,
        control=owner,
        ttl=owner.init.ttl,
        stream_wait=STREAM_WAIT,
        about=owner.about,
    )
    host.hold(call)
    return call
