"""How Pipecat is told that a turn is over, which it does not believe of a caller it hears."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from pipecat.frames.frames import Frame, ProposedUserStoppedSpeakingFrame, TranscriptionFrame
from pipecat.utils.time import time_now_iso8601


class Ending:
    """The end of a turn, on its way through Pipecat's controller.

    Attributes:
        controller_hears: What Pipecat's controller believes; it refuses to end a turn while it
            hears the caller.

    Args:
        push: Sends a frame the way of the transcriber's.
        finalize: Ends the turn.
    """

    def __init__(
        self, *, push: Callable[[Frame], Awaitable[None]], finalize: Callable[[], Awaitable[None]]
    ) -> None:
        self.controller_hears = False
        self._push = push
        self._finalize = finalize
        self._frame: ProposedUserStoppedSpeakingFrame | None = None

    async def begin(self, guess: str = "") -> None:
        """End the turn, at once if that can be.

        Args:
            guess: Words of it that the transcriber had not made final.
        """
        if not self.controller_hears and not guess:
            await self._finalize()
            return
        if guess:
            words = TranscriptionFrame(guess, "caller", time_now_iso8601(), finalized=True)
            await self._push(words)
        # The controller must see the speech end before it will end the turn, and the aggregator the
        # words that were not final. The frame comes back behind both.
        self._frame = ProposedUserStoppedSpeakingFrame()
        await self._push(self._frame)

    async def goes_on(self, frame: Frame) -> bool:
        """Whether this frame was the one that went ahead; then the turn is ended now."""
        if self._frame is None or frame is not self._frame:
            return False
        self.controller_hears, self._frame = False, None
        await self._finalize()
        return True
