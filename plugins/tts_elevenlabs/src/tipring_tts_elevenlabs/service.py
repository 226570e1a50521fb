"""Pipecat's ElevenLabs service, made to keep its word when the socket does not.

What is added to ``ElevenLabsTTSService``:

* error frames are read, and reported as sentences;
* a dropped socket costs at most the rest of one sentence: what had not begun to sound is said
  again, once, on the next socket; what was cut in the middle is not, and the next one follows;
* only what was heard reaches the context;
* a sentence that brings no audio within ``patience`` is an error the host can act on;
* handshakes are retried when a moment may mend them (429, 5xx, network), and only then.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from pipecat.frames.frames import (
    AggregatedTextFrame,
    ControlFrame,
    StartFrame,
    TTSStoppedFrame,
)
from pipecat.processors.frame_processor import FrameProcessorSetup
from pipecat.services.elevenlabs.tts import ElevenLabsTTSService
from pipecat.services.tts_service import TextAggregationMode
from pipecat.services.websocket_service import _BoundedConnection
from pipecat.utils.errors import ErrorCategory
from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay, wait_random_exponential
from tipring.providers import Call
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus
from websockets.protocol import State

from tipring_tts_elevenlabs.errors import Refusal, explain, status_of
from tipring_tts_elevenlabs.ledger import Ledger, Sentence
from tipring_tts_elevenlabs.settings import ElevenLabsSettings

log = logging.getLogger(__name__)

# Silent contexts in a row after which the voice is taken for dead; Pipecat's own number.
_SILENT_CONTEXTS = 3


@dataclass
class _Cut(ControlFrame):
    """Stands in a context's audio where a sentence breaks off."""

    sentence: Sentence | None = None


