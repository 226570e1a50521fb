"""Which of the model's words were said, and which it made up."""

from __future__ import annotations

import re
from collections.abc import Sequence

_WORD = re.compile(r"[^\W_]+(?:['’.:-][^\W_]+)*")

_NUMBERS = frozenset(
    "zero oh one two three four five six seven eight nine ten eleven twelve double triple".split()
)

ALWAYS_INVENTED = frozenset({"you"})
"""What Moonshine writes for silence, noise, tones and DTMF. Nobody's whole answer is "you"."""

SOMETIMES_INVENTED = frozenset({"thank you", "thanks", "bye", "thanks for watching", "the", "so"})
"""What it writes for a cough or a click. Callers say these too, so only a sound too short to
hold them condemns them."""

SHORTEST_PHRASE = 0.16
"""Seconds of voice below which the phrases above were not said."""

WORDS_PER_SECOND = 5.0
"""Nobody reads digits faster. More repetition than this allows is the model's, not the caller's."""


def clean(text: str, *, voiced: float) -> str:
    """Keep what the caller said, or give the empty string.

    Args:
        text: The model's words.
        voiced: Seconds of the audio that were loud enough to be voice.
    """
    if "©" in text or "♪" in text:
        # Subtitles' furniture, learned from films.
        return ""
    text = cut_loops(" ".join(text.split()), voiced=voiced)
    plain = " ".join(_plain(text))
    if not plain or plain in ALWAYS_INVENTED:
        return ""
    if plain in SOMETIMES_INVENTED and voiced < SHORTEST_PHRASE:
        return ""
    return text


def unfinished(text: str) -> str:
    """An interim without the full stop that the model puts on everything."""
    return text.rstrip(" .?!,;:…-")


def cut_loops(text: str, *, voiced: float) -> str:
    """Say once what the model says over and over.

    A phrase of two words or more three times running, or a single word four times running, is
    kept once. Numbers are different: "five five five five" is what people say, so they are only
    cut when there are more of them than fit into the time.

    Args:
        text: The model's words.
        voiced: Seconds of voice they came from.
    """
    words = text.split()
    hurried = len(words) > WORDS_PER_SECOND * voiced + 3
    plain = ["".join(_plain(word)) for word in words]
    at = 0
    while at < len(words):
        for size in range(1, min(12, (len(words) - at) // 3) + 1):
            block = plain[at : at + size]
            times = 1
            while plain[at + times * size : at + (times + 1) * size] == block:
                times += 1
            looped = times >= (4 if size == 1 else 3)
            if looped and (hurried or not _numeric(block)):
                # The last round is kept: it carries the end of the sentence.
                del words[at : at + (times - 1) * size], plain[at : at + (times - 1) * size]
        at += 1
    return " ".join(words)


def _plain(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text)]


def _numeric(block: Sequence[str]) -> bool:
    return all(word in _NUMBERS or any(c.isdigit() for c in word) for word in block)
