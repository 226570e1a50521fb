"""Whether somebody speaks, by loudness over what the line itself has."""

from __future__ import annotations

import numpy as np
from pipecat.audio.vad.vad_analyzer import VADAnalyzer, VADParams

WINDOW = 0.02
"""Seconds of audio that are judged at once."""

FLOOR = 60.0
"""The RMS of 16 bit samples below which no line is: over digital silence a breath is no voice."""


class Loudness(VADAnalyzer):
    """A Pipecat voice detector for one call.

    The line's own noise is followed: down at once, up slowly, so that a fan that is switched on
    is a voice for some seconds and then is not.

    Args:
        above: How many times louder than the noise a voice is.
    """

    def __init__(self, above: float) -> None:
        super().__init__(
            params=VADParams(confidence=0.5, start_secs=0.1, stop_secs=0.2, min_volume=0.0)
        )
        self._above = above
        self._noise = FLOOR

    def num_frames_required(self) -> int:
        """Samples in a window."""
        return int(self.sample_rate * WINDOW)

    def voice_confidence(self, buffer: bytes) -> float:
        """Give 1.0 for a voice and 0.0 for none, of PCM16 mono."""
        samples = np.frombuffer(buffer, "<i2").astype(np.float64)
        loud = float(np.sqrt(np.mean(samples * samples))) if len(samples) else 0.0
        voice = loud > self._above * self._noise
        follow = 0.5 if loud < self._noise else 0.005
        self._noise = max(FLOOR, self._noise + follow * (loud - self._noise))
        return 1.0 if voice else 0.0
