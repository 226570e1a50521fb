"""How loud the caller is, and how loud the room they call from.

Silero hears every voice, and in a café or beside a television there is always one: with babble
15 dB under the caller it reported a voice for 82 % of the caller's pauses, so no pause was ever
heard to begin. What the ear goes by is loudness: the caller is nearer to the phone than the room.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np

_MEMORY = 8.0
"""Seconds of sound that the room is known by."""
_QUIETER = 30
"""The room is as loud as the quietest 30 % of them: a caller leaves more than that between their
sentences, and where they do not, the distance to their own voice holds."""
_KNOWN = 2.0
"""Seconds before anything is said of the room."""
_OVER_ROOM = 12.0
"""dB by which a voice is over the room, to be the caller's."""
_UNDER_CALLER = 14.0
"""dB under the caller's own loudest at which a voice is still theirs in a quiet room."""
_GOES_ON = 10.0, 0.6
_BEGINS = 7.0, 0.4
"""In a loud one it is fewer dB, a share of the way down from the caller to the room, and these at
the least: the last syllable of a sentence is about 10 dB quieter than the first ones, and none
begins so quietly. Measured on 72 sentences with babble under them: 15 dB down, the silence behind
them was noticed after 0.45 s at the 95th percentile (0.81 s with the 14 dB alone), and a voice
began in 1 % of the silences of 1.5 s (0.9 in each); 10 dB down, after 0.84 s (3.2 s), and in 0.46
of each (1.2). In quiet nothing changes."""
_FORGETS = 0.5
"""dB a second by which the loudest is forgotten, for a caller who puts the phone further away."""
_RISE = 0.3
"""Share of the way to a louder voice in one window, so that a click is not the caller."""
_FALL = 0.4
"""Share of the way down in one window: between two syllables a voice is not gone."""
_SILENT = -100.0
"""dB under full scale of digital silence."""
_UNKNOWN = -60.0
"""dB of a caller who was not heard yet. No voice is too quiet then."""


class Room:
    """The levels of one call, told window by window.

    Args:
        window: Seconds in a window.
    """

    def __init__(self, window: float) -> None:
        self._window = window
        self._levels: deque[float] = deque(maxlen=round(_MEMORY / window))
        self._every = max(1, round(0.25 / window))
        self._windows = 0
        self._power = 0.0
        self._room = _SILENT
        self._caller = _UNKNOWN

    def near(self, sound: bytes, *, voice: bool, speaking: bool) -> bool:
        """Whether what is heard is as near as the caller.

        Args:
            sound: The next window, PCM16 mono at any rate.
            voice: Whether it sounds like somebody's voice at all.
            speaking: Whether the caller was speaking in the window before.
        """
        samples = np.frombuffer(sound, np.int16).astype(np.float32)
        power = float(np.dot(samples, samples)) / (max(1, len(samples)) * 32768.0**2)
        self._power = max(power, self._power + (power - self._power) * _FALL)
        level, smooth = _decibels(power), _decibels(self._power)

        self._levels.append(level)
        self._windows += 1
        if self._windows % self._every == 0 and self._windows * self._window >= _KNOWN:
            # An eighth of np.percentile's time, four times a second.
            self._room = sorted(self._levels)[round((len(self._levels) - 1) * _QUIETER / 100)]
        if voice and level > self._caller:
            self._caller += (level - self._caller) * _RISE
        else:
            self._caller -= _FORGETS * self._window
        least, share = _GOES_ON if speaking else _BEGINS
        under = min(_UNDER_CALLER, max(least, share * (self._caller - self._room)))
        return smooth > min(self._room + _OVER_ROOM, self._caller - under)


def _decibels(power: float) -> float:
    return 10 * math.log10(power + 1e-10)
