"""What Deepgram says when it does not let us in, as sentences with their mend."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from urllib.parse import urlencode, urlsplit

DEFAULT_URL = "wss://api.deepgram.com"

quiet = logging.getLogger(f"{__name__}.wire")
"""For websockets, which writes the key and the caller's words into its debug messages."""
quiet.setLevel(logging.INFO)

TRY_AGAIN = frozenset({408, 425, 429})
"""Refusals of the 4xx kind that pass by themselves."""


class Lost(Exception):
    """The line failed in a way that may pass. Its text is a sentence without secrets."""


class Refused(Exception):
    """Deepgram will not let us in until something is changed. Its text is a sentence.

    Attributes:
        status: The HTTP status, or 0 when the refusal came over an open connection.
    """

    def __init__(self, sentence: str, status: int = 0) -> None:
        super().__init__(sentence)
        self.status = status


def socket_root(url: str) -> str:
    """Make a websocket root of what the user wrote: ``http`` becomes ``ws``, no trailing slash.

    Raises:
        ValueError: It is no ``ws``, ``wss``, ``http`` or ``https`` address.
    """
    parts = urlsplit(url)
    scheme = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}.get(parts.scheme)
    if scheme is None or not parts.hostname:
        raise ValueError(
            f"{url!r} is not an address: write it as {DEFAULT_URL} or http://127.0.0.1:8000"
        )
    return f"{scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def refusal(status: int, said: str = "", *, model: str = "", language: str = "") -> str:
    """Tell a refused handshake as a sentence with its mend.

    Args:
        status: The HTTP status.
        said: Deepgram's own words, where they are known.
        model: The model that was asked for.
        language: The language that was asked for.
    """
    words = f": {said.rstrip('.')}" if said else ""
    if status == 401:
        return f"Deepgram refused the key (401{words}). Set DEEPGRAM_API_KEY to a valid key."
    if status == 402:
        return f"The Deepgram project is out of credit (402{words}). Top it up in the console."
    if status == 403:
        return (
            f"The Deepgram project may not use the model {model!r} (403{words})."
            " Ask for access, or choose another model."
        )
    if status == 400:
        asked = f"model {model!r}" + (f" with language {language!r}" if language else "")
        unknown = "model" in said.lower() and "query" not in said.lower()
        what = f"Deepgram does not know the {asked}" if unknown else f"Deepgram refused {asked}"
        return f"{what} (400{words}). Correct the model, the language or the other settings."
    if status == 404:
        return f"There is no Deepgram at this address (404{words}). Correct the url setting."
    if status == 429:
        return (
            f"Deepgram takes no more connections just now (429{words}). Try again, or ask for a"
            " higher limit."
        )
    return f"Deepgram answered the handshake with {status}{words}."


def passes(status: int) -> bool:
    """Whether a refusal with this status may be gone at the next attempt."""
    return status in TRY_AGAIN or status >= 500 or status < 400


def ask(
    url: str, key: str, query: Mapping[str, str | list[str]], *, timeout: float = 5.0
) -> list[str]:
    """Ask the real service, over a short connection, whether it would let a call in.

    Args:
        url: The whole address without its query, for example ``wss://host/v1/listen``.
        key: The API key.
        query: The query a call would send.
        timeout: Seconds the service has to answer.

    Returns:
        One sentence a problem, each with its mend. Empty when all is well.
    """
    from websockets.exceptions import InvalidStatus, WebSocketException
    from websockets.sync.client import connect

    host = urlsplit(url).netloc
    model = query.get("model", "")
    language = query.get("language", "")
    try:
        with connect(
            f"{url}?{urlencode(query, doseq=True)}",
            additional_headers={"Authorization": f"Token {key}"},
            open_timeout=timeout,
            close_timeout=1,
            logger=quiet,
        ) as connection:
            connection.send(json.dumps({"type": "CloseStream"}))
            return []
    except InvalidStatus as refused:
        status = refused.response.status_code
        said = refused.response.headers.get("dg-error", "")
        try:
            said = json.loads(refused.response.body or b"").get("err_msg", said)
        except (ValueError, AttributeError):
            pass
        return [
            refusal(
                status,
                said,
                model=model if isinstance(model, str) else "",
                language=language if isinstance(language, str) else "",
            )
        ]
    except (OSError, WebSocketException):
        return [f"Deepgram cannot be reached at {host}. Correct the url setting, or the network."]
