"""The caller's last seconds, kept until their words are known."""

from __future__ import annotations


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
