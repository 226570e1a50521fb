"""What went wrong with a request, in a sentence that quotes neither the request nor a key.

The SDKs' exceptions can hold the whole body of an answer, and that can hold the conversation. Only
statuses and the provider's own codes are told.
"""

from __future__ import annotations

import json
import re
from typing import Any

import httpx2

_GATEWAY_CODES = {
    2001: "there is no such gateway in this account",
    2009: "the gateway refused the token",
    2021: "the gateway's account has no credit",
    10000: "Cloudflare refused the token",
}
_STATUSES = {
    400: "the request was refused",
    401: "the key was refused",
    402: "the account has no credit",
    403: "the key may not do this",
    404: "there is no such model or path",
    408: "the provider took too long",
    413: "the request is too large",
    429: "too many requests",
    529: "the provider is overloaded",
}
_NO_SUCH_MODEL = {"5007", "model_not_found"}
_WORD = re.compile(r"[A-Za-z0-9_.-]{1,40}")


def explained(error: Exception, *, sdk: Any, host: str) -> str | None:
    """Tell an exception of an SDK, or give None when it is not one that is known.

    Args:
        error: What the SDK raised.
        sdk: The module ``anthropic`` or ``openai``; both name their exceptions alike.
        host: Who was asked, for failures to connect.
    """
    if isinstance(error, (sdk.APITimeoutError, httpx2.TimeoutException)):
        return f"{host} did not answer in time"
    if isinstance(error, sdk.APIConnectionError):
        return f"the connection to {host} failed"
    if isinstance(error, httpx2.HTTPError):
        return f"the connection to {host} broke"
    if isinstance(error, json.JSONDecodeError):
        return "a piece of the stream is not JSON"
    if not isinstance(error, sdk.APIError):
        return None
    codes = codes_of(error.body)
    status = getattr(error, "status_code", 200)
    if status == 200:
        return f"the provider gave up in the middle{_told(codes)}"
    return f"HTTP {status}{_told(codes)}: {meaning(status, codes)}"


def meaning(status: int, codes: frozenset[str]) -> str:
    """What a refusal means.

    Args:
        status: The HTTP status.
        codes: The codes found in its body.
    """
    for code, told in _GATEWAY_CODES.items():
        if str(code) in codes:
            return told
    if codes & _NO_SUCH_MODEL:
        return "there is no such model"
    return _STATUSES.get(status, "the provider failed" if status >= 500 else "it was refused")


def codes_of(body: Any) -> frozenset[str]:
    """The codes and types in an error's body, whoever's shape it has.

    Args:
        body: What an SDK made of it: a dict, a list, or the inside of either.
    """
    found: set[str] = set()
    if isinstance(body, list):
        for each in body:
            found |= codes_of(each)
    elif isinstance(body, dict):
        for key in ("code", "type", "internalCode"):
            value = body.get(key)
            if isinstance(value, (str, int)) and value != "error" and _WORD.fullmatch(str(value)):
                found.add(str(value))
        for key in ("error", "errors"):
            found |= codes_of(body.get(key))
    return frozenset(found)


def _told(codes: frozenset[str]) -> str:
    return f" ({', '.join(sorted(codes))})" if codes else ""
