"""Pipecat's Deepgram service on a line that is held.

The stock service waits four seconds before it reconnects and drops what the caller says meanwhile,
is switched off for the whole call by any 4xx (429 among them), waits for the handshake before the
pipeline starts, and tells a refusal as a dump of its own request. Here the audio is kept,
reconnecting starts at once, and what the caller said in the gap is heard afterwards, once.
"""

from __future__ import annotations

import asyncio
import time
import warnings
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from pipecat.frames.frames import (
    Frame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameDirection
from tipring_deepgram.held import HeldService
from tipring_deepgram.line import Socket
from tipring_deepgram.refusals import Lost, Refused, passes, refusal

with warnings.catch_warnings():
    # The SDK reaches for names that websockets has renamed, and says so when it is first used.
    # Its client is imported here, for it would otherwise import itself in the middle of a call.
    warnings.simplefilter("ignore", DeprecationWarning)
    import deepgram.listen.v1.client  # noqa: F401
    from deepgram.core import ApiError
    from deepgram.listen.v1.socket_client import AsyncV1SocketClient
    from deepgram.listen.v1.types import ListenV1Results
    from pipecat.services.deepgram.stt import DeepgramSTTService

FINALIZE = {"type": "Finalize"}

MUTE = 2.5
"""Seconds after the caller fell silent in which Deepgram must have said something about it."""


class _Socket:
    """The SDK's connection, as a line needs it."""

    def __init__(self, connection: AsyncV1SocketClient) -> None:
        self._connection = connection

    async def send_audio(self, audio: bytes) -> None:
        await self._connection.send_media(audio)

    async def send_message(self, message: Mapping[str, Any]) -> None:
        match message["type"]:
            case "Finalize":
                await self._connection.send_finalize()
            case "KeepAlive":
                await self._connection.send_keep_alive()
            case _:
                await self._connection.send_close_stream()

    async def messages(self) -> AsyncIterator[Any]:
        async for message in self._connection:
            yield message

    def abort(self) -> None:
        # The SDK has no way to drop a connection whose other side no longer answers.
        transport = getattr(self._connection._websocket, "transport", None)
        if transport is not None:
            transport.abort()


class HeldDeepgramSTTService(HeldService, DeepgramSTTService):
    """Hears the caller with Deepgram's ``/v1/listen``, through failures of the connection.

    Args:
        **kwargs: What :class:`HeldService` and :class:`DeepgramSTTService` take.
    """

    keep_alive = {"type": "KeepAlive"}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._began_speaking = 0.0
        self._words_pending = False
        self._mute_watch: asyncio.Task[None] | None = None

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Flush when the voice detector hears the caller fall silent."""
        if isinstance(frame, VADUserStoppedSpeakingFrame) and self._line is not None:
            # Asked for in its place behind the audio, so that a gap does not lose it.
            self.request_finalize()
            self._line.ask(FINALIZE)
            await self._watch(frame)
        elif isinstance(frame, VADUserStartedSpeakingFrame) and self._line is not None:
            self._line.take_back()
            self._began_speaking = time.monotonic()
            await self._unwatch()
        # The base class flushes on a connection it holds itself, and here it holds none.
        await super().process_frame(frame, direction)

    async def _disconnect(self) -> None:
        await self._unwatch()
        await super()._disconnect()

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[Socket]:
        from websockets.exceptions import WebSocketException

        query = self._build_connect_kwargs()
        try:
            async with self._client.listen.v1.connect(**query) as connection:
                yield _Socket(connection)
        except ApiError as error:
            # The SDK's error holds the request's headers and not Deepgram's answer: it goes no
            # further.
            status = error.status_code or 0
            sentence = refusal(status, model=query["model"], language=query["language"])
            raise (Lost(sentence) if passes(status) else Refused(sentence, status)) from None
        except (OSError, EOFError, WebSocketException):
            raise Lost("Deepgram cannot be reached.") from None

    async def _heard(self, message: Any) -> None:
        await self._on_message(message)
        line = self._line
        if line is None or not isinstance(message, ListenV1Results):
            return
        if message.is_final:
            self._words_pending = False
            line.settle(line.position(message.start + message.duration))
        elif message.channel.alternatives and message.channel.alternatives[0].transcript:
            self._words_pending = True
        if message.from_finalize:
            line.answered()

    async def _watch(self, frame: VADUserStoppedSpeakingFrame) -> None:
        """Notice a connection that is open and mute.

        A flush may rightly stay unanswered, when there was nothing to flush. It is mute when it
        owes words, or has said nothing since the caller began.
        """
        await self._unwatch()
        self._mute_watch = self.create_task(self._notice_mute(time.monotonic()))

    async def _unwatch(self) -> None:
        task, self._mute_watch = self._mute_watch, None
        if task is not None:
            await self.cancel_task(task)

    async def _notice_mute(self, stopped: float) -> None:
        await asyncio.sleep(MUTE)
        line = self._line
        if line is None or not line.connected or line.heard_at > stopped:
            return
        if self._words_pending or line.heard_at < self._began_speaking:
            line.replace(f"Deepgram said nothing for {MUTE:g} s after the caller spoke.")
