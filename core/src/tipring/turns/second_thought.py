"""A caller who goes on is waited for in the moment before the answer is heard."""

from __future__ import annotations

import asyncio

from pipecat.frames.frames import Frame, InterruptionFrame, TTSAudioRawFrame
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from tipring.turns.floor import Floor

# Seconds in which a voice becomes words: transcribers guess 0.3 to 0.45 s after it began.
_WORDS = 0.5
_LOOK = 0.02


class SecondThought(FrameProcessor):
    """Keeps the first sound of an answer back while the caller's voice is there again.

    A voice alone takes no turn back, for it may be a cough; but an answer that begins in the same
    moment would talk over whoever goes on. So it waits until the voice is words, which withdraw
    the answer, or is gone, or half a second has passed. It stands between the voice and the phone.

    Args:
        floor: Who has the floor.
    """

    def __init__(self, floor: Floor) -> None:
        super().__init__()
        self._floor = floor
        self._until: float | None = None

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Pass everything on, the first sound of an answer perhaps a little later."""
        await super().process_frame(frame, direction)
        unheard = self._floor.answer_owed and not self._floor.agent_audible
        if isinstance(frame, InterruptionFrame) or not unheard:
            self._until = None
        elif isinstance(frame, TTSAudioRawFrame):
            await self._wait()  # words interrupt, which ends the wait and drops what waited
        await self.push_frame(frame, direction)

    async def _wait(self) -> None:
        loop = asyncio.get_running_loop()
        # An interruption that comes meanwhile forgets it, for the next answer's sake.
        until = self._until = self._until or loop.time() + _WORDS
        # The floor is a state that several rules write, and tells nobody when it changes.
        while self._floor.caller_speaking and loop.time() < until:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK)
