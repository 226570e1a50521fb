"""Telephone channels: what a line does to a voice before μ-law does the rest."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bench.turns.calls import RATE, Samples, voiced

CHANNELS = ("clean", "babble15", "loss3", "quiet15")
"""Band-limited; with babble 15 dB under the voice; 3 % of the frames lost in bursts; 15 dB down."""

LEVEL = -22.0
"""dB under full scale of a voice while it speaks, before the channel."""

Floats = npt.NDArray[np.float64]


def band(samples: Floats) -> Floats:
    """300 to 3400 Hz, with the slope of a fourth-order filter."""
    spectrum = np.fft.rfft(samples)
    hertz = np.maximum(np.fft.rfftfreq(len(samples), 1 / RATE), 1.0)
    gain = 1 / np.sqrt(1 + (300 / hertz) ** 8) / np.sqrt(1 + (hertz / 3400) ** 8)
    return np.fft.irfft(spectrum * gain, len(samples))


def active_level(samples: Samples) -> float:
    """The root mean square while there is a voice."""
    voice = voiced(samples, 0.0, len(samples) / RATE)
    blocks = samples[: len(voice) * 80].reshape(-1, 80).astype(np.float64)[voice]
    return float(np.sqrt(np.mean(blocks * blocks))) if len(blocks) else 0.0


def level(samples: Samples, decibels: float = LEVEL) -> Samples:
    """Bring a voice to a level, the noise in it along."""
    now = active_level(samples)
    if now < 1.0:
        return samples
    return clip(samples * (32768 * 10 ** (decibels / 20) / now))


def clip(samples: npt.NDArray[np.floating] | Floats) -> Samples:
    """PCM16 of whatever came out."""
    return np.clip(np.round(samples), -32768, 32767).astype(np.int16)


def through(channel: str, samples: Samples, random: np.random.Generator) -> Samples:
    """Send the caller through a channel."""
    out = band(samples.astype(np.float64))
    if channel == "quiet15":
        out *= 10 ** (-15 / 20)
    if channel == "loss3":
        out = _lose(out, 0.03, random)
    return clip(out)


def _lose(samples: Floats, share: float, random: np.random.Generator) -> Floats:
    """Gilbert's model: bursts of 2.5 frames of 20 ms on average, filled with nothing."""
    out, leave = samples.copy(), 1 / 2.5
    enter, lost = share * leave / (1 - share), False
    for at in range(0, len(out), RATE // 50):
        lost = random.random() >= leave if lost else random.random() < enter
        if lost:
            out[at : at + RATE // 50] = 0.0
    return out


def babble(voices: list[Samples], seconds: float, random: np.random.Generator) -> Samples:
    """Six voices at once, 15 dB under a caller at LEVEL, to be repeated."""
    length = int(seconds * RATE)
    mixed = np.zeros(length)
    for _ in range(6):
        at = 0
        while at < length:
            voice = level(voices[int(random.integers(len(voices)))]).astype(np.float64)
            piece = voice[: length - at]
            mixed[at : at + len(piece)] += piece
            at += len(piece)
    mixed = band(mixed)
    mixed *= 32768 * 10 ** ((LEVEL - 15) / 20) / max(1.0, float(np.sqrt(np.mean(mixed * mixed))))
    return clip(mixed)


def cough(random: np.random.Generator) -> Samples:
    """Two bursts of breath, 0.45 s."""
    length = int(0.45 * RATE)
    t = np.arange(length) / RATE
    shape = np.exp(-t / 0.06) + 0.7 * np.where(t > 0.22, np.exp(-(t - 0.22) / 0.08), 0.0)
    noise = random.normal(0, 1, length)
    voice = 0.4 * np.sin(2 * np.pi * 180 * t) * np.exp(-t / 0.05)
    return level(clip(6000 * shape * (noise + voice)), LEVEL + 3)


def floor_noise(like: Samples, seconds: float, random: np.random.Generator) -> Samples:
    """Silence with the noise of a recording."""
    blocks = like[: len(like) // 80 * 80].reshape(-1, 80).astype(np.float64)
    quiet = float(np.percentile(np.sqrt(np.mean(blocks * blocks, axis=1)), 3)) if len(blocks) else 0
    return clip(random.normal(0, min(quiet, 40.0), int(seconds * RATE)))
