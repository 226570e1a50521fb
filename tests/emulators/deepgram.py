"""Deepgram's live transcription, ``/v1/listen``, as strict as the real one.

Sources: Deepgram's reference for live audio (query, messages), its guides on finalize, keep-alive
and closing, and its list of websocket errors (NET-0000, NET-0001, DATA-0000).
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request

from tests.emulators.hearing import FRAME, Heard, Script, Speech
from tests.emulators.socket import Emulator, Over, Refusal, Scenario, Session, query_of

KEEP_ALIVE_WINDOW = 10.0
"""Seconds after which a connection that hears nothing from its client is closed."""

SEGMENT = 5.0
"""Seconds of audio after which a final comes whether or not anything was said."""

_FLAGS = {
    "detect_entities",
    "diarize",
    "dictation",
    "interim_results",
    "mip_opt_out",
    "multichannel",
    "numerals",
    "profanity_filter",
    "punctuate",
    "smart_format",
    "vad_events",
}
_TEXTS = {
    "callback",
    "callback_method",
    "diarize_model",
    "extra",
    "keyterm",
    "keywords",
    "redact",
    "replace",
    "search",
    "tag",
    "version",
}
_ENCODINGS = {"linear16", "linear32", "flac", "alaw", "mulaw", "amr-nb", "amr-wb", "opus", "speex"}
MODELS = {
    "nova-3",
    "nova-3-general",
    "nova-3-medical",
    "nova-2",
    "nova-2-general",
    "nova-2-phonecall",
}
LANGUAGES = {"en", "en-US", "en-GB", "en-AU", "es", "es-419", "es-MX", "fr", "de", "pt", "multi"}


@dataclass(frozen=True, kw_only=True)
class DeepgramScenario(Scenario):
    """One connection to Deepgram.

    Attributes:
        finalize: How Finalize is answered: a final at once, nothing, after ``late`` seconds, or
            an ordinary final first and then an empty one that says ``from_finalize``.
        late: Seconds a late answer takes.
    """

    finalize: Literal["reply", "none", "late", "empty"] = "reply"
    late: float = 1.0


def refusal(status: int, code: str, message: str) -> Refusal:
    """A refused handshake in Deepgram's words."""
    request_id = str(uuid.uuid4())
    return Refusal(
        status=status,
        body=json.dumps({"err_code": code, "err_msg": message, "request_id": request_id}),
        headers={
            "dg-request-id": request_id,
            "dg-error": message,
            "Content-Type": "application/json",
        },
    )


WRONG_KEY = refusal(401, "INVALID_AUTH", "Invalid credentials.")
NO_ACCESS = refusal(
    403, "INSUFFICIENT_PERMISSIONS", "Project does not have access to the requested model."
)
NO_CREDIT = refusal(
    402,
    "ASR_PAYMENT_REQUIRED",
    "Project does not have enough credits for an ASR request and does not have an overage"
    " agreement.",
)
TOO_MANY = refusal(429, "TOO_MANY_REQUESTS", "Too many requests. Please try again later")
UNAVAILABLE = refusal(503, "SERVICE_UNAVAILABLE", "Service unavailable.")
NO_SUCH_MODEL = refusal(400, "Bad Request", "Bad Request: No such model/version combination found.")


def wrong_query(what: str) -> Refusal:
    """A query value Deepgram does not take."""
    return refusal(400, "INVALID_QUERY_PARAMETER", f"Invalid query string: {what}")


def authorized(request: Request, key: str) -> bool:
    """Whether the key is right, in the scheme Deepgram takes."""
    return request.headers.get("Authorization", "") in (f"Token {key}", f"token {key}")


