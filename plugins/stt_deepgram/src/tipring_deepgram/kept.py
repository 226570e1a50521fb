"""The caller's last seconds, kept until their words are known."""

from __future__ import annotations

from array import array

FRAME = 0.02
"""Seconds whose loudness is compared when a gap between words is looked for."""


class KeptAudio:
    """Audio by its position in the call, bounded: the oldest goes first.

    Positions are bytes since the call began. PCM16 mono, so every position is even.

    Args:
        rate: Hz.
        seconds: How much is kept at the most.
    """

    def __init__(self, *, rate: int, seconds: float) -> None:
        self.bytes_per_second = 2 * rate
        self._most = self.position(seconds)
        self._audio = bytearray()
        self.start = 0

    @property
    def end(self) -> int:
        """Where the next audio will be added."""
        return self.start + len(self._audio)

    def position(self, seconds: float) -> int:
        """Turn seconds into bytes, in whole samples."""
        return 2 * int(seconds * self.bytes_per_second / 2)

    def add(self, audio: bytes) -> None:
        """Keep some more audio; the oldest that no longer fits is forgotten."""
        self._audio += audio
        over = len(self._audio) - self._most
        if over > 0:
            del self._audio[:over]
            self.start += over

    def read(self, position: int, most: int) -> bytes:
        """Give the audio from a position on, at most so many bytes of it."""
        at = max(0, position - self.start)
        return bytes(self._audio[at : at + most])

    def settle(self, position: int) -> None:
        """Forget what is before a position, for its words are known."""
        position = min(position, self.end)
        if position > self.start:
            del self._audio[: position - self.start]
            self.start = position

    def gap_after(self, position: int, *, within: float = 0.4) -> int:
        """Find where the word that sounds at a position ends, so that it is not heard in halves.

        Args:
            position: Where the audio is cut if nothing better is found.
            within: Seconds in which to look. A syllable takes about 0.2 s.

        Returns:
            The first quiet moment, or else the quietest one.
        """
        size = self.position(FRAME)
        audio = self.read(position, self.position(within))
        frames = [array("h", audio[at : at + size]) for at in range(0, len(audio) - size + 1, size)]
        levels = [sum(map(abs, frame)) for frame in frames]
        if not levels:
            return position
        quiet = max(min(levels), max(levels) // 4)
        return position + size * next(n for n, level in enumerate(levels) if level <= quiet)
