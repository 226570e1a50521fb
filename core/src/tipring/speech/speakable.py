"""Text as it should be read out: a number that is a name is said digit by digit.

A voice reads "555-0100" as a subtraction and "order 100234" as a hundred thousand. Such shapes are
rewritten for the voice only; the model's context keeps the text as it was written.

Rewritten:

* phone numbers, extensions, card and social security numbers, order, confirmation and other codes:
  character by character, with a comma between groups, which voices read as a short pause;
* e-mail addresses ("jo at example dot com"), and the ``https://`` of an address, which is dropped;
* what a model writes for the eye (bold, headings, bullets, links, code marks, emoji): dropped.

Left alone: prices, years, times, dates, percentages and plain quantities. A digit is never lost and
never moves, except in the address of a markdown link, which nobody says.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from tipring.speech.lexicon import END, ENGLISH, SPANISH, Lexicon
from tipring.speech.markup import strip_emoji, strip_markdown

Say = Callable[[re.Match[str]], str]

# A shape stands alone: not inside a word, a price, a decimal or a longer number.
_START = r"(?<![\w$€£+/-])(?<!\d[.,:])"
# Digits, or letters and digits, in parts joined by hyphens; at least one digit.
_CODE = r"(?=[A-Z-]*\d)[A-Z0-9]+(?:-[A-Z0-9]+)*"

# The two-digit country codes of ITU-T E.164; +1 and +7 have one digit, the others three.
_TWO_DIGIT_COUNTRIES = frozenset(
    "20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 60 61 62 63 64"
    " 65 66 81 82 84 86 90 91 92 93 94 95 98".split()
)


@dataclass(frozen=True, kw_only=True)
class _Shape:
    """One thing to look for, and how it is said."""

    pattern: re.Pattern[str]
    say: Say


class Speakable:
    """Makes text speakable in one language.

    Args:
        language: A BCP 47 tag. English and Spanish have words of their own; any other language
            gets the English ones.
    """

    def __init__(self, language: str = "en") -> None:
        base = language.replace("_", "-").split("-")[0].lower()
        self._shapes = _shapes(SPANISH if base == "es" else ENGLISH)

    def __call__(self, text: str) -> str:
        """Give the text as it should be read out, itself where there is nothing to mend."""
        text = strip_markdown(strip_emoji(text))
        said: list[str] = []
        at = 0
        while at < len(text):
            first: tuple[re.Match[str], Say] | None = None
            for shape in self._shapes:
                match = shape.pattern.search(text, at)
                # The earliest wins, and of two at one place the one that is listed first.
                if match and (first is None or match.start() < first[0].start()):
                    first = (match, shape.say)
            if first is None:
                break
            found, say = first
            said += [text[at : found.start()], say(found)]
            at = found.end()
        return "".join([*said, text[at:]])

    async def transform(self, text: str, aggregation_type: str) -> str:
        """Pipecat's form of it: ``tts.add_text_transformer(Speakable("es").transform)``.

        Args:
            text: A sentence on its way to the voice.
            aggregation_type: What kind of text it is, which makes no difference here.
        """
        return self(text)


@cache
def speaker(language: str) -> Speakable:
    """The one that the whole process shares for a language."""
    return Speakable(language)


def speakable(text: str, language: str = "en") -> str:
    """Give one text as it should be read out. See :class:`Speakable`."""
    return speaker(language)(text)


async def transform(text: str, aggregation_type: str) -> str:
    """English, for ``text_transforms=[("*", transform)]``. See :meth:`Speakable.transform`."""
    return speakable(text)


def _shapes(words: Lexicon) -> tuple[_Shape, ...]:
    """Everything to look for, what is left alone first."""

    def shape(pattern: str, say: Say, *, exact: bool = False) -> _Shape:
        return _Shape(pattern=re.compile(pattern, 0 if exact else re.IGNORECASE), say=say)

    quantity = rf"(?!\s*(?:{words.units})\b)"
    announced = rf"(?:{words.numbered}|{words.strong})(?:{words.links})"
    phones = [rf"0\d{{1,4}}([ -])\d{{3,4}}\1\d{{3,4}}{END}", *words.phones]
    return (
        shape(r"https?://(?=[A-Z0-9])([^\s<>]*)", lambda m: m[1]),
        shape(
            r"(?<![\w.+-])[A-Z0-9_+-]+(?:\.[A-Z0-9_+-]+)*@[A-Z0-9-]+(?:\.[A-Z0-9-]+)*\.[A-Z]{2,}"
            r"(?![\w@])",
            lambda m: _address(m[0], words),
        ),
        shape(r"[$€£]\s?\d[\d.,]*", lambda m: m[0]),
        shape(r"(?<!\d)\d{4}-\d{2}-\d{2}(?!\d)", lambda m: m[0]),
        shape(
            r"(?<![\w+])\+\d(?:[ .-]?\(?\d\)?){7,14}" + END,
            lambda m: f"{words.plus} {_international(m[0][1:])}",
        ),
        shape(
            rf"{_START}((?:1[ .-]?)?(?:\(\d{{3}}\) ?|\d{{3}}[ .-])\d{{3}}[ .-]\d{{4}})"
            rf"(?:[ ]?x(\d{{1,6}}))?{END}",
            lambda m: _north_american(m[1]) + _extension(m[2], f", {words.extension}"),
        ),
        shape(rf"{_START}1?\d{{10}}{END}{quantity}", lambda m: _north_american(m[0])),
        shape(
            rf"{_START}(?:\d{{4}}([ -])\d{{4}}\1\d{{4}}\1\d{{1,4}}|\d{{3}}-\d{{2}}-\d{{4}}){END}",
            lambda m: _grouped(m[0]),
        ),
        *(shape(rf"{_START}{phone}{quantity}", lambda m: _grouped(m[0])) for phone in phones),
        shape(
            rf"(\b(?:{words.dial})\s+)(\d{{3}}-\d{{4}}|[2-9]11|112|999|988){END}",
            lambda m: m[1] + _grouped(m[2]),
        ),
        shape(
            rf"\b(?:(ext\.?|extension|extensión)|(anexo|interno))\s*#?(\d{{1,6}}){END}"
            rf"(?!\s*(?:{words.lasting}))",
            lambda m: _extension(m[3], words.extension if m[1] else m[2]),
        ),
        shape(
            rf"(\b{announced})#?({_CODE}){END}",
            lambda m: f"{m[1].rstrip('# ')} {_grouped(m[2])}",
        ),
        shape(
            rf"(\b(?:{words.nouns})\s+)(#?)(?=[A-Z0-9-]{{3,}})({_CODE}){END}",
            lambda m: _named(m, words),
        ),
        shape(rf"(?<!\w)#(\d{{4,}}){END}", lambda m: f"{words.number} {_spelled(m[1])}"),
        # Without a word to announce it: capitals and digits that change places, or a prefix and a
        # long number.
        shape(
            rf"{_START}(?:(?=[A-Z0-9]{{5,}}\b)(?=[A-Z0-9]*(?:[A-Z]\d+[A-Z]|\d[A-Z]+\d))[A-Z0-9]+"
            rf"|[A-Z]{{2,3}}\d{{4,}}|[A-Z]{{1,3}}-\d{{4,}}){END}",
            lambda m: _grouped(m[0]),
            exact=True,
        ),
    )


def _spelled(run: str) -> str:
    """Character by character; a long run gets a pause after every third."""
    if len(run) <= 7:
        return " ".join(run)
    parts = [run[at : at + 3] for at in range(0, len(run), 3)]
    if len(parts[-1]) == 1:
        # "… 5 6 7, 8" sounds like an afterthought.
        parts[-2:] = [parts[-2] + parts[-1]]
    return ", ".join(" ".join(part) for part in parts)


def _grouped(text: str) -> str:
    """Spell what was written in groups, with a pause wherever it had a break."""
    parts: list[str] = []
    for run in re.findall(r"[^\W_]+", text):
        # "INV20391" is said as its letters, then its number.
        prefix = re.fullmatch(r"([A-Za-z]+)(\d{4,})", run)
        parts += [_spelled(part) for part in (prefix.groups() if prefix else (run,))]
    return ", ".join(parts)


def _north_american(text: str) -> str:
    digits = re.sub(r"\D", "", text)
    groups = [digits[-10:-7], digits[-7:-4], digits[-4:]]
    if len(digits) == 11:
        groups.insert(0, digits[0])
    return ", ".join(" ".join(group) for group in groups)


def _international(text: str) -> str:
    """Say a number that began with a plus, which is already gone."""
    digits = re.sub(r"\D", "", text)
    if digits.startswith("1") and len(digits) == 11:
        return _north_american(digits)
    if len(re.findall(r"\d+", text)) > 1:
        return _grouped(text)
    length = 1 if digits[0] in "17" else 2 if digits[:2] in _TWO_DIGIT_COUNTRIES else 3
    return f"{' '.join(digits[:length])}, {_spelled(digits[length:])}"


def _extension(digits: str | None, word: str) -> str:
    return f"{word} {' '.join(digits)}" if digits else ""


def _named(found: re.Match[str], words: Lexicon) -> str:
    """Say a noun and its number, where the number can hardly be a quantity."""
    noun, mark, code = found.groups()
    if mark:
        return f"{noun}{words.number} {_grouped(code)}"
    if re.fullmatch(r"\d{1,4}|\d+-\d{1,2}|[A-Za-z-]+\d?|\d+(?:st|nd|rd|th|[a-z]{1,2})", code):
        # "order 1500 of them", "order 2-3", "case by case", "account 2nd".
        return found[0]
    return noun + _grouped(code)


def _address(text: str, words: Lexicon) -> str:
    marks = {"@": words.at, ".": words.dot, "_": words.underscore, "-": words.dash, "+": words.plus}
    return re.sub(
        r"\s+", " ", re.sub(r"[@._+-]", lambda found: f" {marks[found[0]]} ", text)
    ).strip()
