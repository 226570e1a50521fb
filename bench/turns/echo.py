"""The agent's words that come back to it, as the transcriber of a real line would read them.

The sound of an echo is in the caller's microphone all the time. What stub transcribers know of it
is told here, word by word, and only while an event of the kind ``echo`` lasts: a system that
answers its own words does so without end, and the rest of the call would tell nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bench.turns.calls import RATE, Samples, Word, spread
from bench.turns.truth import Voice, sentences

AFTER = 0.12
"""Seconds until the agent's own voice comes back."""

_LOOK = 0.6
"""Seconds of what was heard by which it is found in what is said."""
_ALIKE = 0.5
"""How alike they must be, 0 to 1: telephone sound of the same rendering is 0.98 or more."""
_SILENT = 200
"""The peak, of 32767, under which the agent is silent."""


def coming(reply: str, heard: Samples, voice: Voice) -> Iterator[Word]:
    """The words that the agent is about to say.

    Args:
        reply: What it is saying.
        heard: What was heard of it by now, PCM16 at 8 kHz.
        voice: How it sounds.

    Returns:
        Each that has not begun yet, with seconds from now; none when something else is heard.
    """
    place = _place(heard[-round(_LOOK * RATE) :], np.concatenate(_rendered(reply, voice)))
    begun = 0.0
    for text, sound in zip(sentences(reply), _rendered(reply, voice), strict=True):
        for word in spread(text, sound, 0.0, len(sound) / RATE):
            if place is not None and begun + word.begin >= place:
                at = begun - place
                yield Word(text=word.text, begin=at + word.begin, end=at + word.end)
        begun += len(sound) / RATE


def silent(heard: Samples) -> bool:
    """Whether there is nothing to be heard."""
    return int(np.abs(heard.astype(np.int32)).max(initial=0)) < _SILENT


def _rendered(reply: str, voice: Voice) -> list[Samples]:
    return [voice.say(sentence) for sentence in sentences(reply)]


def _place(heard: Samples, said: Samples) -> float | None:
    """Where in what is said the end of what was heard is, in seconds."""
    if silent(heard):
        return None
    part = heard.astype(np.float64)
    # It may have begun a moment ago, with silence before it.
    whole = np.concatenate([np.zeros(len(part)), said.astype(np.float64)])
    size = 1 << (len(whole) + len(part)).bit_length()
    match = np.fft.irfft(np.fft.rfft(whole, size) * np.conj(np.fft.rfft(part, size)), size)
    power = np.concatenate([[0.0], np.cumsum(whole * whole)])
    power = power[len(part) :] - power[: -len(part)]
    alike = match[: len(power)] / np.sqrt(power * float(np.dot(part, part)) + 1.0)
    best = int(np.argmax(alike))
    return best / RATE if alike[best] >= _ALIKE else None
