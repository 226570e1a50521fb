"""What the object and the host say to each other, version 1: docs/control-protocol.md."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, TypeAdapter, ValidationError

from tipring.journal import Event

VERSION = 1
MAX_BODY = 65_536
"""Bytes of a body or a message; a longer one is none of ours."""

Kill = Literal["none", "warm", "hard"]
"""How the kill switch stands: go on, say goodbye and hang up, end at once."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Number = Annotated[str, Field(max_length=64, repr=False)]


class _Message(BaseModel):
    """What came from outside: unknown fields are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Init(_Message):
    """The call that a host is given, as ``POST /init`` describes it.

    Attributes:
        call: Its name everywhere.
        caller: The number that calls, ``from`` in the body.
        to: The number that is called.
        parameters: What whoever placed the call wants the agent to know.
        ttl: Seconds the call may last.
        media_token: Opens the call's stream, more than once.
        kill_url: Where the kill switch is asked for; None when nobody wants to be asked.
    """

    version: Literal[1]
    call: Name
    direction: Literal["inbound", "outbound"]
    caller: Number = Field("", alias="from")
    to: Number = ""
    parameters: dict[
        Annotated[str, Field(min_length=1, max_length=64)], Annotated[str, Field(max_length=4096)]
    ] = Field(default_factory=dict, max_length=32, repr=False)
    ttl: float = Field(900.0, gt=0, le=14_400)
    media_token: str = Field(min_length=16, max_length=256, repr=False)
    kill_url: HttpUrl | None = None


class Hello(_Message):
    """The object's first message on the control socket.

    Attributes:
        call: Whose events it wants.
        after: The highest ``seq`` it has.
        kill: How the switch stands.
    """

    type: Literal["hello"]
    version: int
    call: Name
    after: int = Field(0, ge=0)
    kill: Kill = "none"


class Push(_Message):
    """The switch was set."""

    type: Literal["kill"]
    kill: Kill


class Answer(_Message):
    """What ``kill_url`` answers."""

    kill: Kill


_IN: TypeAdapter[Hello | Push] = TypeAdapter(Annotated[Hello | Push, Field(discriminator="type")])


def read(text: str) -> Hello | Push | None:
    """Read a message from the control socket; None for one that is not known here."""
    if len(text) > MAX_BODY:
        return None
    try:
        return _IN.validate_json(text)
    except ValidationError:
        return None


def mistakes(error: ValidationError) -> str:
    """What is wrong with a body, without its values: they are private."""
    told = [f"{'.'.join(map(str, one['loc'])) or 'body'}: {one['msg']}" for one in error.errors()]
    return "; ".join(told[:5])


def hello() -> str:
    """The host's answer to the object's hello."""
    return json.dumps({"type": "hello", "version": VERSION})


def event_message(seq: int, event: Event) -> str:
    """One event as it goes out. Too large a detail is left out, and that it was is told."""
    told: dict[str, Any] = {"type": "event", "seq": seq, "name": event.name}
    told["at"] = round(event.at, 3)
    text = json.dumps({**told, "detail": dict(event.detail)}, default=str, ensure_ascii=False)
    if len(text.encode()) <= MAX_BODY:
        return text
    return json.dumps({**told, "detail": {"left_out": len(text)}})
