"""Deepgram Flux, ``/v2/listen``: a transcriber that says when a turn is over.

Sources: Deepgram's Flux quickstart, its pages on the state machine, on configuring the end of turn,
on Configure and on closing.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request

from tests.emulators.deepgram import (
    NO_SUCH_MODEL,
    WRONG_KEY,
    authorized,
    wrong_query,
)
from tests.emulators.hearing import FRAME, Heard, Script, Speech
from tests.emulators.socket import Emulator, Refusal, Scenario, Session, query_of

UPDATE_EVERY = 0.25
"""Seconds of audio between updates."""

MODELS = {"flux-general-en", "flux-general-multi"}
_ENCODINGS = {"linear16", "linear32", "mulaw", "alaw", "opus", "ogg-opus"}
_RATES = {"8000", "16000", "24000", "44100", "48000"}


@dataclass(frozen=True, kw_only=True)
class FluxScenario(Scenario):
    """One connection to Flux.

    Attributes:
        connected: Whether the connection is ever confirmed.
        end_after: Seconds of silence after which the turn ends.
        eager_after: Seconds of silence after which its end is predicted, when that was asked for.
        sure: False: the model never gets sure, and turns end by ``eot_timeout_ms``.
        endless: Turns begin and are transcribed, and never end.
        configure: How Configure is answered: ``success``, ``failure`` or ``none``.
    """

    connected: bool = True
    end_after: float = 0.6
    eager_after: float = 0.3
    sure: bool = True
    endless: bool = False
    configure: str = "success"


class FluxEmulator(Emulator[FluxScenario]):
    """Flux on a port of this machine.

    Args:
        speech: What is heard; a list of utterances is a :class:`~tests.emulators.hearing.Script`.
        script: One scenario a connection.
        key: The only key that is let in.
    """

    def __init__(
        self,
        speech: Speech | Sequence[str] = (),
        script: Sequence[FluxScenario] = (),
        *,
        otherwise: FluxScenario | None = None,
        key: str = "dg-key",
        scale: float = 1.0,
    ) -> None:
        super().__init__(script, otherwise or FluxScenario(), scale=scale)
        self.speech = Script(speech) if isinstance(speech, Sequence) else speech
        self.key = key

    def check(self, request: Request) -> Refusal | None:
        """Path, key and query, in the order in which Deepgram looks at them."""
        if urlsplit(request.path).path != "/v2/listen":
            return Refusal(status=404, body="Not Found")
        if not authorized(request, self.key):
            return WRONG_KEY
        query = query_of(request)
        for name, values in query.items():
            for value in values:
                if wrong := _wrong(name, value):
                    return wrong_query(wrong)
        if query.get("model", [""])[0] not in MODELS:
            return NO_SUCH_MODEL
        if "language_hint" in query and query["model"][0] != "flux-general-multi":
            return wrong_query("language_hint is for flux-general-multi only")
        if len(query.get("keyterm", [])) > 100:
            return wrong_query("more than 100 keyterms")
        eager = float(query.get("eager_eot_threshold", ["0"])[0])
        if eager > float(query.get("eot_threshold", ["0.7"])[0]):
            return wrong_query("eager_eot_threshold is above eot_threshold")
        if "encoding" in query and "sample_rate" not in query:
            return wrong_query("sample_rate is required with encoding")
        return None

    def session(
        self, connection: ServerConnection, number: int, how: FluxScenario
    ) -> Session[FluxScenario]:
        return _FluxSession(self, connection, number, how)

    async def talk(self, session: Session[FluxScenario]) -> None:
        assert isinstance(session, _FluxSession)
        await session.run()


def _within(value: str, low: float, high: float) -> bool:
    try:
        return low <= float(value) <= high
    except ValueError:
        return False


def _wrong(name: str, value: str) -> str:
    """What is wrong with a query value, in a word; empty when nothing is."""
    fine = {
        "model": lambda: True,
        "encoding": lambda: value in _ENCODINGS,
        "sample_rate": lambda: value in _RATES,
        "eot_threshold": lambda: _within(value, 0.5, 0.9),
        "eager_eot_threshold": lambda: _within(value, 0.3, 0.9),
        "eot_timeout_ms": lambda: value.isdigit() and _within(value, 500, 10000),
        "keyterm": lambda: bool(value),
        "language_hint": lambda: bool(value),
        "tag": lambda: True,
        "redact": lambda: value in ("numbers", "aggressive_numbers"),
        "numerals": lambda: value in ("true", "false"),
        "profanity_filter": lambda: value in ("true", "false"),
        "mip_opt_out": lambda: value in ("true", "false"),
    }.get(name)
    if fine is None:
        return f"unknown parameter {name}"
    return "" if fine() else f"{name}={value}"


class _FluxSession(Session[FluxScenario]):
    def __init__(
        self, emulator: FluxEmulator, connection: ServerConnection, number: int, how: FluxScenario
    ) -> None:
        super().__init__(emulator, connection, number, how)
        self.request_id = str(uuid.uuid4())
        self.sequence = 0
        self.rate = int(self._first("sample_rate", "16000"))
        self.eot = float(self._first("eot_threshold", "0.7"))
        eager = self._first("eager_eot_threshold", "")
        self.eager = float(eager) if eager else None
        self.timeout = int(self._first("eot_timeout_ms", "5000")) / 1000
        self.keyterms = self.query.get("keyterm", [])
        self.ears = emulator.speech.listener(self.rate)
        self.unheard = bytearray()
        self.position = 0.0
        self.turn = 0
        self.begin = 0.0
        self.words: list[Heard] = []
        self.due = UPDATE_EVERY
        self.voiced = 0.0
        self.open = False
        self.predicted = False

    def _first(self, name: str, default: str) -> str:
        return self.query.get(name, [default])[0]

    async def run(self) -> None:
        """Read until the client closes or vanishes."""
        if self.how.connected:
            await self.tell("Connected", {})
        try:
            async for message in self.connection:
                if isinstance(message, str):
                    await self.command(message)
                else:
                    await self.listen(message)
        finally:
            if self.how.endless and self.open and self.position - self.voiced >= 1.0:
                # A client that waited for so long has ended the turn itself, with these words.
                self.ears.delivered(len(self.words))

    async def tell(self, kind: str, fields: dict[str, Any], *, label: str = "") -> bool:
        message = {"type": kind, "request_id": self.request_id, "sequence_id": self.sequence}
        if kind == "Error":
            del message["request_id"]
        self.sequence += 1
        return await self.say(label or kind, message | fields)

    async def error(self, code: str, description: str) -> None:
        """Say what is wrong, and close: every error of Flux is fatal."""
        await self.tell("Error", {"code": code, "description": description})
        await self.close(1008 if code == "UNPARSABLE_CLIENT_MESSAGE" else 1011, code)

    async def command(self, raw: str) -> None:
        try:
            message = json.loads(raw)
        except ValueError:
            message = None
        kind = message.get("type") if isinstance(message, dict) else None
        self.note("in", str(kind), message if kind else raw)
        if kind == "CloseStream":
            await self.close(1000)
        elif kind == "Configure":
            await self.configure(message)
        else:
            await self.error(
                "UNPARSABLE_CLIENT_MESSAGE", "The text message matches no known message type."
            )

    async def configure(self, message: dict[str, Any]) -> None:
        if self.how.configure == "none":
            return
        thresholds = message.get("thresholds") or {}
        refused = self.how.configure == "failure" or (
            "eot_threshold" in thresholds and not 0.5 <= thresholds["eot_threshold"] <= 0.9
        )
        if refused:
            await self.tell(
                "ConfigureFailure",
                {"code": "INVALID_THRESHOLD", "description": "A threshold is out of its range."},
            )
            return
        self.eot = thresholds.get("eot_threshold", self.eot)
        self.eager = thresholds.get("eager_eot_threshold", self.eager)
        self.timeout = thresholds.get("eot_timeout_ms", self.timeout * 1000) / 1000
        self.keyterms = message.get("keyterms", self.keyterms)
        await self.tell(
            "ConfigureSuccess",
            {
                "thresholds": {
                    "eot_threshold": self.eot,
                    "eot_timeout_ms": int(self.timeout * 1000),
                },
                "keyterms": self.keyterms,
                "language_hints": message.get("language_hints", []),
            },
        )

    async def listen(self, audio: bytes) -> None:
        self.note("in", "audio", len(audio))
        if not audio:
            await self.error("INVALID_AUDIO", "An empty audio message cannot be decoded.")
        self.audio += audio
        self.unheard += audio
        size = 2 * int(self.rate * FRAME)
        while len(self.unheard) >= size:
            frame = bytes(self.unheard[:size])
            del self.unheard[:size]
            await self.frame(frame)

    async def frame(self, pcm: bytes) -> None:
        voice, words = self.ears.frame(pcm, self.position)
        self.position = round(self.position + FRAME, 6)
        self.words += words
        if voice:
            self.voiced = self.position
        if self.words and not self.open:
            self.open = True
            await self.turn_info("StartOfTurn", 0.05)
        elif self.open:
            await self.go_on(voice or bool(words))
        if self.position >= self.due:
            self.due += UPDATE_EVERY
            await self.turn_info("Update", 0.1 if self.open else 0.0)
        await self.heard(self.position)

    async def go_on(self, more: bool) -> None:
        """Decide, from the silence since the last voice, what the turn has come to."""
        quiet = self.position - self.voiced
        if self.predicted and more:
            self.predicted = False
            await self.turn_info("TurnResumed", 0.1)
        if self.how.endless:
            return
        if (
            self.eager is not None
            and self.how.sure
            and not self.predicted
            and quiet >= self.how.eager_after
        ):
            self.predicted = True
            await self.turn_info("EagerEndOfTurn", self.eager)
        if self.how.sure and quiet >= self.how.end_after:
            await self.end(max(self.eot, 0.8), "model")
        elif quiet >= self.timeout:
            await self.end(0.3, "timeout")

    async def end(self, confidence: float, trigger: str) -> None:
        if await self.turn_info("EndOfTurn", confidence, trigger=trigger):
            self.ears.delivered(len(self.words))
        self.words.clear()
        self.open = self.predicted = False
        self.begin = self.position
        self.turn += 1

    async def turn_info(self, event: str, confidence: float, **more: Any) -> bool:
        return await self.tell(
            "TurnInfo",
            {
                "event": event,
                "turn_index": self.turn,
                "audio_window_start": round(self.begin, 3),
                "audio_window_end": round(self.position, 3),
                "transcript": " ".join(w.text for w in self.words),
                "words": [{"word": w.text, "confidence": 0.97} for w in self.words],
                "end_of_turn_confidence": confidence,
            }
            | more,
            label=event,
        )
