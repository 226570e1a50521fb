"""How near to the phone somebody speaks: as near as the caller did before, or further away.

Who turns to somebody else in the room is 6 to 12 dB quieter on the line than they were a moment
before. So is a voice in the background. What is compared is the caller with themselves, in this
call: a quiet caller, or a quiet line, is not far away.
"""

from __future__ import annotations

import math
from collections import deque
from statistics import median

import numpy as np
import numpy.typing as npt
from pipecat.frames.frames import Frame, InputAudioRawFrame
from pipecat.turns.types import ProcessFrameResult
from pipecat.turns.user_start import BaseUserTurnStartStrategy

from tipring.turns.floor import Floor

_WINDOW = 0.02
_KEPT = 3.0
"""Seconds of sound that are remembered: words come late, and are not to be judged by the silence
behind them."""
_MEASURE = 0.6
"""Seconds of the caller's voice for one measure of it: a word or two."""
_LOUDEST = 8
"""Windows that a voice is measured by, the loudest ones: a syllable. The first word of a sentence,
which is all there is when it must be judged, has one."""
_KNOWN, _MEASURES = 2, 20
"""Measures before anything is said of the caller, and so many of them, the latest, are kept."""
_AUDIBLE = -60.0
"""dB under full scale: under it, there was nothing to measure."""
_SPREAD = 10.0
"""dB under the loudest measure at which one is still the caller's. In a café the voice detector
takes the café for them in their pauses, 15 dB under their own voice."""
_NOTHING = 25.0
"""dB under the caller at which there was nothing to judge either: the words are older."""


class Nearness(BaseUserTurnStartStrategy):
    """Listens to how loud the caller is. It starts nothing.

    The caller is measured while they are heard and the agent is not: then nobody can be meant but
    the agent, and the phone does not bring back the agent's voice.

    Args:
        floor: Who has the floor.
    """

    def __init__(self, *, floor: Floor) -> None:
        super().__init__()
        self._floor = floor
        self._sound: deque[float] = deque(maxlen=round(_KEPT / _WINDOW))
        self._voice: list[float] = []
        self._caller: deque[float] = deque(maxlen=_MEASURES)
        self._over_agent = False

    async def process_frame(self, frame: Frame) -> ProcessFrameResult:
        """Measure what is heard."""
        if isinstance(frame, InputAudioRawFrame):
            powers = _powers(frame)
            over_agent, self._over_agent = self._over_agent, self._floor.agent_audible
            if self._over_agent and not over_agent:
                self._sound.clear()  # what the caller said before is no part of what comes over it
            self._sound.extend(powers)
            if self._floor.caller_speaking and not self._floor.agent_audible:
                self._learn(powers)
        return ProcessFrameResult.CONTINUE

    def further(self, last: float = _KEPT) -> float:
        """How much further away somebody is heard than the caller was before.

        Args:
            last: Seconds that are judged, up to now; 3 at the most.

        Returns:
            dB; 0 for as near, and where there is nothing to compare. Nearer is below 0.
        """
        distance = self.distance(last)
        return distance if distance is not None and distance < _NOTHING else 0.0

    def distance(self, last: float = _KEPT) -> float | None:
        """The same, as it was measured.

        Args:
            last: As in :meth:`further`.

        Returns:
            dB, of silence too; None where there is nothing to compare.
        """
        if len(self._caller) < _KNOWN or not self._sound:
            return None
        heard = list(self._sound)[-max(1, round(last / _WINDOW)) :]
        loudest = max(self._caller)
        caller = median(level for level in self._caller if level > loudest - _SPREAD)
        return caller - _level(heard)

    def _learn(self, powers: list[float]) -> None:
        self._voice += powers
        if len(self._voice) >= round(_MEASURE / _WINDOW):
            level = _level(self._voice)
            self._voice.clear()
            if level > _AUDIBLE:
                self._caller.append(level)


def _powers(frame: InputAudioRawFrame) -> list[float]:
    """The power of each window of a frame, 1 at full scale."""
    samples: npt.NDArray[np.float32] = np.frombuffer(frame.audio, np.int16).astype(np.float32)
    size = round(frame.sample_rate * frame.num_channels * _WINDOW)
    windows = samples[: len(samples) // size * size].reshape(-1, size)
    return [float(np.dot(window, window)) / (size * 32768.0**2) for window in windows]


def _level(powers: list[float]) -> float:
    loudest = sorted(powers)[-_LOUDEST:]
    return 10 * math.log10(sum(loudest) / len(loudest) + 1e-10)
