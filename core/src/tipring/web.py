"""What the doors of both servers have in common."""

from __future__ import annotations

import contextlib
import hmac
from collections.abc import Mapping

from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from tipring.host import Host


def health(host: Host) -> JSONResponse:
    """Whether a call would be answered, and what was passed over on the way there."""
    problems = [{"where": one.where, "what": one.what, "fix": one.fix} for one in host.problems]
    body = {"ok": True, "ready": host.ready, "problems": problems}
    return JSONResponse(body, status_code=200 if host.ready else 503)


def refusal(status: int, error: str) -> JSONResponse:
    """A request that is not followed, and why."""
    return JSONResponse({"error": error}, status_code=status)


def unauthorized() -> JSONResponse:
    """There was no control token."""
    return refusal(401, "send the control token as a bearer")


def is_bearer(headers: Mapping[str, str], token: SecretStr | None) -> bool:
    """Whether a request carries the token. Without a token everybody does."""
    if token is None:
        return True
    given = headers.get("authorization", "")
    return hmac.compare_digest(given.encode(), f"Bearer {token.get_secret_value()}".encode())


async def body(request: Request, *, limit: int) -> bytes | None:
    """The body, or None when it has more bytes than that."""
    read = bytearray()
    async for chunk in request.stream():
        read += chunk
        if len(read) > limit:
            return None
    return bytes(read)


async def close(websocket: WebSocket, code: int) -> None:
    """Close a socket that may be closed already, by whichever side."""
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):
        await websocket.close(code)
