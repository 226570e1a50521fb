"""The caller's last seconds, kept so that an utterance can begin before it was noticed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

KEPT = 1.5
"""Seconds kept while nobody speaks."""

WINDOW = 0.02
"""Seconds over which loudness is taken."""

QUIETEST_VOICE = -65.0
"""dBFS below which nothing on a phone line is voice."""

ABOVE_NOISE = 9.0
"""dB by which voice stands out of what is behind it."""

BELOW_VOICE = 25.0
"""dB under the loud parts of an utterance at which it pauses."""


class Ear:
    """Audio addressed by its place in the call, in samples since it began.

    Args:
        rate: Hz of the PCM16 mono audio it is fed.
    """

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.begin = 0
        self._pcm = bytearray()

    @property
    def end(self) -> int:
        """The place behind the last sample."""
        return self.begin + len(self._pcm) // 2

    def feed(self, pcm: bytes) -> None:
        """Take some more PCM16."""
        self._pcm += pcm

    def forget(self, *, before: int | None = None) -> None:
        """Let go of what lies before a place, or of all but the last moments."""
        if before is None:
            before = self.end - int(KEPT * self.rate)
        surplus = min(before, self.end) - self.begin
        if surplus > 0:
            del self._pcm[: surplus * 2]
            self.begin += surplus

    def samples(self, start: int, stop: int) -> NDArray[np.float32]:
        """The floats between two places, as a copy."""
        first, last = (max(0, place - self.begin) * 2 for place in (start, stop))
        pcm = np.frombuffer(bytes(self._pcm[first:last]), "<i2")
        return pcm.astype(np.float32) / np.float32(32768)

    def seconds(self, seconds: float) -> int:
        """So many seconds as samples."""
        return int(seconds * self.rate)


def loudness(samples: NDArray[np.float32], rate: int) -> NDArray[np.float64]:
    """DBFS of each 20 ms of the samples."""
    size = max(1, int(WINDOW * rate))
    whole = samples[: len(samples) // size * size].reshape(-1, size).astype(np.float64)
    level: NDArray[np.float64] = 10 * np.log10(np.mean(whole * whole, axis=1) + 1e-12)
    return level


def voiced_seconds(samples: NDArray[np.float32], rate: int) -> float:
    """How long something stood out of the background loudly enough to be a voice."""
    levels = loudness(samples, rate)
    if not len(levels):
        return 0.0
    floor = max(float(np.percentile(levels, 10)) + ABOVE_NOISE, QUIETEST_VOICE)
    return float(np.count_nonzero(levels > floor)) * WINDOW


def quiet_since(samples: NDArray[np.float32], rate: int, place: int) -> bool:
    """Whether nothing but a pause follows a place in some speech."""
    levels = loudness(samples, rate)
    after = levels[place // max(1, int(WINDOW * rate)) :]
    return bool(np.all(after < np.percentile(levels, 95) - BELOW_VOICE)) if len(after) else True


def quietest(samples: NDArray[np.float32], rate: int, *, after: float) -> int:
    """The middle of the quietest 100 ms, as a place in the samples.

    Args:
        samples: Speech.
        rate: Its Hz.
        after: Seconds from the start that are not looked at. The last 0.3 s are not either.
    """
    size = max(1, int(WINDOW * rate))
    levels = loudness(samples, rate)
    smooth = np.convolve(levels, np.ones(5) / 5, "same")
    first, last = int(after / WINDOW), len(levels) - int(0.3 / WINDOW)
    if last <= first:
        return len(samples)
    return (first + int(np.argmin(smooth[first:last]))) * size + size // 2
