"""Twilio's side of the voice webhook: a signed form goes out, TwiML comes back and is read.

The verbs are those that a host answering a call needs. Twilio knows more of them; one that is
not known here is said, not skipped, so that no test passes by accident.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urljoin

from tipring.errors import TipringError


class CallFailed(TipringError):
    """The call did not come about. What Twilio would have put into its debugger stands in it.

    Args:
        where: The address that was called.
        what: A sentence.
        fix: What mends it.
        code: Twilio's number for the error; 0 when it has none.
        status: The HTTP status that came back; 0 when none did.
    """

    def __init__(
        self, where: str, what: str, fix: str = "", *, code: int = 0, status: int = 0
    ) -> None:
        super().__init__(where, what, fix)
        self.code = code
        self.status = status


@dataclass(frozen=True, kw_only=True)
class Say:
    """Twilio's own voice speaks."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Pause:
    """Nothing, for some seconds."""

    seconds: float


@dataclass(frozen=True, kw_only=True)
class Redirect:
    """Fetch other TwiML and go on with that."""

    url: str


@dataclass(frozen=True, kw_only=True)
class Hangup:
    """The call ends."""


@dataclass(frozen=True, kw_only=True)
class Reject:
    """The call is not answered."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class Connect:
    """A media stream in both directions, until the host closes it."""

    url: str
    parameters: Mapping[str, str] = field(default_factory=dict)


Verb = Say | Pause | Redirect | Hangup | Reject | Connect


def parse(twiml: str, *, url: str) -> list[Verb]:
    """Read TwiML.

    Args:
        twiml: The document.
        url: Where it came from; relative addresses in it begin there.

    Raises:
        CallFailed: 12100 when it is not XML or no ``<Response>``, 12200 for a verb or an
            attribute that cannot be.
    """
    try:
        document = ET.fromstring(twiml.strip())
    except ET.ParseError as error:
        raise CallFailed(url, f"the answer is not XML ({error})", code=12100) from None
    if document.tag != "Response":
        raise CallFailed(url, f"the answer is <{document.tag}>, not <Response>", code=12100)
    return [_verb(element, url) for element in document]


def _verb(element: ET.Element, url: str) -> Verb:
    text = " ".join("".join(element.itertext()).split())
    match element.tag:
        case "Say":
            return Say(text=text)
        case "Pause":
            return Pause(seconds=_seconds(element.get("length", "1"), url))
        case "Redirect":
            return Redirect(url=urljoin(url, text))
        case "Hangup":
            return Hangup()
        case "Reject":
            return Reject(reason=element.get("reason", "rejected"))
        case "Connect":
            return _connect(element, url)
    raise CallFailed(
        url,
        f"the emulated phone does not know <{element.tag}>",
        "it follows Say, Pause, Redirect, Hangup, Reject and Connect with a Stream",
        code=12200,
    )


def _seconds(length: str, url: str) -> float:
    try:
        return max(0.0, float(length))
    except ValueError:
        raise CallFailed(url, f"<Pause> has the length {length!r}", code=12200) from None


def _connect(element: ET.Element, url: str) -> Connect:
    stream = element.find("Stream")
    if stream is None or not stream.get("url"):
        raise CallFailed(url, "<Connect> holds no <Stream> with a url", code=12200)
    if stream.get("track", "inbound_track") != "inbound_track":
        raise CallFailed(
            url,
            f"<Connect><Stream> has the track {stream.get('track')!r}, and can only have "
            "inbound_track",
            code=31941,
        )
    parameters = {}
    for parameter in stream.findall("Parameter"):
        name, value = parameter.get("name", ""), parameter.get("value", "")
        if not name or len(name) + len(value) >= 500:
            raise CallFailed(
                url,
                f"a <Parameter> has {len(name) + len(value)} characters of name and value: it "
                "needs a name, and both together stay under 500",
                code=12200,
            )
        parameters[name] = value
    return Connect(url=str(stream.get("url")).strip(), parameters=parameters)


async def fetch(url: str, form: Mapping[str, str], *, signature: str | None) -> str:
    """POST the webhook.

    Returns:
        The TwiML.

    Raises:
        CallFailed: 11200 when nothing or anything but a 2xx came back.
    """
    import httpx

    headers = {"User-Agent": "TwilioProxy/1.1"}
    if signature is not None:
        headers["X-Twilio-Signature"] = signature
    try:
        # The proxies of the environment are for the world; 15 s is what Twilio waits.
        async with httpx.AsyncClient(trust_env=False, timeout=15) as client:
            answer = await client.post(url, data=dict(form), headers=headers)
    except httpx.HTTPError as error:
        raise CallFailed(
            url,
            f"the webhook could not be reached ({type(error).__name__})",
            "start the host, or check address and port",
            code=11200,
        ) from None
    if not answer.is_success:
        fix = "check that auth token and public address are those of the host"
        raise CallFailed(
            url,
            f"the webhook answered {answer.status_code}",
            fix if answer.status_code in (401, 403) else "",
            code=11200,
            status=answer.status_code,
        )
    return answer.text


def sign(url: str, form: Mapping[str, str], *, auth_token: str) -> str:
    """What Twilio puts into ``X-Twilio-Signature`` for this address and form."""
    from twilio.request_validator import (  # type: ignore[import-untyped, unused-ignore]
        RequestValidator,
    )

    return str(RequestValidator(auth_token).compute_signature(url, dict(form)))