class DeepgramEmulator(Emulator[DeepgramScenario]):
    """Deepgram on a port of this machine.

    Args:
        speech: What is heard; a list of utterances is a :class:`~tests.emulators.hearing.Script`.
        script: One scenario a connection.
        key: The only key that is let in.
        interim_every: Seconds of audio between interim results.
    """

    def __init__(
        self,
        speech: Speech | Sequence[str] = (),
        script: Sequence[DeepgramScenario] = (),
        *,
        otherwise: DeepgramScenario | None = None,
        key: str = "dg-key",
        interim_every: float = 1.0,
        scale: float = 1.0,
    ) -> None:
        super().__init__(script, otherwise or DeepgramScenario(), scale=scale)
        self.speech = Script(speech) if isinstance(speech, Sequence) else speech
        self.key = key
        self.interim_every = interim_every

    def check(self, request: Request) -> Refusal | None:
        """Path, key and query, in the order in which Deepgram looks at them."""
        if urlsplit(request.path).path != "/v1/listen":
            return Refusal(status=404, body="Not Found")
        if not authorized(request, self.key):
            return WRONG_KEY
        query = query_of(request)
        for name, values in query.items():
            for value in values:
                if wrong := _wrong(name, value):
                    return wrong_query(wrong)
        if query.get("model", ["base"])[0] not in MODELS:
            return NO_SUCH_MODEL
        if query.get("language", ["en"])[0] not in LANGUAGES:
            return NO_SUCH_MODEL
        if "encoding" in query and "sample_rate" not in query:
            return wrong_query("sample_rate is required with encoding")
        return None

    def session(
        self, connection: ServerConnection, number: int, how: DeepgramScenario
    ) -> Session[DeepgramScenario]:
        return _DeepgramSession(self, connection, number, how)

    async def talk(self, session: Session[DeepgramScenario]) -> None:
        assert isinstance(session, _DeepgramSession)
        await session.run(self)


def _wrong(name: str, value: str) -> str:
    """What is wrong with a query value, in a word; empty when nothing is."""
    if name in _FLAGS:
        return "" if value in ("true", "false") else f"{name}={value}"
    if name in _TEXTS or name in ("model", "language", "language_hint"):
        return ""
    if name == "encoding":
        return "" if value in _ENCODINGS else f"encoding={value}"
    if name == "endpointing":
        return "" if value == "false" or value.isdigit() else f"endpointing={value}"
    if name == "utterance_end_ms":
        return "" if value.isdigit() and int(value) >= 1000 else f"utterance_end_ms={value}"
    if name in ("channels", "sample_rate"):
        return "" if value.isdigit() and int(value) > 0 else f"{name}={value}"
    return f"unknown parameter {name}"


