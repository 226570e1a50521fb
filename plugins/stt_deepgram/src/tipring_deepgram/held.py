"""What makes a Pipecat service for Deepgram one whose line is held."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar

from pipecat.frames.frames import Frame, StartFrame
from pipecat.services.stt_service import STTService
from pipecat.utils.errors import ErrorCategory, classify_http_status_code

from tipring_deepgram.line import Line, Socket
from tipring_deepgram.refusals import Lost, Refused


class HeldService(STTService):
    """Stands before one of Pipecat's services for Deepgram, and takes its connection from it.

    The connection is opened when the pipeline starts, and nothing waits for it. It is replaced
    until Deepgram refuses for good, or ``give_up_after`` seconds have gone by without one.

    Args:
        keep: Seconds of audio kept while there is no connection.
        give_up_after: Seconds without a connection after which the service is unusable.
        answer_within: Seconds Deepgram has to take a connection.
        **kwargs: What the service behind takes.
    """

    keep_alive: ClassVar[Mapping[str, Any] | None] = None
    """The message that keeps a silent connection open, where there is one."""
    close: ClassVar[Mapping[str, Any]] = {"type": "CloseStream"}

    def __init__(
        self,
        *,
        keep: float = 15.0,
        give_up_after: float = 20.0,
        answer_within: float = 3.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._keep = keep
        self._give_up_after = give_up_after
        self._answer_within = answer_within
        self._started = False
        self._line: Line | None = None
        self._holding: asyncio.Task[None] | None = None

    async def start(self, frame: StartFrame) -> None:
        """Start to connect, and wait for nothing."""
        await super().start(frame)
        self._started = True
        await self._connect()

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        """Take PCM16 of the caller."""
        if self._line is not None:
            self._line.add(audio)
        yield None

    async def _connect(self) -> None:
        # Pipecat connects while it sets up, where a handshake that hangs would hold up the call.
        if self._line is not None or not self._started:
            return
        self._line = Line(
            connect=self._opened,
            hear=self._heard,
            lost=self._lost,
            rate=self.sample_rate,
            keep=self._keep,
            answer_within=self._answer_within,
            give_up=self._give_up_after,
            keep_alive=self.keep_alive,
        )
        self._holding = self.create_task(self._hold(self._line))

    async def _disconnect(self) -> None:
        line, self._line = self._line, None
        task, self._holding = self._holding, None
        if line is not None:
            await line.hang_up(self.close)
        if task is not None:
            await self.cancel_task(task)

    async def _do_reconnect(self) -> None:
        if self._line is not None and self._holding is not None and not self._holding.done():
            self._line.replace("The settings changed.")
        else:
            # It had been given up, and new settings may be the mend.
            await self._disconnect()
            await self._connect()

    async def _hold(self, line: Line) -> None:
        try:
            await line.run()
        except Refused as refused:
            await self._give_up(str(refused), classify_http_status_code(refused.status))
        except Lost as lost:
            await self._give_up(
                f"{lost} It was given up after {self._give_up_after:g} s.",
                ErrorCategory.CONNECTIVITY,
            )

    async def _give_up(self, sentence: str, category: ErrorCategory) -> None:
        """Say that nothing more will be heard here."""
        await self.push_error(error_msg=sentence, category=category, force_treat_as_permanent=True)

    async def _lost(self, why: str) -> None:
        """A connection is gone; another one is on its way."""
        await self.push_error(error_msg=why, category=ErrorCategory.CONNECTIVITY)

    @abstractmethod
    def _opened(self) -> AbstractAsyncContextManager[Socket]:
        """Open a connection that is ready for audio; raises ``Lost`` or ``Refused``."""

    @abstractmethod
    async def _heard(self, message: Any) -> None:
        """Understand one message."""
