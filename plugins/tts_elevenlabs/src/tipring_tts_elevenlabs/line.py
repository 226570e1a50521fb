"""The socket to ElevenLabs: opened patiently, replaced when it drops, and listened in on."""

from __future__ import annotations

import asyncio
import json
import logging
from abc import abstractmethod
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from pipecat.frames.frames import StartFrame
from pipecat.processors.frame_processor import FrameProcessorSetup
from pipecat.services.elevenlabs.tts import ElevenLabsTTSService
from pipecat.services.tts_service import TextAggregationMode
from pipecat.services.websocket_service import _BoundedConnection
from pipecat.utils.errors import ErrorCategory
from tenacity import (
    AsyncRetrying,
    retry_if_exception,
    stop_after_attempt,
    stop_before_delay,
    wait_random_exponential,
)
from tipring.providers import Call
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus
from websockets.protocol import State

from tipring_tts_elevenlabs.errors import Refusal, explain, status_of
from tipring_tts_elevenlabs.settings import ElevenLabsSettings

log = logging.getLogger(__name__)


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


class Line(ElevenLabsTTSService):
    """Pipecat's service on a socket that is looked after.

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
        self._connecting = asyncio.Lock()
        self._opening: asyncio.Task[None] | None = None
        self._opened = asyncio.Event()
        self._set_up = False
        self._down = False

    async def setup(self, setup: FrameProcessorSetup) -> None:  # type: ignore[override]
        """Get ready. The socket is opened when the pipeline starts, so that nobody waits for it."""
        await super().setup(setup)
        self._set_up = True

    async def start(self, frame: StartFrame) -> None:
        """Start, and open the socket on the side."""
        await super().start(frame)
        self._opening = self.create_task(self._connect(), name="connect")
        # However it ends, nobody need wait for it any longer.
        self._opening.add_done_callback(lambda _: self._opened.set())

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
                self._down = False
                await self._call_event_handler("on_connected")
            except Exception as error:
                self._websocket = None
                refusal = _refused(error, self._chosen)
                if refusal.lasting or not self._down:
                    await self._report(refusal)
                self._down = True

    async def _handshake(self) -> Any:
        patience = self._chosen.patience
        async for attempt in AsyncRetrying(
            # Every sentence tries a voice that is down, but only the first one tries for long.
            stop=stop_after_attempt(1) if self._down else stop_before_delay(patience),
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

    async def _report(self, refusal: Refusal) -> None:
        await self._call_event_handler("on_connection_error", refusal.sentence)
        await self.push_error(
            refusal.sentence,
            category=ErrorCategory(refusal.kind),
            force_treat_as_permanent=refusal.lasting,
        )

    @abstractmethod
    async def _overhear(self, raw: str | bytes) -> None:
        """See a message before Pipecat does."""


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
        what=f"ElevenLabs could not be reached at {settings.url} ({type(error).__name__})",
        fix="check the network and [tts.elevenlabs] url",
        kind="connectivity",
    )
