"""What the caller has really heard, by the marks that come back from Twilio.

After each utterance a mark is queued behind its audio. Twilio returns it when it has played so far,
and also when a ``clear`` threw the audio away: an echo of that kind is not playback.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pipecat.frames.frames import (
    ControlFrame,
    Frame,
    InterruptionFrame,
    OutputTransportMessageFrame,
    TTSStoppedFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from tipring.journal import Journal

# Seconds for the last words to be heard: longer than any goodbye.
_FAREWELL = 30.0


@dataclass
class FarewellFrame(ControlFrame):
    """What was said before it is the last: when the caller has heard it, the call ends.

    It is an ordinary frame, so a caller who interrupts the goodbye takes it back.
    """


class HeardLedger(FrameProcessor):
    """Stands between the voice and the phone and keeps the book of marks.

    Args:
        stream: Twilio's id of the stream.
        journal: Where marks are noted.
        farewell: Called when the last words have been heard.
    """

    def __init__(
        self, *, stream: str, journal: Journal, farewell: Callable[[], Awaitable[None]]
    ) -> None:
        super().__init__()
        self._farewell = farewell
        self._leaving: asyncio.Task[None] | None = None
        self._stream = stream
        self._journal = journal
        self._numbers = itertools.count(1)
        self._pending: set[str] = set()
        self._cleared: set[str] = set()
        self._quiet = asyncio.Event()
        self._quiet.set()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Pass everything on; behind each utterance, a mark."""
        await super().process_frame(frame, direction)
        if isinstance(frame, FarewellFrame):
            if self._leaving is None:
                self._leaving = self.create_task(self._leave(), "farewell")
            return
        await self.push_frame(frame, direction)
        if isinstance(frame, InterruptionFrame):
            # The phone echoes the marks it had, and Pipecat drops those it had not: neither kind
            # is playback, and nobody waits for them.
            self._cleared = {*self._cleared, *self._pending}
            self._pending.clear()
            self._quiet.set()
            await self._stay()
        elif isinstance(frame, TTSStoppedFrame) and direction is FrameDirection.DOWNSTREAM:
            name = f"u{next(self._numbers)}"
            self._pending.add(name)
            self._quiet.clear()
            mark = {"event": "mark", "streamSid": self._stream, "mark": {"name": name}}
            await self.push_frame(OutputTransportMessageFrame(message=mark))

    async def cleanup(self) -> None:
        """Wait for no mark any longer."""
        await self._stay()
        await super().cleanup()

    async def _leave(self) -> None:
        await self.heard(within=_FAREWELL)
        self._leaving = None
        await self._farewell()

    async def _stay(self) -> None:
        task, self._leaving = self._leaving, None
        if task and task is not asyncio.current_task():
            await self.cancel_task(task)

    def moved(self, stream: str) -> None:
        """The call goes on over another stream."""
        self._stream = stream

    def lost(self) -> None:
        """The stream broke: the marks it had will not come back."""
        self._pending.clear()
        self._quiet.set()

    def returned(self, name: str) -> None:
        """Take note of a mark that came back."""
        if name in self._cleared:
            self._cleared.discard(name)
            self._journal.note("mark.cleared", name=name)
        elif name in self._pending:
            self._pending.discard(name)
            self._journal.note("mark.played", name=name)
            if not self._pending:
                self._quiet.set()
        # Anything else is not one of ours, or has come for the second time.

    async def heard(self, *, within: float) -> bool:
        """Wait until everything said so far has been played, or thrown away.

        Args:
            within: Seconds after which Twilio is not waited for any longer.

        Returns:
            Whether the marks came back in time.
        """
        try:
            async with asyncio.timeout(within):
                await self._quiet.wait()
        except TimeoutError:
            return False
        return True