class _Overheard(_BoundedConnection):
    """A socket whose messages are seen before Pipecat reads them, because it skips errors."""

    def __init__(
        self, *args: Any, overhear: Callable[[str | bytes], Awaitable[None]], **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._overhear = overhear

    async def recv(self, decode: bool | None = None) -> Any:
        message = await super().recv(decode)
        await self._overhear(message)
        return message


class SteadyElevenLabs(ElevenLabsTTSService):
    """The voice of one call.

    Args:
        settings: Which voice, and where.
        call: Its language and rate.
    """

    def __init__(self, settings: ElevenLabsSettings, call: Call) -> None:
        super().__init__(
            api_key=settings.api_key.get_secret_value(),
            url=settings.url,
            sample_rate=call.audio_out_rate,
            # Whole sentences go out, so ElevenLabs need not wait for more.
            auto_mode=True,
            text_aggregation_mode=TextAggregationMode.SENTENCE,
            # Keeps the last word of a sentence apart from the first of the next.
            append_trailing_space=True,
            stop_frame_timeout_s=settings.patience,
            settings=self.Settings(
                voice=settings.voice,
                model=settings.model,
                language=call.language.split("-")[0].lower(),
                stability=settings.stability,
                similarity_boost=settings.similarity,
                speed=settings.speed,
            ),
        )
        # A context that goes quiet must tell the pipeline that the agent has stopped.
        self._push_stop_frames = True
        self._reconnect_backoff_min_wait, self._reconnect_backoff_max_wait = 0.25, 2.0
        self._chosen = settings
        self._ledgers: dict[str, Ledger] = {}
        self._connecting = asyncio.Lock()
        self._opening: asyncio.Task[None] | None = None
        self._opened = asyncio.Event()
        self._set_up = False

    # ── the socket ──────────────────────────────────────────────────────────────────────────────

    async def setup(self, setup: FrameProcessorSetup) -> None:  # type: ignore[override]
        """Get ready. The socket is opened when the pipeline starts, so that nobody waits for it."""
        await super().setup(setup)
        self._set_up = True

    async def start(self, frame: StartFrame) -> None:
        """Start, and open the socket on the side."""
        await super().start(frame)
        self._opening = self.create_task(self._connect(), name="connect")

    async def set_usable(self, is_usable: bool) -> None:
        """Take note; who waits for a socket that will never open need not wait any longer."""
        await super().set_usable(is_usable)
        if not is_usable:
            self._opened.set()

    async def _connect(self) -> None:
        if not self._set_up:
            return
        if not self._is_read():
            self._receive_task = None
        await super()._connect()
        if self._is_open():
            self._opened.set()

    async def _disconnect(self) -> None:
        if self._opening:
            await self.cancel_task(self._opening)
            self._opening = None
        await super()._disconnect()

    async def _connect_websocket(self) -> None:
        async with self._connecting:
            if self._is_open() or not self.is_usable:
                return
            try:
                self._websocket = await self._handshake()
                await self._call_event_handler("on_connected")
            except Exception as error:
                self._websocket = None
                await self._report(_refused(error, self._chosen))

    async def _handshake(self) -> Any:
        patience = self._chosen.patience
        async for attempt in AsyncRetrying(
            stop=stop_after_delay(patience),
            wait=wait_random_exponential(multiplier=0.1, max=1),
            retry=retry_if_exception(_passing),
            reraise=True,
        ):
            with attempt:
                return await self._websocket_connect(
                    self._build_websocket_url(),
                    max_size=16 * 1024 * 1024,
                    open_timeout=patience,
                    additional_headers={"xi-api-key": self._api_key},
                    create_connection=partial(_Overheard, overhear=self._overhear),
                )
        raise AssertionError("the retrying either returns or raises")

    async def _disconnect_websocket(self) -> None:
        self._opened.clear()
        await super()._disconnect_websocket()

    async def _ready(self) -> bool:
        """Wait until the socket is open and has caught up, as long as patience lasts."""
        if self._is_open() and self._opened.is_set():
            return True
        self._opened.clear()
        opening = self._opening and not self._opening.done()
        if not self._is_read() and not opening:
            await self._connect()
            return self._is_open()
        try:
            async with asyncio.timeout(self._chosen.patience):
                await self._opened.wait()
        except TimeoutError:
            return False
        return self._is_open()

    def _is_open(self) -> bool:
        return self._websocket is not None and self._websocket.state is State.OPEN

    def _is_read(self) -> bool:
        """Whether somebody reads the socket, and would open another one in its place."""
        task: asyncio.Task[None] | None = self._receive_task
        return task is not None and not task.done()

    async def _send(self, message: dict[str, Any]) -> None:
        """Send, or leave it: the reader of a socket that closes makes up for it."""
        if not self._is_open():
            return
        try:
            await self._get_websocket().send(json.dumps(message))
        except ConnectionClosed:
            log.debug("a message met a closed ElevenLabs socket")

    # ── speaking ────────────────────────────────────────────────────────────────────────────────

    async def _register_spoken_text(
        self, src_frame: AggregatedTextFrame, text: str, context_id: str
    ) -> None:
        await super()._register_spoken_text(src_frame, text, context_id)
        self._ledgers.setdefault(context_id, Ledger()).add(text, src_frame.id)

    async def run_tts(self, text: str, context_id: str) -> Any:
        """Send one sentence; its audio comes by the socket."""
        if not await self._ready():
            if ledger := self._ledgers.get(context_id):
                unsent = [one for one in ledger.sentences if not one.sent and not one.lost]
                ledger.lose(unsent)
                for one in unsent:
                    self._forget(one)
            if self.is_usable:
                await self._report(
                    Refusal(
                        what="ElevenLabs could not be reached in time: a sentence was not spoken.",
                        kind="connectivity",
                    )
                )
            return
        async for frame in super().run_tts(text, context_id):
            yield frame

    async def _send_context_init(self, context_id: str) -> None:
        self._context_init_sent.add(context_id)
        message = {"text": " ", "context_id": context_id}
        await self._send({**message, "voice_settings": self._voice_settings})

    async def _send_text(self, text: str, context_id: str) -> None:
        if context_id not in self._context_init_sent:
            await self._send_context_init(context_id)
        if ledger := self._ledgers.get(context_id):
            ledger.send(text)
        await self._send({"text": text, "context_id": context_id})

    async def flush_audio(self, context_id: str | None = None) -> None:
        """Have everything said that a context was given."""
        flushed = context_id or self.get_active_audio_context_id()
        if flushed in self._context_init_sent:
            await self._send({"context_id": flushed, "flush": True})

    async def _close_context(self, context_id: str) -> None:
        if ledger := self._ledgers.get(context_id):
            ledger.closed = True
        if context_id in self._context_init_sent:
            # Nothing may be sent to it any more: a keep-alive would open it again.
            self._context_init_sent.discard(context_id)
            await self._send({"context_id": context_id, "close_context": True})

    async def on_audio_context_interrupted(self, context_id: str) -> None:
        """Forget what an interrupted context still had to say."""
        self._ledgers.pop(context_id, None)
        await super().on_audio_context_interrupted(context_id)

    # ── what comes back ─────────────────────────────────────────────────────────────────────────

    async def _overhear(self, raw: str | bytes) -> None:
        """See a message before Pipecat does."""
        try:
            message = json.loads(raw)
        except ValueError:
            return  # Pipecat stumbles over it, and reconnects
        if not isinstance(message, dict):
            return
        context_id = message.get("contextId")
        if message.get("error") or message.get("code"):
            await self._told_off(message, context_id)
        ledger = self._ledgers.get(context_id) if context_id else None
        if ledger is None:
            return
        if message.get("isFinal") is True:
            ledger.final = True
        elif message.get("audio"):
            alignment = message.get("alignment") or message.get("normalizedAlignment") or {}
            now = asyncio.get_running_loop().time()
            ledger.arrived(alignment.get("chars"), now)
            if ledger.resumed:
                # Words are timed by the audio before them; the gap between two sockets was silence.
                self._cumulative_time = max(self._cumulative_time, now - ledger.began)

    async def _told_off(self, message: dict[str, Any], context_id: str | None) -> None:
        refusal = explain(message.get("error"), self._chosen)
        named = [self._ledgers[context_id]] if context_id in self._ledgers else []
        for ledger in named or list(self._ledgers.values()):
            ledger.failed = True
            ledger.told = ledger.told or refusal.lasting
        await self._report(refusal)
        if refusal.lasting:
            # No socket will do better, so nobody need wait out the silence.
            for open_id in self.get_audio_contexts():
                await self._end(open_id)

    async def _end(self, context_id: str) -> None:
        await self.append_to_audio_context(context_id, TTSStoppedFrame(context_id=context_id))
        await self.remove_audio_context(context_id)

    async def _report(self, refusal: Refusal) -> None:
        await self._call_event_handler("on_connection_error", refusal.what)
        await self.push_error(
            refusal.what,
            category=ErrorCategory(refusal.kind),
            force_treat_as_permanent=refusal.lasting,
        )

    # ── after a dropped socket ──────────────────────────────────────────────────────────────────

    async def _close_connection_contexts(self) -> None:
        """Keep the contexts of a lost socket: they go on over the next one."""
        if self._disconnecting:
            await super()._close_connection_contexts()
            return
        for context_id in self.get_audio_contexts():
            if ledger := self._ledgers.get(context_id):
                await self._cut(context_id, ledger)

    async def _reconnect_websocket(self, attempt_number: int) -> bool:
        connected = await super()._reconnect_websocket(attempt_number)
        for context_id in self.get_audio_contexts():
            if ledger := self._ledgers.get(context_id):
                await self._go_on(context_id, ledger)
        self._opened.set()
        return connected

    async def _cut(self, context_id: str, ledger: Ledger) -> None:
        lost = ledger.cut()
        if self._partial_word and not lost:
            # The last word of a sentence that was heard; the next one must not grow onto it.
            word = (self._partial_word, self._partial_word_start_time)
            await self.add_word_timestamps([word], context_id)
        self._partial_word = ""
        await self._break_off(context_id, lost)

    async def _go_on(self, context_id: str, ledger: Ledger) -> None:
        """Say again, once, what had not begun to sound."""
        waiting = ledger.unbegun()
        twice = [one for one in waiting if one.again]
        ledger.lose(twice)
        await self._break_off(context_id, twice)
        for one in waiting:
            if not one.again:
                one.again = True
                await self._send_text(one.text, context_id)
        if not ledger.closed:
            return
        if any(not one.lost and not ledger.whole(one) for one in ledger.sentences):
            await self.flush_audio(context_id)
            await self._close_context(context_id)
        else:
            await self._end(context_id)

    async def _break_off(self, context_id: str, sentences: list[Sentence]) -> None:
        """Have the rest of sentences forgotten, once the audio before has been passed on."""
        for one in sentences:
            await self.append_to_audio_context(context_id, _Cut(sentence=one))

    async def _push_audio_context_item(self, context_id: str, item: Any, playback: Any) -> None:
        if isinstance(item, _Cut):
            if item.sentence:
                self._forget(item.sentence)
            return
        await super()._push_audio_context_item(context_id, item, playback)

    # ── what the context remembers ──────────────────────────────────────────────────────────────

    async def _apply_force_complete(self, context_id: str) -> None:
        """Before Pipecat writes down the rest of every sentence: only of those that were heard."""
        if ledger := self._ledgers.get(context_id):
            for one in ledger.unsaid():
                self._forget(one)
        await super()._apply_force_complete(context_id)

    def _forget(self, sentence: Sentence) -> None:
        """Let nothing more of a sentence reach the context."""
        for slot in self._aggregated_frame_sequencer._slots:
            if slot.frame.id == sentence.frame:
                slot.complete = True

    async def _record_context_audio_outcome(self, context_id: str, received_audio: bool) -> None:
        """Tell the host of sentences that nobody heard."""
        ledger = self._ledgers.pop(context_id, Ledger())
        unsaid = len(ledger.unsaid())
        if received_audio:
            self._consecutive_zero_audio_contexts = 0
        elif self.is_usable:
            self._consecutive_zero_audio_contexts += 1
        if not unsaid or ledger.told or not self.is_usable:
            return
        dead = self._consecutive_zero_audio_contexts >= _SILENT_CONTEXTS
        sentences = "a sentence was" if unsaid == 1 else f"{unsaid} sentences were"
        await self._report(
            Refusal(
                what=f"ElevenLabs sent no audio: {sentences} not heard to the end."
                + (f" It was silent {_SILENT_CONTEXTS} times running." if dead else ""),
                kind="server",
                lasting=dead,
            )
        )


def _passing(error: BaseException) -> bool:
    """Whether a handshake that failed like this may succeed in a moment."""
    if isinstance(error, InvalidStatus):
        return error.response.status_code == 429 or error.response.status_code >= 500
    return isinstance(error, OSError | EOFError | ConnectionClosed | InvalidMessage)


def _refused(error: Exception, settings: ElevenLabsSettings) -> Refusal:
    if isinstance(error, InvalidStatus):
        try:
            word = status_of(json.loads(error.response.body or b"{}"))
        except ValueError:
            word = ""
        return explain(word, settings, status=error.response.status_code)
    return Refusal(
        what=f"ElevenLabs could not be reached at {settings.url} ({type(error).__name__}):"
        " check the network and [tts.elevenlabs] url.",
        kind="connectivity",
    )
