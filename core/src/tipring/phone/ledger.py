"""What the caller has really heard, by the marks that come back from Twilio.

After each utterance a mark is queued behind its audio. Twilio returns it when it has played so far,
and also when a ``clear`` threw the audio away: an echo of that kind is not playback.
"""

from __future__ import annotations

import asyncio
import itertools

from pipecat.frames.frames import (
    Frame,
    InterruptionFrame,
    OutputTransportMessageFrame,
    TTSStoppedFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from tipring.journal import Journal


class HeardLedger(FrameProcessor):
    """Stands between the voice and the phone and keeps the book of marks.

    Args:
        stream: Twilio's id of the stream.
        journal: Where marks are noted.
    """

    def __init__(self, *, stream: str, journal: Journal) -> None:
        super().__init__()
        self._stream = stream
        self._journal = journal
        self._numbers = itertools.count(1)
        self._pending: dict[str, bool] = {}  # name -> whether a clear has thrown it away
        self._quiet = asyncio.Event()
        self._quiet.set()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Pass everything on; behind each utterance, a mark."""
        await super().process_frame(frame, direction)
        await self.push_frame(frame, direction)
        if isinstance(frame, InterruptionFrame):
            self._pending = dict.fromkeys(self._pending, True)
        elif isinstance(frame, TTSStoppedFrame) and direction is FrameDirection.DOWNSTREAM:
            name = f"u{next(self._numbers)}"
            self._pending[name] = False
            self._quiet.clear()
            mark = {"event": "mark", "streamSid": self._stream, "mark": {"name": name}}
            await self.push_frame(OutputTransportMessageFrame(message=mark))

    def returned(self, name: str) -> None:
        """Take note of a mark that came back."""
        cleared = self._pending.pop(name, None)
        if cleared is None:
            return  # not one of ours, or for the second time
        self._journal.note("mark.cleared" if cleared else "mark.played", name=name)
        if not self._pending:
            self._quiet.set()

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
