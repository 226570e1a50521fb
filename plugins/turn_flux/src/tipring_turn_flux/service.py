"""Pipecat's Flux service on a line that is held, with a watch over turns that never end.

The stock service loses what is said while it reconnects, ends the caller's turn when the connection
breaks in the middle of it, and waits for ever for the end of a turn that Flux has forgotten. Here
the audio is kept and heard again on the next connection, so the turn goes on; and a caller who has
fallen silent gets their answer, whether or not Flux has noticed.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from pipecat.frames.frames import (
    Frame,
    ProposedUserStoppedSpeakingFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.deepgram.flux.stt import DeepgramFluxSTTService
from pipecat.services.deepgram.flux.stt_base import FluxFatalError
from pipecat.transcriptions.language import Language
from pipecat.utils.errors import ErrorCategory
from pipecat.utils.time import time_now_iso8601
from tipring.providers import Call
from tipring_deepgram.held import HeldService
from tipring_deepgram.line import Line, Socket
from tipring_deepgram.refusals import Lost, Refused, passes, quiet, refusal
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus, WebSocketException

if TYPE_CHECKING:
    from tipring_turn_flux import FluxSettings

MUTE = 2.0
"""Seconds of audio without a word from Flux, which sends an update every quarter of a second."""

LOOK_BACK = 1.0
"""Seconds of audio before "nothing is being said" that are sent again all the same."""


class _Socket:
    """A connection to Flux, as a line needs it."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def send_audio(self, audio: bytes) -> None:
        await self._connection.send(audio)

    async def send_message(self, message: Mapping[str, Any]) -> None:
        await self._connection.send(json.dumps(message))

    async def messages(self) -> AsyncIterator[Any]:
        async for message in self._connection:
            yield message

    def abort(self) -> None:
        self._connection.transport.abort()


