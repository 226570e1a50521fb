"""Pipecat's ElevenLabs service, made to keep its word when the socket does not.

What is added to ``ElevenLabsTTSService``:

* error frames are read, and reported as sentences;
* a dropped socket costs no word: the next one goes on, once, from the word in which it dropped;
* nothing is said with a gap before it: behind a sentence that was given up, the host goes on;
* only what was heard reaches the context;
* a sentence that brings no audio within ``patience`` is an error the host can act on;
* handshakes are retried when a moment may mend them (429, 5xx, network), and only then.
"""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import dataclass
from typing import Any

from pipecat.frames.frames import (
    AggregatedTextFrame,
    ControlFrame,
    ErrorFrame,
    TTSStoppedFrame,
)
from tipring.providers import Call

from tipring_tts_elevenlabs.errors import Refusal, explain
from tipring_tts_elevenlabs.ledger import Ledger, Sentence
from tipring_tts_elevenlabs.line import Line
from tipring_tts_elevenlabs.settings import ElevenLabsSettings

log = logging.getLogger(__name__)

# Silent contexts in a row after which the voice is taken for dead; Pipecat's own number.
_SILENT_CONTEXTS = 3


@dataclass
class _Cut(ControlFrame):
    """Stands in a context's audio where a sentence breaks off."""

    sentence: Sentence | None = None


class SteadyElevenLabs(Line):
    """The voice of one call.

    Args:
        settings: Which voice, and where.
        call: Its language and rate.
    """

    def __init__(self, settings: ElevenLabsSettings, call: Call) -> None:
        super().__init__(settings, call)
        self._ledgers: dict[str, Ledger] = {}

    # ── speaking ────────────────────────────────────────────────────────────────────────────────

    async def _register_spoken_text(
        self, src_frame: AggregatedTextFrame, text: str, context_id: str
    ) -> None:
        await super()._register_spoken_text(src_frame, text, context_id)
        self._ledgers.setdefault(context_id, Ledger()).add(text, src_frame.id)

    async def run_tts(self, text: str, context_id: str) -> Any:
        """Send one sentence; its audio comes by the socket."""
        ledger = self._ledgers.setdefault(context_id, Ledger())
        if ledger.broken or not await self._ready():
            await self._give_up(context_id, ledger)
            if self.is_usable and not ledger.told:
                ledger.told = True
                await self._report(
                    Refusal(
                        what="ElevenLabs could not be reached in time: a sentence was not spoken",
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
            if ledger.broken:
                await self._end(context_id)
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

    async def _report_error(
        self, error: ErrorFrame, force_treat_as_permanent: bool = False
    ) -> None:
        """Pipecat's own word on sockets: each failure was already told, its giving up was not."""
        if not force_treat_as_permanent:
            log.debug("Pipecat could not replace a dropped ElevenLabs socket yet")
            return
        await self._report(
            Refusal(
                what="ElevenLabs dropped one socket after the other: its voice is given up for"
                " this call",
                kind="connectivity",
                lasting=True,
            )
        )
        for open_id in self.get_audio_contexts():
            await self._end(open_id)

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
        again = ledger.cut()
        if self._partial_word and not again:
            # A word that was heard whole; the next one must not grow onto it.
            word = (self._partial_word, self._partial_word_start_time)
            await self.add_word_timestamps([word], context_id)
        self._partial_word = ""

    async def _go_on(self, context_id: str, ledger: Ledger) -> None:
        """Say, once more, what is missing."""
        missing = ledger.missing()
        if ledger.broken or any(one.again for one in missing):
            await self._give_up(context_id, ledger)
            return
        for one in missing:
            one.again = True
            await self._send_text(one.rest(ledger.heard), context_id)
        if not ledger.closed:
            return
        if missing:
            await self.flush_audio(context_id)
            await self._close_context(context_id)
        else:
            await self._end(context_id)

    async def _give_up(self, context_id: str, ledger: Ledger) -> None:
        """Have the rest forgotten, once the audio before it has been passed on."""
        for one in ledger.give_up():
            await self.append_to_audio_context(context_id, _Cut(sentence=one))
        if ledger.closed:
            await self._end(context_id)

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

    def _drop(self) -> None:
        """Have the socket replaced, as after any other loss."""
        if self._websocket is not None and self._is_open():
            self._opened.clear()
            self._websocket.transport.abort()

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
        quiet = not ledger.failed and not ledger.broken
        if not dead and quiet and set(self.get_audio_contexts()) <= {context_id}:
            # A socket that has gone quiet is not waited for again.
            self._drop()
        sentences = "a sentence was" if unsaid == 1 else f"{unsaid} sentences were"
        await self._report(
            Refusal(
                what=f"ElevenLabs sent no audio: {sentences} not heard to the end"
                + (f". It was silent {_SILENT_CONTEXTS} times running" if dead else ""),
                kind="server",
                lasting=dead,
            )
        )
