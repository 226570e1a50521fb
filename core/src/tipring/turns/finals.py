"""Keeps the caller's final words from being lost when they interrupt the agent."""

from __future__ import annotations

from pipecat.frames.frames import Frame, InputAudioRawFrame, TranscriptionFrame
from pipecat.processors.frame_processor import FrameCallback, FrameDirection, FrameProcessor


class FinalWords(FrameProcessor):
    """Stands behind the transcriber and marks what it made final as not to be dropped.

    In Pipecat an interruption empties the queues of the processors, the user aggregator's too, in
    which the words may wait that belong to the very turn that interrupts.
    """

    def __init__(self) -> None:
        super().__init__(enable_direct_mode=True)

    async def queue_frame(
        self,
        frame: Frame,
        direction: FrameDirection = FrameDirection.DOWNSTREAM,
        callback: FrameCallback | None = None,
    ) -> None:
        """Take a frame; sound is none of its business."""
        if isinstance(frame, InputAudioRawFrame) and self._next is not None:
            await self._next.queue_frame(frame, direction, callback)
        else:
            await super().queue_frame(frame, direction, callback)

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Mark final words, and pass everything on."""
        await super().process_frame(frame, direction)
        if isinstance(frame, TranscriptionFrame):
            frame.interruptible = False
        await self.push_frame(frame, direction)
