"""What an emulated transcriber hears: audio becomes words by script, never by recognition.

Two ways. :class:`Tones`: the test speaks in tones, a pitch a word, so that the words heard are
exactly those whose audio arrived: what was lost is missing, and what was sent twice is heard twice.
:class:`Script`: any voice will do; its energy unrolls a script of utterances, so a recorded caller
is heard to say what the script says.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

FRAME = 0.02
"""Seconds of audio that are listened to at once."""


@dataclass(frozen=True)
class Heard:
    """A word and where in the connection's audio it was, in seconds."""

    text: str
    start: float
    end: float


class Listener(Protocol):
    """The ears of one connection."""

    def frame(self, pcm: bytes, at: float) -> tuple[bool, list[Heard]]:
        """Listen to 20 ms of PCM16.

        Returns:
            Whether there is a voice in it, and the words that were complete with it.
        """
        ...

    def delivered(self, count: int) -> None:
        """So many more words went out to the client as final."""
        ...


class Speech(Protocol):
    """What can be heard in a call."""

    def listener(self, rate: int) -> Listener: ...


def _volume(samples: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    return float(np.sqrt(np.mean(samples * samples))) if len(samples) else 0.0


# ------------------------------------------------------------------------------ tones


class Tones:
    """Words as pitches.

    Args:
        words: Every word the caller knows, at most 39.
    """

    LOWEST, STEP = 300.0, 80.0

    def __init__(self, words: Sequence[str]) -> None:
        assert len(words) <= 39 and len(set(words)) == len(words)
        self.words = list(words)

    def speak(self, *words: str, rate: int = 16000, seconds: float = 0.2) -> bytes:
        """Say words: PCM16, a tone of ``seconds`` each and 40 ms of silence after it."""
        pause = np.zeros(int(rate * 0.04))
        t = np.arange(int(rate * seconds)) / rate
        parts = []
        for word in words:
            pitch = self.LOWEST + self.STEP * self.words.index(word)
            parts += [8000 * np.sin(2 * math.pi * pitch * t), pause]
        return np.concatenate(parts).astype("<i2").tobytes() if parts else b""

    def spell(self, text: str, rate: int, seconds: float = 0.06) -> bytes:
        """Say a text as an emulated voice does: PCM16, so long for each character."""
        size = round(rate * seconds)
        t = np.arange(size) / rate
        sound = np.zeros(size * len(text))
        for word in re.finditer(r"\S+", text):
            known = plain(word[0])
            # A word that it does not know is a sound like any other, and heard as none.
            index = self.words.index(known) if known in self.words else 40
            pitch = self.LOWEST + self.STEP * index
            for at in range(word.start(), word.end()):
                begin = at * size
                sound[begin : begin + size] = np.sin(2 * math.pi * pitch * (t + begin / rate))
        return (8000 * sound).astype("<i2").tobytes()

    def heard(self, pcm: bytes, rate: int) -> list[Heard]:
        """Every word in a recording, in order."""
        size = 2 * int(rate * FRAME)
        ears = self.listener(rate)
        frames = [pcm[at : at + size] for at in range(0, len(pcm) - size + 1, size)]
        return [word for n, frame in enumerate(frames) for word in ears.frame(frame, n * FRAME)[1]]

    def listener(self, rate: int) -> Listener:
        return _ToneListener(self, rate)


def plain(word: str) -> str:
    """A word without its punctuation and capitals."""
    return re.sub(r"[^\w']", "", word).lower()


def silence(seconds: float, rate: int = 16000) -> bytes:
    """Nothing said, as PCM16."""
    return bytes(2 * int(rate * seconds))


class _ToneListener:
    def __init__(self, tones: Tones, rate: int) -> None:
        self._tones = tones
        self._rate = rate
        self._now: int | None = None
        self._since = 0.0
        self._told = False

    def frame(self, pcm: bytes, at: float) -> tuple[bool, list[Heard]]:
        samples = np.frombuffer(pcm, "<i2").astype(np.float64)
        if _volume(samples) < 1000:
            self._now = None
            return False, []
        spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 4096))
        pitch = float(np.argmax(spectrum)) * self._rate / 4096
        index = round((pitch - self._tones.LOWEST) / self._tones.STEP)
        if index != self._now:
            self._now, self._since, self._told = index, at, False
        if self._told or at - self._since < 2 * FRAME or not 0 <= index < len(self._tones.words):
            return True, []
        self._told = True
        return True, [Heard(self._tones.words[index], self._since, at + FRAME)]

    def delivered(self, count: int) -> None:
        return


# ------------------------------------------------------------------------------ script


@dataclass
class _Utterance:
    words: list[str]
    seconds: float
    done: int = 0


class Script:
    """Any voice, and what it is taken to say.

    Args:
        utterances: What the caller says, one entry for each stretch of speech.
        seconds: How long each word lasts.
        threshold: The volume (RMS of PCM16) above which there is a voice.
    """

    def __init__(
        self, utterances: Sequence[str], *, seconds: float = 0.3, threshold: float = 300.0
    ) -> None:
        self.seconds = seconds
        self.threshold = threshold
        self.left = [_Utterance(text.split(), len(text.split()) * seconds) for text in utterances]

    def listener(self, rate: int) -> Listener:
        return _ScriptListener(self)


class _ScriptListener:
    """Words come out as speech goes on; the last ones at the latest 0.2 s after its end.

    Words that were never delivered as final belong to the script still: a client that sends their
    audio again, on another connection, hears them again.
    """

    def __init__(self, script: Script) -> None:
        self._script = script
        self._spoken = 0.0
        self._quiet = 0.0
        self._shown = 0
        self._begun = 0.0

    def frame(self, pcm: bytes, at: float) -> tuple[bool, list[Heard]]:
        script = self._script
        voice = _volume(np.frombuffer(pcm, "<i2").astype(np.float64)) >= script.threshold
        if voice:
            self._spoken += FRAME
            self._quiet = 0.0
        else:
            self._quiet += FRAME
        if not script.left:
            return voice, []
        now = script.left[0]
        left = now.words[now.done :]
        due = min(len(left), int(self._spoken / script.seconds))
        # Speech that ended with most of the utterance spoken has said all of it.
        if self._quiet >= 0.2 and self._spoken >= 0.6 * len(left) * script.seconds:
            due = len(left)
        elif voice and self._spoken >= 0.1:
            due = max(due, min(1, len(left)))
        fresh = left[self._shown : due]
        self._shown = max(self._shown, due)
        length = script.seconds if voice else 0.01
        return voice, [Heard(word, max(0.0, at - length), at) for word in fresh]

    def delivered(self, count: int) -> None:
        if not self._script.left:
            return
        now = self._script.left[0]
        now.done += count
        self._shown -= count
        self._spoken = max(0.0, self._spoken - count * self._script.seconds)
        if now.done >= len(now.words):
            self._script.left.pop(0)
            self._shown, self._spoken = 0, 0.0
