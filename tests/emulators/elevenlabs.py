"""ElevenLabs as a client meets it: the multi-context socket, and the HTTP calls beside it.

The voice is a quiet tone, 60 ms a character, with an alignment that says which character sounds
when. It refuses what ElevenLabs refuses: a key, a voice, a query or a message it does not know, a
context that does not begin with a single space, and a sixth context.
"""

from __future__ import annotations

import asyncio
import base64
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlsplit

import numpy as np
from aiohttp import web
from websockets.http11 import Request

from tests.emulators.socket import Emulator, Over, Refusal, Scenario, Session, query_of

KEY = "el-key"
VOICE = "voice-1"
MODELS = {"eleven_flash_v2_5": True, "eleven_multilingual_v2": True, "eleven_english_sts_v2": False}
"""The models there are, and whether they speak text."""

CHARACTER_MS = 60
CHUNK = 16
"""Characters of text in one chunk of audio."""
MOST_CONTEXTS = 5
INPUT_TIMEOUT = 20.0

ERRORS = {
    "quota_exceeded": "This request exceeds your quota of 10000. You have 3 credits remaining, "
    "while 42 credits are required for this request.",
    "input_timeout_exceeded": "Have not received a new text input within the timeout of 20 seconds."
    " Streaming input terminated.",
    "max_active_conversations": "Maximum simultaneous contexts per WebSocket connection exceeded "
    "(5). Please close an existing context before opening a new one.",
    "voice_id_does_not_exist": "A voice with this voice_id does not exist.",
    "invalid_message": "The message could not be read.",
    "voice_settings_changed": "voice_settings field must be provided in the first message and then "
    "either be not provided or not change.",
}
_QUERY = {
    "model_id",
    "language_code",
    "enable_logging",
    "enable_ssml_parsing",
    "output_format",
    "inactivity_timeout",
    "sync_alignment",
    "auto_mode",
    "apply_text_normalization",
    "seed",
}
_FIELDS = {"text", "context_id", "voice_settings", "flush", "close_context", "close_socket"}


@dataclass(frozen=True, kw_only=True)
class Speech(Scenario):
    """How one connection speaks.

    Attributes:
        error: The error frame that is sent, followed by a close with 1008.
        error_after: After how many chunks of audio it is sent; 0: instead of the first.
        scold: An error frame for the first text, and nothing else happens.
        silent: It takes text and says nothing.
        final: Whether the end of a context is told.
        late: After a context was closed in the middle, audio for it still comes.
        pace: Seconds that a second of audio takes to arrive; 0: it is there at once.
        odd: Chunks are cut in the middle of a sample.
        aligned: Whether audio comes with its alignment.
    """

    error: str = ""
    error_after: int = 0
    scold: str = ""
    silent: bool = False
    final: bool = True
    late: bool = False
    pace: float = 0.0
    odd: bool = False
    aligned: bool = True


@dataclass
class _Context:
    """One voice context of a socket: what it was told, in order."""

    voice_settings: Any
    orders: asyncio.Queue[tuple[str, str]] = field(default_factory=asyncio.Queue)
    buffered: str = ""
    flushed: bool = False
    dropped: bool = False
    task: asyncio.Task[None] | None = None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """How one HTTP request is answered, when it is not answered well."""

    status: int
    detail: Any = field(default_factory=lambda: {"status": "system_busy", "message": "Try again."})
    reset: bool = False


