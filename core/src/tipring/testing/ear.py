"""What the caller hears: Twilio's play-out buffer, and when something in it is audible.

Nothing here waits or looks at a clock. Every method is told the time, in seconds since the
stream's start message, and times may only grow.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tipring.phone import mulaw
from tipring.phone.mulaw import RATE
from tipring.testing.clip import AUDIBLE, BLOCK, loudness

BUFFERED_AT_MOST = 600.0
"""Seconds of audio that wait to be played; Twilio discards what would be more."""

BRIDGED = 0.5
"""Seconds of silence inside one utterance: shorter gaps do not end it."""


class Track:
    """Sound on a time line: silence wherever nothing was written."""

    def __init__(self) -> None:
        self._samples = np.zeros(RATE * 60, dtype=np.int16)

    def write(self, begin: int, samples: npt.NDArray[np.int16]) -> None:
        """Put samples at sample number ``begin``."""
        end = begin + len(samples)
        self._reach(end)
        self._samples[begin:end] = samples

    def silence(self, begin: int, end: int) -> None:
        """Take out what was written from ``begin`` to ``end``."""
        self._samples[begin:end] = 0

    def read(self, begin: int, end: int) -> npt.NDArray[np.int16]:
        """A copy of the samples from ``begin`` to ``end``."""
        self._reach(end)
        return self._samples[begin:end].copy()

    def _reach(self, end: int) -> None:
        if end > len(self._samples):
            more = np.zeros(max(end, 2 * len(self._samples)), dtype=np.int16)
            more[: len(self._samples)] = self._samples
            self._samples = more


@dataclass(frozen=True, kw_only=True)
class Utterance:
    """A stretch of sound from the agent.

    Attributes:
        begin: Seconds since the start message, to 10 ms.
        end: Likewise; None while it lasts.
    """

    begin: float
    end: float | None = None


class Ear:
    """One call's play-out buffer: payloads in order, in real time, 8 bytes a millisecond."""

    def __init__(self) -> None:
        self.track = Track()
        self.utterances: list[Utterance] = []
        self.last_audible = -1.0
        """When the last audible block ended, in seconds; negative while there was none."""
        self._tail = 0  # the sample after the last one queued
        self._marks: deque[tuple[int, str]] = deque()
        self._block = 0  # the next block to listen to
        self._audible = False

    def media(self, payload: bytes, at: float) -> bool:
        """Queue a payload.

        Returns:
            False when ten minutes are waiting already and it was discarded.
        """
        begin = max(self._tail, _sample(at))
        if begin + len(payload) - at * RATE > BUFFERED_AT_MOST * RATE:
            return False
        self.track.write(begin, mulaw.decode(payload))
        self._tail = begin + len(payload)
        return True

    def mark(self, name: str, at: float) -> float:
        """Queue a mark behind the audio; gives the time at which that was played."""
        self._marks.append((self._tail, name))
        return max(at, self._tail / RATE)

    def played(self, at: float) -> list[str]:
        """The marks that are due, each given once."""
        due = []
        while self._marks and self._marks[0][0] <= at * RATE + 1e-3:
            due.append(self._marks.popleft()[1])
        return due

    def clear(self, at: float) -> tuple[float, list[str]]:
        """Drop what was not played; ``fall_silent`` comes first, which hears what was.

        Returns:
            The seconds dropped, and the marks that waited behind them.
        """
        now = _sample(at)
        dropped = max(0, self._tail - now)
        self.track.silence(now, self._tail)
        self._tail = min(self._tail, now)
        waiting = [name for _, name in self._marks]
        self._marks.clear()
        return dropped / RATE, waiting

    def listen(self, at: float) -> list[tuple[float, str]]:
        """Hear everything up to ``at``.

        Returns:
            Time and ``"began"`` or ``"ended"`` for each utterance that did.
        """
        end = int(at * RATE) // BLOCK
        news: list[tuple[float, str]] = []
        if end <= self._block:
            return news
        loud = loudness(self.track.read(self._block * BLOCK, end * BLOCK)) > AUDIBLE
        for number, audible in enumerate(loud, start=self._block):
            begin = number * BLOCK / RATE
            if audible:
                if not self._open:
                    self.utterances.append(Utterance(begin=begin))
                    news.append((begin, "began"))
                self.last_audible = begin + BLOCK / RATE
            elif self._open and begin - self.last_audible >= BRIDGED:
                news.append(self._close())
            self._audible = bool(audible)
        self._block = end
        return news

    def fall_silent(self, at: float) -> list[tuple[float, str]]:
        """End the utterance under way, if there is one: the rest was dropped or the call ended."""
        news = self.listen(at)
        if self._open:
            news.append(self._close())
        self._audible = False
        self._block += 1  # its sound is cut in two, and must not begin an utterance of its own
        return news

    @property
    def audible(self) -> bool:
        """Whether the last 10 ms listened to were."""
        return self._audible

    @property
    def _open(self) -> bool:
        return bool(self.utterances) and self.utterances[-1].end is None

    def _close(self) -> tuple[float, str]:
        self.utterances[-1] = replace(self.utterances[-1], end=self.last_audible)
        return self.last_audible, "ended"


def _sample(at: float) -> int:
    """The first sample that is not yet over at ``at``."""
    return int(np.ceil(at * RATE - 1e-6))