class HeldFluxSTTService(HeldService, DeepgramFluxSTTService):
    """Hears the caller with Flux and proposes the ends of turns, through failures.

    Args:
        silence_limit: Seconds of the caller's silence after which an open turn is ended.
        **kwargs: What :class:`HeldService` and :class:`DeepgramFluxSTTService` take.
    """

    def __init__(self, *, silence_limit: float = 2.5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._silence_limit = silence_limit
        self._watching: asyncio.Task[None] | None = None
        self._turn = _OpenTurn()
        self._vad_speaking = False
        self._vad_stopped = 0.0

    @classmethod
    def for_call(cls, settings: FluxSettings, call: Call) -> HeldFluxSTTService:
        """Make the service of one call from the plugin's settings."""
        model = settings.model_for(call.language)
        hints = None
        if model == cls._MULTILINGUAL_MODEL:
            hints = [known for known in Language if known == call.language]
        return cls(
            api_key=settings.api_key.get_secret_value(),
            url=f"{settings.url}/v2/listen",
            silence_limit=settings.silence_limit,
            keep=settings.keep,
            give_up_after=settings.give_up_after,
            mip_opt_out=settings.mip_opt_out or None,
            # Whether Flux may interrupt is the host's to say; its strategies are always explicit.
            should_interrupt=False,
            enable_eager_end_of_turn=settings.eager_eot_threshold is not None,
            settings=cls.Settings(
                model=model,
                language_hints=hints,
                eot_threshold=settings.eot_threshold,
                eager_eot_threshold=settings.eager_eot_threshold,
                eot_timeout_ms=settings.eot_timeout_ms,
                keyterm=list(settings.keyterms),
            ),
        )

    # ------------------------------------------------------------------ the life of a call

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        """Take PCM16 of the caller."""
        if self._line is not None:
            self._last_stt_time = time.monotonic()
            self._last_audio_chunk_duration = len(audio) / (2 * self.sample_rate)
        async for frame in super().run_stt(audio):
            yield frame

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Note when the voice detector hears the caller fall silent."""
        if isinstance(frame, VADUserStartedSpeakingFrame):
            self._vad_speaking = True
        elif isinstance(frame, VADUserStoppedSpeakingFrame):
            self._vad_speaking = False
            self._vad_stopped = time.monotonic() - frame.stop_secs
        await super().process_frame(frame, direction)

    async def _connect(self) -> None:
        await super()._connect()
        if self._line is not None and self._watching is None:
            self._watching = self.create_task(self._watch(self._line))
            self._watchdog_task = self.create_task(self._fill_silence())

    async def _disconnect(self) -> None:
        await super()._disconnect()
        tasks = [self._watching, self._watchdog_task]
        self._watching = self._watchdog_task = None
        for task in tasks:
            if task is not None:
                await self.cancel_task(task)

    async def _give_up(self, sentence: str, category: ErrorCategory) -> None:
        """Say that nothing more will be heard here, after what was heard has been said."""
        await self._end_turn()
        await super()._give_up(sentence, category)

    # ------------------------------------------------------------------ the connection

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[Socket]:
        query = self._build_query_string()
        model = parse_qs(query)["model"][0]
        try:
            async with connect(
                f"{self._url}?{query}",
                additional_headers={"Authorization": f"Token {self._api_key}"},
                open_timeout=None,
                close_timeout=1,
                logger=quiet,
            ) as connection:
                # Flux says when it is ready; until then it has refused without a word.
                await self._heard(await connection.recv())
                if not self._connection_established_event.is_set():
                    raise Lost("Flux did not confirm the connection.")
                yield _Socket(connection)
        except InvalidStatus as refused:
            status = refused.response.status_code
            sentence = refusal(status, refused.response.headers.get("dg-error", ""), model=model)
            raise (Lost(sentence) if passes(status) else Refused(sentence, status)) from None
        except (OSError, EOFError, WebSocketException):
            raise Lost("Flux cannot be reached.") from None
        finally:
            self._connection_established_event.clear()

    def _transport_is_active(self) -> bool:
        return self._line is not None and self._line.connected

    async def _transport_send_json(self, message: dict[str, Any]) -> None:
        if self._line is not None:
            await self._line.send_message(message)

    async def _transport_send_audio(self, audio: bytes) -> None:
        # Silence put in for a phone that fell quiet is the call's audio like any other, so that
        # Flux's clock and ours stay the same.
        if self._line is not None:
            self._line.add(audio)

    async def _fill_silence(self) -> None:
        """Let the stock watchdog feed silence to an open turn, on every connection."""
        while True:
            await self._watchdog_task_handler()
            await asyncio.sleep(0.1)

    async def _lost(self, why: str) -> None:
        self._reset_configure_state()
        # The prediction was about a connection that is gone; the next one makes its own.
        await self._cancel_eager_end_of_turn()
        self._turn.carry()
        await super()._lost(why)

    # ------------------------------------------------------------------ what Flux says

    async def _heard(self, raw: str | bytes) -> None:
        try:
            data = json.loads(raw)
        except ValueError:
            return
        if not isinstance(data, dict):
            return
        if data.get("type") == "ConfigureFailure":
            # Pipecat looks for the reason under another name.
            data = {**data, "error_code": data.get("code")}
        if data.get("event") == "StartOfTurn":
            if self._user_is_speaking:
                # The turn of a connection that was lost, begun again from its kept audio.
                self._follow(data)
                return
            self._turn = _OpenTurn()
        try:
            await self._handle_message(data)
        except FluxFatalError as error:
            sentence = f"Flux ended the connection ({error.code})."
            category = self._classify_error(error)
            if category is not None and category.is_permanent:
                raise Refused(sentence, 400) from None
            raise Lost(sentence) from None
        if data.get("event") == "StartOfTurn":
            # It comes with the first words. Pipecat lets them wait for the next update, by which
            # the agent would be stopped up to a quarter of a second later.
            await self._handle_update(str(data.get("transcript", "")), data)
        if data.get("type") == "TurnInfo":
            self._follow(data)

    def _follow(self, data: dict[str, Any]) -> None:
        """Keep track of how much of the call's audio has become words."""
        line, window = self._line, data.get("audio_window_end")
        if line is None or not isinstance(window, int | float):
            return
        position = line.position(window)
        event = data.get("event")
        if event == "EndOfTurn":
            line.settle(position)
        elif self._user_is_speaking:
            self._turn.hear(str(data.get("transcript", "")), position)
        elif not data.get("transcript"):
            line.settle(position - line.kept.position(LOOK_BACK))

    # ------------------------------------------------------------------ turns that never end

    async def _watch(self, line: Line) -> None:
        while True:
            await asyncio.sleep(0.1)
            if self._user_is_speaking and self._silent_for() >= self._silence_limit:
                line.settle(line.kept.gap_after(self._turn.best[1]))
                # First, so that nothing more of what this connection says is heard.
                line.replace(f"Flux left a turn open for {self._silence_limit:g} s of silence.")
                await self._end_turn()
            elif line.unanswered >= MUTE:
                line.replace(f"Flux said nothing for {MUTE:g} s of audio.")

    def _silent_for(self) -> float:
        """Seconds for which the caller has said nothing, as far as anybody here can tell."""
        if self._vad_speaking:
            return 0.0
        since = self._turn.changed
        if self._vad_stopped > self._turn.began - 1.0:
            # The voice detector has heard this turn too, and it knows better than late words.
            since = max(self._vad_stopped, self._turn.began)
        return time.monotonic() - since

    async def _end_turn(self) -> None:
        """End a turn in Flux's place, with the words there are."""
        if not self._user_is_speaking:
            return
        self._user_is_speaking = False
        await self._cancel_eager_end_of_turn()
        text, self._turn, self._turn_transcript = self._turn.best[0], _OpenTurn(), ""
        if text:
            await self.emit_stt_usage_metrics()
            await self.push_frame(
                TranscriptionFrame(
                    text, self._user_id, time_now_iso8601(), self._turn_language, finalized=True
                )
            )
        await self.broadcast_frame(ProposedUserStoppedSpeakingFrame)


class _OpenTurn:
    """The words of a turn that is going on, and where in the call's audio they end."""

    def __init__(self) -> None:
        self.began = self.changed = time.monotonic()
        self._now = ("", 0)
        self._carried = ("", 0)

    @property
    def best(self) -> tuple[str, int]:
        """The most that is known: a new connection begins the same turn from its first word."""
        return max(self._carried, self._now, key=lambda known: len(known[0]))

    def hear(self, text: str, position: int) -> None:
        if text != self._now[0]:
            self.changed = time.monotonic()
        self._now = (text, position)

    def carry(self) -> None:
        """Keep the words of a connection that is gone; meanwhile nobody can tell of more."""
        self._carried, self._now = self.best, ("", 0)
        self.changed = time.monotonic()
