"""Words and numbers as a transcriber may have written them."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

_TOKEN = re.compile(r"\d{1,2}:\d{2}|\d+(?:st|nd|rd|th)\b|\d+|[a-z]+(?:'[a-z]+)?")

UNITS = {
    word: value
    for value, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
        "fifteen sixteen seventeen eighteen nineteen".split()
    )
}
TENS = {
    word: value
    for value, word in zip(
        range(20, 100, 10),
        "twenty thirty forty fifty sixty seventy eighty ninety".split(),
        strict=True,
    )
}

_ZEROES = {"oh", "o", "nought", "naught"}
_TIMES = {"double": 2, "triple": 3}
_BETWEEN = {"um", "uh", "er", "and", "then", "dash", "hyphen", "dot", "space", "area", "code"}


def tokens(text: str) -> list[str]:
    """Lower-case words, numbers, ``3:30`` and ``5th``; ``p.m.`` and ``p m`` become ``pm``."""
    text = text.lower().replace("’", "'")
    text = re.sub(r"\b([ap])\.\s?m\b\.?", r"\1m", text)
    text = re.sub(r"(?<=\d)\s?([ap])\s?m\b", r" \1m", text)
    text = re.sub(r"\bo'? ?clock\b", "oclock", text)
    found = _TOKEN.findall(text)
    joined: list[str] = []
    for token in found:
        # "three p m"; but "I am", and the letters of a spelled name, stay as they are.
        numbered = len(joined) > 1 and number(joined[-2]) is not None
        if token == "m" and joined and joined[-1] in ("a", "p") and numbered:
            joined[-1] += "m"
        else:
            joined.append(token)
    return joined


def number(token: str) -> int | None:
    """The number that one token is."""
    if token.isdigit():
        return int(token)
    return UNITS.get(token, TENS.get(token))


def contains(words: Sequence[str], phrase: str) -> bool:
    """Whether the words of a phrase stand in a row."""
    return find(words, phrase) is not None


def find(words: Sequence[str], phrase: str) -> int | None:
    """Where the words of a phrase stand in a row."""
    wanted = _phrase(phrase)
    if not wanted or wanted[0] not in words:
        return None
    for at in range(words.index(wanted[0]), len(words) - len(wanted) + 1):
        if tuple(words[at : at + len(wanted)]) == wanted:
            return at
    return None


@functools.cache
def _phrase(phrase: str) -> tuple[str, ...]:
    # The script's own phrases, a few hundred; a conversation is read again for every answer.
    return tuple(tokens(phrase))


def digit_runs(words: Sequence[str]) -> list[tuple[int, int, str]]:
    """Every row of digits, as (start, stop, digits), read the way phone numbers are read.

    "five five five", "555", "double five", "oh", "forty four" and "eight hundred" all count;
    an "um" or "dash" between two digits does not break the row.
    """
    runs: list[tuple[int, int, str]] = []
    at = 0
    while at < len(words):
        digits, stop = "", at
        while stop < len(words):
            step, more = _digits_at(words, stop, started=bool(digits))
            if not step:
                break
            digits, stop = digits + more, stop + step
        # A row does not end in an "um" or an "and".
        while stop > at and words[stop - 1] in _BETWEEN:
            stop -= 1
        if digits:
            runs.append((at, stop, digits))
        at = max(stop, at + 1)
    return runs


def _digits_at(words: Sequence[str], at: int, *, started: bool) -> tuple[int, str]:
    word = words[at]
    following = words[at + 1] if at + 1 < len(words) else ""
    if word.isdigit():
        return 1, word
    if word in _TIMES and (value := UNITS.get(following, 10)) < 10:
        return 2, str(value) * _TIMES[word]
    if word in _TIMES and len(following) == 1 and following.isdigit():
        return 2, following * _TIMES[word]
    if word in TENS:
        unit = UNITS.get(following, 0)
        return (2, str(TENS[word] + unit)) if 0 < unit < 10 else (1, str(TENS[word]))
    if word in UNITS:
        if UNITS[word] in range(1, 10) and following in ("hundred", "thousand"):
            return 2, str(UNITS[word]) + ("00" if following == "hundred" else "000")
        return 1, str(UNITS[word])
    next_is_digit = bool(following) and (following.isdigit() or following in UNITS)
    if word in _ZEROES and (started or next_is_digit or following in _ZEROES):
        return 1, "0"
    if started and word in _BETWEEN:
        return 1, ""
    return 0, ""
