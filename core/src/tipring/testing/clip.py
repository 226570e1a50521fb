"""A piece of speech, ready for the line: 8 kHz, mono, PCM16."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tipring.errors import TipringError
from tipring.phone.mulaw import RATE

BLOCK = 80
"""Samples in which loudness is measured: 10 ms."""

AUDIBLE = 32768 * 10 ** (-50 / 20)
"""The root mean square of a block that counts as sound: 50 dB under full scale."""

_NOISE = 32768 * 10 ** (-23 / 20)  # the root mean square of speech at an ordinary level

# A recording's own noise can be over AUDIBLE; speech is near its peak.
_BELOW_PEAK = 10 ** (-30 / 20)


def loudness(samples: npt.NDArray[np.int16]) -> npt.NDArray[np.float64]:
    """The root mean square of each whole block of 10 ms."""
    blocks = samples[: len(samples) // BLOCK * BLOCK].reshape(-1, BLOCK).astype(np.float64)
    return np.asarray(np.sqrt(np.mean(blocks * blocks, axis=1)))


@dataclass(frozen=True, kw_only=True, eq=False)
class Clip:
    """Something to say.

    Attributes:
        samples: PCM16 mono at 8 kHz.
        text: The words, when they are known.
    """

    samples: npt.NDArray[np.int16]
    text: str = ""

    @property
    def seconds(self) -> float:
        """How long it lasts, silence at its ends included."""
        return len(self.samples) / RATE

    @cached_property
    def _bounds(self) -> tuple[float, float]:
        # Padded to whole blocks, or the last few milliseconds would be nobody's.
        loud = loudness(np.pad(self.samples, (0, -len(self.samples) % BLOCK)))
        if not len(loud):
            return 0.0, 0.0
        heard = np.flatnonzero(loud > max(AUDIBLE, float(np.max(loud)) * _BELOW_PEAK))
        if not len(heard):
            return 0.0, self.seconds
        first, last = int(heard[0]), int(heard[-1])
        return first * BLOCK / RATE, min((last + 1) * BLOCK / RATE, self.seconds)

    @property
    def onset(self) -> float:
        """Seconds from its first sample to the first sound, to 10 ms.

        Sound is a block of 10 ms over -50 dB of full scale that is also less than 30 dB under
        the clip's loudest. A clip without any counts as sound from end to end.
        """
        return self._bounds[0]

    @property
    def offset(self) -> float:
        """Seconds from its first sample to the end of the last sound, to 10 ms."""
        return self._bounds[1]

    @classmethod
    def from_samples(cls, samples: npt.NDArray[Any], rate: int, *, text: str = "") -> Clip:
        """Take what a voice rendered.

        Args:
            samples: Mono, or one column a channel; floats from -1 to 1, or PCM16.
            rate: Hz of the samples.
            text: The words.

        Raises:
            TipringError: The samples are neither floats nor PCM16.
        """
        import soxr  # type: ignore[import-untyped, unused-ignore]

        sound = np.asarray(samples)
        if sound.dtype == np.int16:
            sound = sound.astype(np.float32) / 32768
        elif not np.issubdtype(sound.dtype, np.floating):
            raise TipringError(
                "Clip.from_samples",
                f"samples are {sound.dtype}, and floats or int16 were expected",
                "convert them with .astype(np.int16) if they are PCM16 in a wider type",
            )
        sound = sound.astype(np.float32)
        if sound.ndim > 1:
            sound = sound.mean(axis=1)
        if rate != RATE:
            sound = soxr.resample(sound, rate, RATE)
        pcm = np.clip(np.round(sound * 32768), -32768, 32767).astype(np.int16)
        return cls(samples=pcm, text=text)

    @classmethod
    def load(cls, path: str | Path, *, text: str = "") -> Clip:
        """Read a WAV or FLAC file of any rate; several channels are mixed to one.

        Raises:
            TipringError: The file is not there, or holds no sound that can be read.
        """
        import soundfile

        if not Path(path).is_file():
            raise TipringError(str(path), "there is no such file", "check the path")
        try:
            samples, rate = soundfile.read(str(path), dtype="float32")
        except soundfile.SoundFileError as error:
            raise TipringError(
                str(path), f"is not a sound file that can be read ({error})", "use WAV or FLAC"
            ) from None
        return cls.from_samples(samples, rate, text=text)

    def quieter(self, decibels: float) -> Clip:
        """The same, so many decibels softer."""
        softer = np.round(self.samples * 10 ** (-decibels / 20))
        return Clip(samples=softer.astype(np.int16), text=self.text)

    @classmethod
    def noise(cls, seconds: float, *, seed: int = 1) -> Clip:
        """A noise as loud as speech, which begins at once and dies away: a cough, a door, a street.

        Args:
            seconds: How long it lasts.
            seed: The same number makes the same noise.
        """
        count = max(1, round(seconds * RATE))
        hiss = np.random.default_rng(seed).normal(0, 1, count)
        # Rooms and throats have less of the high tones than a hiss has.
        dull = np.convolve(hiss, np.ones(6) / 6, mode="same")
        fades = np.minimum(1.0, np.arange(count, 0, -1) / (0.4 * count))
        shaped = dull / np.sqrt(np.mean(dull**2)) * _NOISE * fades
        return cls(samples=np.clip(shaped, -32768, 32767).astype(np.int16), text="(noise)")

    @classmethod
    def silence(cls, seconds: float) -> Clip:
        """Nothing, for so many seconds."""
        return cls(samples=np.zeros(round(seconds * RATE), dtype=np.int16))
