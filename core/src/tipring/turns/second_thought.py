"""A caller who goes on is waited for in the moment before the answer is heard."""

from __future__ import annotations

import asyncio

from pipecat.audio.vad.vad_analyzer import VADAnalyzer
from pipecat.frames.frames import Frame, InterruptionFrame, TTSAudioRawFrame
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from tipring.turns.floor import Floor
from tipring.turns.nearness import Nearness

# Seconds in which a voice becomes words: transcribers guess 0.3 to 0.45 s after it began.
_WORDS = 0.5
_LOOK = 0.02
# The sound by which it is judged how near a voice is, and dB under the caller's from which on it is
# the room's. A voice of 60 ms fills three of the eight windows that are measured, and so counts
# 4 dB less than it is; babble that could be mistaken for the caller is 10 to 15 dB under them.
_LATELY, _ROOM = 0.3, 10.0


class SecondThought(FrameProcessor):
    """Keeps the first sound of an answer back while the caller's voice is there again.

    A voice alone takes no turn back, for it may be a cough; but an answer that begins in the same
    moment would talk over whoever goes on. So it waits until the voice is words, which withdraw
    the answer, or is gone, or half a second has passed. It stands between the voice and the phone.

    The first 32 ms of a voice are enough to wait for: the voice detector takes another 0.1 s until
    it is sure. A voice from further away than the caller is the room's, and nobody waits for it.

    Args:
        floor: Who has the floor.
        vad: The voice detector, if it tells a voice that has only begun (``stirring``).
        nearness: How near the voice is.
    """

    def __init__(self, floor: Floor, *, vad: VADAnalyzer | None, nearness: Nearness) -> None:
        super().__init__()
        self._floor = floor
        self._vad = vad
        self._nearness = nearness
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
        while self._voice() and loop.time() < until:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK)

    def _voice(self) -> bool:
        if not (self._floor.caller_speaking or getattr(self._vad, "stirring", False)):
            return False
        return self._nearness.further(_LATELY) < _ROOM
