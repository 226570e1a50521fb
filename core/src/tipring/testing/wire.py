"""Twilio Media Streams, message by message: what Twilio sends, and how it reads what it gets.

The shapes are those of Twilio's page "Media Streams - WebSocket Messages". Sequence numbers,
chunks and timestamps are JSON strings there, rates and channels are numbers.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CONNECTED: Mapping[str, Any] = {"event": "connected", "protocol": "Call", "version": "1.0.0"}
"""The first message: it has no stream and no sequence number yet."""


@dataclass(frozen=True, kw_only=True)
class Stream:
    """The names of one stream, and the messages that Twilio would send on it."""

    account_sid: str
    call_sid: str
    stream_sid: str

    def start(self, parameters: Mapping[str, str]) -> dict[str, Any]:
        """The stream begins."""
        return {
            "event": "start",
            "start": {
                "accountSid": self.account_sid,
                "streamSid": self.stream_sid,
                "callSid": self.call_sid,
                "tracks": ["inbound"],
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
                "customParameters": dict(parameters),
            },
            "streamSid": self.stream_sid,
        }

    def media(self, payload: bytes, *, chunk: int, timestamp: int) -> dict[str, Any]:
        """Some of what the caller says: mu-law bytes, spoken ``timestamp`` ms into the stream."""
        return {
            "event": "media",
            "media": {
                "track": "inbound",
                "chunk": str(chunk),
                "timestamp": str(timestamp),
                "payload": base64.b64encode(payload).decode(),
            },
            "streamSid": self.stream_sid,
        }

    def dtmf(self, digit: str) -> dict[str, Any]:
        """The caller pressed a key. The track has a suffix here, and has none in media."""
        return {
            "event": "dtmf",
            "streamSid": self.stream_sid,
            "dtmf": {"track": "inbound_track", "digit": digit},
        }

    def mark(self, name: str) -> dict[str, Any]:
        """A mark comes back."""
        return {"event": "mark", "streamSid": self.stream_sid, "mark": {"name": name}}

    def stop(self) -> dict[str, Any]:
        """The call is over."""
        return {
            "event": "stop",
            "stop": {"accountSid": self.account_sid, "callSid": self.call_sid},
            "streamSid": self.stream_sid,
        }


@dataclass(frozen=True, kw_only=True)
class Media:
    """Mu-law to play."""

    payload: bytes


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A name to send back once what came before it was played."""

    name: str


@dataclass(frozen=True, kw_only=True)
class Clear:
    """Drop what was not played."""


class Unreadable(Exception):
    """Twilio would put this into its debugger, and ignore the message.

    Args:
        code: Twilio's number for it.
        what: A sentence.
    """

    def __init__(self, code: int, what: str) -> None:
        super().__init__(code, what)
        self.code = code
        self.what = what


_FIELDS = {"media": {"payload"}, "mark": {"name"}, "clear": None}


def read(raw: str | bytes, *, stream_sid: str) -> Media | Mark | Clear:
    """Read one message of the agent, as strictly as Twilio says that it does.

    Raises:
        Unreadable: 31950 for a binary frame; 31951 for what is not JSON, an unknown event, a
            missing or an additional field, a wrong stream, or a payload that is not base64.
    """
    if isinstance(raw, bytes):
        raise Unreadable(31950, "a binary frame came, and only text frames are read")
    try:
        message = json.loads(raw)
    except (ValueError, RecursionError):
        raise Unreadable(31951, "a message is not JSON") from None
    if not isinstance(message, dict):
        raise Unreadable(31951, "a message is not a JSON object")
    event = message.get("event")
    if not isinstance(event, str) or event not in _FIELDS:
        raise Unreadable(31951, f"the event {event!r} is unknown: media, mark or clear is expected")
    inner = _FIELDS[event]
    _exactly(message, {"event", "streamSid"} | ({event} if inner else set()), f"a {event} message")
    if message["streamSid"] != stream_sid:
        raise Unreadable(31951, f"a {event} message names a stream that is not this call's")
    if not inner:
        return Clear()
    body = message[event]
    if not isinstance(body, dict):
        raise Unreadable(31951, f'"{event}" in a {event} message is not an object')
    _exactly(body, inner, f'"{event}" in a {event} message')
    value = body[next(iter(inner))]
    if not isinstance(value, str):
        raise Unreadable(31951, f"the {next(iter(inner))} of a {event} message is not a string")
    if event == "mark":
        return Mark(name=value)
    try:
        return Media(payload=base64.b64decode(value, validate=True))
    except (binascii.Error, ValueError):
        raise Unreadable(31951, "the payload of a media message is not base64") from None


def _exactly(fields: Mapping[str, Any], expected: set[str], where: str) -> None:
    for name in sorted(expected - fields.keys()):
        raise Unreadable(31951, f"{where} has no {name}")
    for name in sorted(fields.keys() - expected):
        raise Unreadable(31951, f"{where} has a field that does not belong there: {name}")