class ElevenLabs(Emulator[Speech]):
    """The socket at ``url`` and the HTTP calls at ``base_url``.

    Args:
        script: One :class:`Speech` a connection.
        answers: What goes wrong over HTTP, by route (``speech``, ``voice``, ``models``, ``user``),
            one a request, in order.
        held: Texts whose phrases are answered over HTTP only once their event is set.
        otherwise: How every connection after the script speaks.
        sound: Makes the sound of a text at a rate: PCM16, 60 ms a character.
        scale: By what ElevenLabs' own time limits are multiplied.
    """

    def __init__(
        self,
        *script: Speech,
        answers: Mapping[str, Sequence[Answer]] | None = None,
        held: Mapping[str, asyncio.Event] | None = None,
        otherwise: Speech | None = None,
        sound: Callable[[str, int], bytes] | None = None,
        scale: float = 1.0,
    ) -> None:
        super().__init__(script, otherwise or Speech(), scale=scale)
        self.sound = sound or tone
        self.answers = {route: list(given) for route, given in (answers or {}).items()}
        self.held = dict(held or {})
        self._runner: web.AppRunner | None = None
        self.base_url = ""

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        app = web.Application()
        app.router.add_post("/v1/text-to-speech/{voice}/stream", self._speech)
        app.router.add_get("/v1/voices/{voice}", self._voice)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/v1/user", self._user)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.base_url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()
        await super().__aexit__(*error)

    def texts(self, connection: int | None = None) -> list[str]:
        """What it was asked to say over the socket, in order."""
        return [line.payload["text"].strip() for line in self.said("text", connection=connection)]

    # ── the socket ──────────────────────────────────────────────────────────────────────────────

    def check(self, request: Request) -> Refusal | None:
        if request.headers.get("xi-api-key") != KEY:
            return Refusal(status=401, body=_detail("invalid_api_key", "Invalid API key"))
        if unknown := set(query_of(request)) - _QUERY:
            return Refusal(status=422, body=_detail("unknown_query", ", ".join(sorted(unknown))))
        path = urlsplit(request.path).path
        if not path.endswith("/multi-stream-input"):
            return Refusal(status=404, body=_detail("not_found", path))
        return None

    async def talk(self, session: Session[Speech]) -> None:
        contexts: dict[str, _Context] = {}
        assert session.connection.request is not None
        path = urlsplit(session.connection.request.path).path
        try:
            if path.split("/")[3] != VOICE:
                await self._fail(session, "voice_id_does_not_exist")
            if session.query["model_id"][0] not in MODELS:
                await self._fail(session, "invalid_message", "The model does not exist.")
            while True:
                try:
                    async with asyncio.timeout(INPUT_TIMEOUT * self.scale):
                        message = json.loads(await session.connection.recv())
                except TimeoutError:
                    await self._fail(session, "input_timeout_exceeded")
                if not await self._take(session, contexts, message):
                    return
        finally:
            for context in contexts.values():
                if context.task:
                    context.task.cancel()
            await asyncio.gather(
                *(c.task for c in contexts.values() if c.task), return_exceptions=True
            )

    async def _take(
        self, session: Session[Speech], contexts: dict[str, _Context], message: dict[str, Any]
    ) -> bool:
        """Do what one message says. False: the client is done."""
        if unknown := set(message) - _FIELDS:
            session.note("in", "unknown", message)
            await self._fail(session, "invalid_message", f"Unknown: {sorted(unknown)}")
        name, text = message.get("context_id"), message.get("text")
        if message.get("close_socket"):
            session.note("in", "close_socket", message)
            await session.connection.close(1000)
            return False
        if name is None:
            session.note("in", "keepalive", message)
            return True
        if message.get("close_context"):
            session.note("in", "close_context", message)
            if context := contexts.pop(name, None):
                # What was flushed is finished first; the rest is not said any more.
                context.dropped = not context.flushed
                context.orders.put_nowait(("close", ""))
            return True
        if name not in contexts:
            await self._open_context(session, contexts, name, message)
            return True
        context = contexts[name]
        if message.get("voice_settings") not in (None, context.voice_settings):
            session.note("in", "text", message)
            await self._fail(session, "voice_settings_changed")
        if text:
            # A context may be told its beginning again, unchanged.
            session.note("in", "text" if text.strip() else "init", message)
            context.buffered += text if text.strip() else ""
        else:
            session.note("in", "flush" if message.get("flush") else "keepalive", message)
        if context.buffered and (session.query["auto_mode"][0] == "true" or message.get("flush")):
            context.orders.put_nowait(("say", context.buffered))
            context.buffered = ""
        context.flushed = bool(message.get("flush"))
        return True

    async def _open_context(
        self,
        session: Session[Speech],
        contexts: dict[str, _Context],
        name: str,
        message: dict[str, Any],
    ) -> None:
        session.note("in", "init", message)
        if message.get("text") != " ":
            await self._fail(session, "invalid_message", "The first text must be a single space.")
        if len(contexts) >= MOST_CONTEXTS:
            await self._fail(session, "max_active_conversations")
        context = contexts[name] = _Context(message.get("voice_settings"))
        context.task = asyncio.create_task(self._speak(session, name, context))

    async def _speak(self, session: Session[Speech], name: str, context: _Context) -> None:
        """Say what one context is told to say."""
        how = session.how
        try:
            while True:
                order, text = await context.orders.get()
                if order == "close":
                    if how.late and context.dropped:
                        await self._audio(session, name, "too late")
                    if how.final and not how.silent:
                        await session.say("final", {"isFinal": True, "contextId": name})
                    return
                if how.scold:
                    await session.say("error", _error(how.scold))
                elif not how.silent and not context.dropped:
                    await self._audio(session, name, text, context)
        except Over:
            pass

    async def _audio(
        self, session: Session[Speech], name: str, text: str, context: _Context | None = None
    ) -> None:
        how = session.how
        rate = int(session.query["output_format"][0].removeprefix("pcm_"))
        pcm = self.sound(text, rate)
        a_character = len(pcm) // len(text)
        for at in range(0, len(text), CHUNK):
            if how.error and len(self.said("audio", connection=session.number)) >= how.error_after:
                await self._fail(session, how.error)
            part = text[at : at + CHUNK]
            begin, end = at * a_character, (at + len(part)) * a_character
            if how.odd:
                # One byte of the last sample comes with the next chunk.
                begin, end = begin - (at > 0), end - (at + CHUNK < len(text))
            message: dict[str, Any] = {
                "audio": base64.b64encode(pcm[begin:end]).decode(),
                "isFinal": False,
                "contextId": name,
            }
            if how.aligned:
                message["alignment"] = message["normalizedAlignment"] = {
                    "chars": list(part),
                    "charStartTimesMs": [n * CHARACTER_MS for n in range(len(part))],
                    "charDurationsMs": [CHARACTER_MS] * len(part),
                }
            await asyncio.sleep(len(part) * CHARACTER_MS / 1000 * how.pace)
            if context and context.dropped:
                return
            await session.say("audio", message)

    async def _fail(self, session: Session[Speech], error: str, message: str = "") -> None:
        said = _error(error, message)
        await session.say("error", said)
        await session.close(1008, said["message"][:120])

    # ── over HTTP ───────────────────────────────────────────────────────────────────────────────

    async def _meet(self, request: web.Request, route: str) -> web.StreamResponse | None:
        """Write a request down, and refuse it if that is what happens to it."""
        body = await request.json() if request.can_read_body else None
        self.note(-1, "in", route, {"query": dict(request.query), "body": body})
        if self.answers.get(route):
            answer = self.answers[route].pop(0)
            if answer.reset:
                assert request.transport is not None
                request.transport.abort()
            return web.json_response({"detail": answer.detail}, status=answer.status)
        if request.headers.get("xi-api-key") != KEY:
            return _refused(401, "invalid_api_key", "Invalid API key")
        if request.match_info.get("voice", VOICE) != VOICE:
            return _refused(400, "voice_not_found", "A voice for the voice_id was not found.")
        return None

    async def _speech(self, request: web.Request) -> web.StreamResponse:
        if refused := await self._meet(request, "speech"):
            return refused
        body = await request.json()
        if body["model_id"] not in MODELS:
            return _refused(400, "model_not_found", "A model with this id does not exist.")
        if body["text"] in self.held:
            await self.held[body["text"]].wait()
        pcm = self.sound(body["text"], int(request.query["output_format"].removeprefix("pcm_")))
        response = web.StreamResponse()
        response.content_type = "audio/pcm"
        await response.prepare(request)
        for at in range(0, len(pcm), 4095):
            await response.write(pcm[at : at + 4095])
        await response.write_eof()
        return response

    async def _voice(self, request: web.Request) -> web.StreamResponse:
        return await self._meet(request, "voice") or web.json_response(
            {"voice_id": VOICE, "name": "Ana", "category": "premade"}
        )

    async def _models(self, request: web.Request) -> web.StreamResponse:
        return await self._meet(request, "models") or web.json_response(
            [
                {"model_id": name, "name": name, "can_do_text_to_speech": speaks}
                for name, speaks in MODELS.items()
            ]
        )

    async def _user(self, request: web.Request) -> web.StreamResponse:
        return await self._meet(request, "user") or web.json_response(
            {
                "user_id": "user-1",
                "workspace_id": "workspace-1",
                "subscription": {"tier": "creator", "character_count": 12, "character_limit": 9999},
                "is_new_user": False,
                "can_use_delayed_payment_methods": False,
                "is_onboarding_completed": True,
                "is_onboarding_checklist_completed": True,
            }
        )


def tone(text: str, rate: int) -> bytes:
    """The emulated voice: PCM16 mono, 300 Hz, quiet, 60 ms a character."""
    t = np.arange(len(text) * (rate * CHARACTER_MS // 1000)) / rate
    return (900 * np.sin(2 * math.pi * 300 * t)).astype("<i2").tobytes()


def seconds(text: str) -> float:
    """How long the emulated voice takes for a text."""
    return len(text) * CHARACTER_MS / 1000


def _error(error: str, message: str = "") -> dict[str, Any]:
    return {"message": message or ERRORS[error], "error": error, "code": 1008}


def _detail(status: str, message: str) -> str:
    return json.dumps({"detail": {"status": status, "message": message}})


def _refused(code: int, status: str, message: str) -> web.Response:
    return web.json_response({"detail": {"status": status, "message": message}}, status=code)