class _DeepgramSession(Session[DeepgramScenario]):
    def __init__(
        self,
        emulator: DeepgramEmulator,
        connection: ServerConnection,
        number: int,
        how: DeepgramScenario,
    ) -> None:
        super().__init__(emulator, connection, number, how)
        self.request_id = str(uuid.uuid4())
        self.rate = int(self._first("sample_rate", "16000"))
        self.interim = self._first("interim_results", "false") == "true"
        endpointing = self._first("endpointing", "10")
        self.endpointing = None if endpointing == "false" else int(endpointing) / 1000
        self.utterance_end = int(self._first("utterance_end_ms", "0")) / 1000
        self.model = self._first("model", "base")
        self.interim_every = emulator.interim_every
        self.ears = emulator.speech.listener(self.rate)
        self.unheard = bytearray()
        self.position = 0.0  # seconds of audio listened to
        self.begin = 0.0  # where the segment begins
        self.words: list[Heard] = []
        self.told = 0.0  # where the last message ended
        self.voiced = 0.0  # where the last voice was
        self.speaking = False
        self.ended_utterance = True
        self.later: set[asyncio.Task[None]] = set()

    def _first(self, name: str, default: str) -> str:
        return self.query.get(name, [default])[0]

    async def run(self, emulator: DeepgramEmulator) -> None:
        """Read until the client closes, vanishes or says nothing for too long."""
        try:
            while True:
                try:
                    async with asyncio.timeout(KEEP_ALIVE_WINDOW * emulator.scale):
                        message = await self.connection.recv()
                except TimeoutError:
                    await self.close(
                        1011,
                        "Deepgram did not receive audio data or a text message within the timeout"
                        " window. See https://dpgr.am/net0001",
                    )
                if isinstance(message, str):
                    await self.command(message)
                else:
                    await self.listen(message)
        finally:
            for task in self.later:
                task.cancel()

    async def command(self, raw: str) -> None:
        try:
            message = json.loads(raw)
        except ValueError:
            message = None
        kind = message.get("type") if isinstance(message, dict) else None
        self.note("in", str(kind), message if kind else raw)
        if kind == "Finalize":
            await self.finalize()
        elif kind == "CloseStream":
            if self.words:
                await self.final(speech_final=True)
            await self.say("Metadata", self.metadata())
            await self.close(1000)
        elif kind != "KeepAlive":
            await self.say(
                "Error",
                {
                    "type": "Error",
                    "variant": "SchemaError",
                    "description": "Could not deserialize last text message: unknown message type",
                    "message": raw,
                },
            )

    async def listen(self, audio: bytes) -> None:
        self.note("in", "audio", len(audio))
        if not audio or len(audio) % 2:
            await self.close(
                1008,
                "The payload cannot be decoded as audio. See https://dpgr.am/data0000",
            )
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
            if not self.speaking:
                self.speaking, self.ended_utterance = True, False
                if self._first("vad_events", "false") == "true":
                    await self.say(
                        "SpeechStarted",
                        {
                            "type": "SpeechStarted",
                            "channel": [0, 1],
                            "timestamp": round(self.position - FRAME, 3),
                        },
                    )
        quiet = self.position - self.voiced
        if self.endpointing is not None and quiet >= self.endpointing:
            ended, self.speaking = self.speaking, False
            if ended and self.words:
                await self.final(speech_final=True)
        if self.utterance_end and quiet >= self.utterance_end and not self.ended_utterance:
            self.ended_utterance = True
            await self.say(
                "UtteranceEnd",
                {"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": self.voiced},
            )
        if self.position - self.begin >= SEGMENT:
            await self.final(speech_final=False)
        if self.interim and self.position - self.told >= self.interim_every - 1e-9:
            await self.result("interim", final=False)
        await self.heard(self.position)

    async def finalize(self) -> None:
        how = self.how.finalize
        if how == "none":
            return
        if how == "late":
            task = asyncio.create_task(self._late())
            self.later.add(task)
            task.add_done_callback(self.later.discard)
            return
        if how == "empty" and self.words:
            await self.final(speech_final=False)
        await self.final(speech_final=True, from_finalize=True)

    async def _late(self) -> None:
        try:
            await asyncio.sleep(self.how.late)
            await self.final(speech_final=True, from_finalize=True)
        except Over:
            return

    async def final(self, *, speech_final: bool, from_finalize: bool = False) -> None:
        words = len(self.words)
        if await self.result(
            "final", final=True, speech_final=speech_final, from_finalize=from_finalize
        ):
            self.ears.delivered(words)
        del self.words[:words]
        self.begin = self.position

    async def result(
        self,
        label: str,
        *,
        final: bool,
        speech_final: bool = False,
        from_finalize: bool = False,
    ) -> bool:
        self.told = self.position
        return await self.say(
            label,
            {
                "type": "Results",
                "channel_index": [0, 1],
                "start": round(self.begin, 3),
                "duration": round(self.position - self.begin, 3),
                "is_final": final,
                "speech_final": speech_final,
                "from_finalize": from_finalize,
                "channel": {
                    "alternatives": [
                        {
                            "transcript": " ".join(w.text for w in self.words),
                            "confidence": 0.99 if self.words else 0.0,
                            "words": [
                                {
                                    "word": w.text.strip(".,!?").lower(),
                                    "start": round(w.start, 3),
                                    "end": round(w.end, 3),
                                    "confidence": 0.99,
                                    "punctuated_word": w.text,
                                }
                                for w in self.words
                            ],
                        }
                    ]
                },
                "metadata": {
                    "request_id": self.request_id,
                    "model_info": {
                        "name": self.model,
                        "version": "2024-12-20.0",
                        "arch": "nova-3",
                    },
                    "model_uuid": "00000000-0000-4000-8000-000000000000",
                },
            },
        )

    def metadata(self) -> dict[str, Any]:
        return {
            "type": "Metadata",
            "transaction_key": "deprecated",
            "request_id": self.request_id,
            "sha256": "0" * 64,
            "created": "2026-01-01T00:00:00.000Z",
            "duration": round(self.position, 3),
            "channels": 1,
        }
