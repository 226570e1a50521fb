"""Where the callers' voices come from: a folder of recordings, and the embedded voice."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench.turns.calls import RATE, Samples, silences, voiced
from bench.turns.channels import clip, level

VOICES = ((1.0, 1.0), (0.84, 1.0), (1.12, 1.05), (0.9, 1.15), (0.78, 0.95))
"""The embedded voice and its relatives: pitch, and speed, each times the original's."""

_MODEL: list[Any] = []


@dataclass(frozen=True, kw_only=True, eq=False)
class Piece:
    """Something said: trimmed to its first and last sound, PCM16 at 8 kHz."""

    samples: Samples
    text: str

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self.samples) / RATE


class Speaker:
    """The embedded voice."""

    def __init__(self) -> None:
        from tipring_tts_hibari.voice import Voice

        self._voice = Voice("heart")
        self._known: dict[tuple[str, int], Piece] = {}

    def say(self, text: str, voice: int = 0) -> Piece:
        """Render a text.

        Args:
            text: The words.
            voice: Which of VOICES.
        """
        found = self._known.get((text, voice))
        if found is None:
            pitch, speed = VOICES[voice % len(VOICES)]
            samples = self._voice.say(text, rate=RATE, speed=speed, pitch=pitch)
            found = Piece(samples=trimmed(level(samples)), text=text)
            self._known[(text, voice)] = found
        return found

    def agent(self, sentence: str) -> Samples:
        """A sentence of the agent's. It begins with its sound: the stub adds the delay."""
        return trimmed(level(self._voice.say(sentence, rate=RATE), -20.0))


def trimmed(samples: Samples) -> Samples:
    """Without the silence at both ends."""
    spoken = np.flatnonzero(voiced(samples, 0.0, len(samples) / RATE))
    if not len(spoken):
        return samples
    return samples[spoken[0] * 80 : (spoken[-1] + 1) * 80]


@dataclass
class Corpus:
    """What there is to say, by use.

    Attributes:
        requests: Whole sentences.
        digits: Single digits: by speaker, by digit.
        room: Long recordings of several people, for babble.
    """

    requests: list[Piece] = field(default_factory=list)
    digits: dict[str, dict[str, list[Piece]]] = field(default_factory=dict)
    room: list[Samples] = field(default_factory=list)


REQUESTS = (
    "I would like to make an appointment for next Tuesday.",
    "Can you tell me what your opening hours are?",
    "I need to cancel my booking for tomorrow morning.",
    "Do you have anything free on Friday afternoon?",
    "I am calling about the invoice that you sent me last week.",
    "Could you put me through to somebody in sales?",
    "My washing machine has stopped working and I need a repair.",
    "I want to order two large pizzas with mushrooms.",
    "How much does it cost to have my car cleaned?",
    "Is it possible to change my delivery address?",
    "I have a question about the warranty on my heater.",
    "Please book a table for four people at seven.",
    "I would like to speak with the doctor about my results.",
    "What do I need to bring with me when I come in?",
    "We are going to be about twenty minutes late tonight.",
    "I think there is a mistake on my last bill.",
    "Can somebody call me back later this afternoon?",
    "I would like to return a pair of shoes that I bought.",
    "The heating in my apartment has not worked since Sunday.",
    "Tell me about the cheapest plan that you have.",
)


def spoken(speaker: Speaker, random: np.random.Generator) -> Corpus:
    """A corpus of the embedded voice alone."""
    corpus = Corpus()
    for number, text in enumerate(REQUESTS):
        corpus.requests.append(speaker.say(text, number % len(VOICES)))
    corpus.room = [piece.samples for piece in corpus.requests]
    return corpus


def recorded(folder: Path, cache: Path) -> Corpus:
    """A corpus from a folder with a MANIFEST.csv.

    The columns ``file`` and ``seconds`` are needed. ``text`` says what is said; where it is missing
    the embedded transcriber is asked, once. A file ``7_name_3.*`` of under a second is a digit.

    Args:
        folder: The recordings.
        cache: Where transcripts are kept.
    """
    corpus = Corpus()
    known: dict[str, str] = json.loads(cache.read_text()) if cache.is_file() else {}
    with (folder / "MANIFEST.csv").open(encoding="utf-8", newline="") as table:
        rows = list(csv.DictReader(table))
    for row in rows:
        path, seconds = folder / row["file"], float(row["seconds"])
        digit = re.fullmatch(r"(\d)_([a-z]+)_\d+", path.stem)
        if digit and seconds < 1.2:
            piece = Piece(samples=trimmed(level(_read(path))), text=digit[1])
            corpus.digits.setdefault(digit[2], {}).setdefault(digit[1], []).append(piece)
        elif 1.5 <= seconds <= 12.0:
            text = row.get("text") or known.get(row["file"])
            if text is None:
                text = known[row["file"]] = _transcribe(path)
            samples = trimmed(level(_read(path)))
            # One stretch of speech: what pauses for longer may be two people, or two turns.
            gaps = [b - a for a, b in silences(samples, 0.0, len(samples) / RATE)]
            if len(text.split()) >= 3 and (not gaps or max(gaps) < 0.7):
                corpus.requests.append(Piece(samples=samples, text=text))
        elif seconds >= 20.0:
            corpus.room.append(_read(path))
    cache.parent.mkdir(parents=True, exist_ok=True)
    cache.write_text(json.dumps(known, indent=0))
    return corpus


def _read(path: Path) -> Samples:
    import soundfile
    import soxr  # type: ignore[import-untyped, unused-ignore]

    samples, rate = soundfile.read(str(path), dtype="float32", always_2d=True)
    return clip(soxr.resample(samples[:, 0], rate, RATE) * 32768.0)


def _transcribe(path: Path) -> str:
    import soundfile
    import soxr  # type: ignore[import-untyped, unused-ignore]
    from tipring_stt_moonshine.decoder import Model

    if not _MODEL:
        _MODEL.append(Model())
    samples, rate = soundfile.read(str(path), dtype="float32", always_2d=True)
    sound = np.asarray(soxr.resample(samples[:, 0], rate, 16000), dtype=np.float32)
    return str(_MODEL[0].text(sound, 16000)).strip()
