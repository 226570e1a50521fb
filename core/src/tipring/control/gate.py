"""Stands behind the model: a reply goes on when the kill switch was asked and is not set."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from pipecat.frames.frames import (
    Frame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from tipring.control.protocol import Kill


class ReplyGate(FrameProcessor):
    """Lets a reply through, or drops it and has the call ended.

    What the host itself says comes in behind it, so a goodbye passes.

    Args:
        ask: How the switch stands. It was asked while the model was thinking, so that the answer
            is mostly there before the reply is.
        obey: Called with ``warm`` or ``hard``.
        said: Called with each sentence that goes on to the voice, and with none that is dropped.
    """

    def __init__(
        self,
        *,
        ask: Callable[[], Awaitable[Kill]],
        obey: Callable[[Kill], Awaitable[None]],
        said: Callable[[str], object],
    ) -> None:
        super().__init__()
        self._ask, self._obey, self._said = ask, obey, said
        self._begun = False
        self._dropping = False

    def drop(self) -> None:
        """Let nothing more of this reply through."""
        self._dropping = True

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Hold the first frame of a reply until the switch is known."""
        await super().process_frame(frame, direction)
        if direction is not FrameDirection.DOWNSTREAM:
            await self.push_frame(frame, direction)
        elif isinstance(frame, LLMFullResponseStartFrame):
            self._begun = self._dropping = False
            kill = await self._ask()
            if kill != "none":
                self._dropping = True
                await self._obey(kill)
                return
            self._begun = True
            await self.push_frame(frame, direction)
        elif isinstance(frame, LLMFullResponseEndFrame):
            # Whoever heard of its beginning hears of its end.
            if self._begun:
                await self.push_frame(frame, direction)
            self._begun = self._dropping = False
        elif not isinstance(frame, LLMTextFrame):
            await self.push_frame(frame, direction)
        elif not self._dropping:
            self._said(frame.text.strip())
            await self.push_frame(frame, direction)
