"""How a language asks for numbers, names and addresses, and when what is answered is whole.

A dictated number has pauses of two or three seconds that are no end; ten digits of a telephone
number are an end, whatever the voice sounds like; and a "yes" to a yes-or-no question needs no full
stop. Whatever does not look like a part of such an answer ("I don't have it", "Tuesday") is left to
the other rules, so that nobody waits for a number that is not coming.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from tipring.turns.email import Email
from tipring.turns.numbers import Numbers
from tipring.turns.words import base_language, spoken

YES_OR_NO = "yes or no"
_LETTERS = 3
"""Letters in a row that are a spelling though nobody asked for one."""
_AS_LETTERS = 2
"""How many of them must be written as letters, where the others are words that sound like some."""


@dataclass(frozen=True, kw_only=True)
class Pauses:
    """How long a pause in an answer may last, in seconds.

    Attributes:
        dictation: Inside a number: pauses of 2-3 s between its groups are usual.
        spelling: Between letters, and between the parts of a date or an e-mail address.
        address: Between the parts of an address: a street may be all there is, or a city follows.
    """

    dictation: float = 3.0
    spelling: float = 2.0
    address: float = 1.4


_USUAL = Pauses()


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What the question says about the answer so far.

    Attributes:
        kind: What was asked.
        done: Whether the answer is whole. False: more is to come.
        hold: Seconds of silence to wait for the rest.
        sure: Whether something is known to be missing, so that answering ahead is a waste.
    """

    kind: str
    done: bool
    hold: float = 0.0
    sure: bool = False

    @property
    def kind_with_article(self) -> str:
        """As it stands in a sentence: ``a phone number``, ``an address``."""
        return f"{'an' if self.kind[0] in 'aeiou' else 'a'} {self.kind}"


@dataclass(frozen=True, kw_only=True)
class Questions:
    """How one language asks, and how it is answered. The fields are those of its data file."""

    requests: frozenset[tuple[str, ...]]
    asks_plainly: frozenset[tuple[str, ...]]
    tells: frozenset[tuple[str, ...]]
    permits: frozenset[tuple[str, ...]]
    opens: frozenset[tuple[str, ...]]
    yes_or_no: frozenset[str]
    tags: frozenset[tuple[str, ...]]
    answers: frozenset[tuple[str, ...]]
    asked_digits: str
    months: frozenset[str]
    address_intros: frozenset[str]
    letters: frozenset[str]
    asks: Mapping[str, frozenset[tuple[str, ...]]]
    numbers: Numbers
    email: Email
    phone_digits: int

    @property
    def kinds(self) -> frozenset[str]:
        """All that can be expected of an answer."""
        return frozenset(self.asks) | {YES_OR_NO}

    def kind_of(self, sentence: str) -> str | None:
        """What a sentence of the agent asks for, or None when it asks nothing that matters.

        Args:
            sentence: One sentence, as it was said.
        """
        words = spoken(sentence)
        if not words:
            return None
        wants = any(within(words, phrase) for phrase in self.requests)
        question = is_question(sentence)
        if not (question or wants):
            return None
        closed = self.is_closed(sentence) and not self.asks_to_tell(sentence)
        if closed and not wants:
            return YES_OR_NO
        # "The telephone number with the area code" asks for no code: the longer phrase knows more.
        asked = {
            kind: max((len(phrase) for phrase in phrases if within(words, phrase)), default=0)
            for kind, phrases in self.asks.items()
        }
        kind = max(asked, key=lambda kind: asked[kind])
        if asked[kind]:
            return kind
        return YES_OR_NO if closed else None

    def is_closed(self, sentence: str) -> bool:
        """Whether a sentence of the agent has the form of a yes-or-no question."""
        words = spoken(sentence)
        tagged = any(words[-len(tag) :] == tag and len(words) > len(tag) for tag in self.tags)
        return is_question(sentence) and (tagged or (bool(words) and words[0] in self.yes_or_no))

    def is_request(self, sentence: str) -> bool:
        """Whether a sentence of the agent asks without a question mark: "Tell me your name."."""
        words = spoken(sentence)
        return any(within(words, phrase) for phrase in self.asks_plainly)

    def asks_to_tell(self, sentence: str) -> bool:
        """Whether a sentence of the agent asks to be told something: "May I have your name?"."""
        words = spoken(sentence)
        if any(within(words, phrase) for phrase in self.permits):
            return False
        return any(within(words, phrase) for phrase in self.tells)

    def is_open(self, sentence: str) -> bool:
        """Whether a sentence of the agent asks for a story: "How can I help?"."""
        words = spoken(sentence)
        return any(within(words, phrase) for phrase in self.opens)

    def digits_asked(self, sentence: str) -> int | None:
        """How many digits a sentence asks for: six, of "your six-digit code"."""
        if found := re.search(self.asked_digits, sentence.casefold()):
            number = self.numbers.digits_in(spoken(found[1]))
            return int(number) if number else None
        return None

    def judge(
        self, kind: str, text: str, *, digits: int | None = None, pauses: Pauses = _USUAL
    ) -> Judgement | None:
        """Say whether an answer is whole, or None when the question tells nothing about it.

        Args:
            kind: What was asked.
            text: All that the caller said.
            digits: How many digits were asked for, when that is known.
            pauses: How long a pause may last.
        """
        words = spoken(text)
        if not words:
            return None
        dictation, spelling = pauses.dictation, pauses.spelling
        match kind:
            case "yes or no":
                return Judgement(kind=kind, done=True) if words in self.answers else None
            case "phone number":
                found = self.numbers.digits_in(words)
                need = self.phone_digits + (found[:1] == "1" and self.phone_digits == 10)
                return self._number(kind, words, found, need, dictation)
            case "code":
                return self._number(kind, words, self.numbers.digits_in(words), digits, dictation)
            case "spelling":
                if _is_letter(words[-1]) and not self._is_spelled_out(words):
                    # Nobody's name has two letters, but for those who said so at once.
                    few = sum(len(word.replace("-", "")) for word in words if _is_letter(word)) < 3
                    return Judgement(kind=kind, done=False, hold=dictation if few else spelling)
            case "address":
                own = [word for word in words if word not in self.address_intros]
                others = [word for word in own if not self.numbers.belongs(word)]
                number_last = self.numbers.belongs(words[-1])
                if number_last and len(others) < 2:
                    return Judgement(kind=kind, done=False, hold=dictation, sure=True)
                # Number and street; with another number behind them, the postcode, it is whole.
                if not number_last and len(others) < len(own):
                    return Judgement(kind=kind, done=False, hold=pauses.address)
            case "email":
                if self.email.goes_on(text):
                    return Judgement(kind=kind, done=False, hold=spelling)
            case "date of birth":
                if self._lacks_year(words):
                    return Judgement(kind=kind, done=False, hold=spelling)
            case "date":
                # "may" alone is more likely the verb.
                if words[-1] in self.months and not self.numbers.digits_in(words[-3:-1]):
                    return Judgement(kind=kind, done=False, hold=spelling)
        return None

    def _lacks_year(self, words: tuple[str, ...]) -> bool:
        """Whether the words end with a month, or with a month and a day."""
        month = max((at for at, word in enumerate(words) if word in self.months), default=None)
        if month is None:
            return False
        behind = words[month + 1 :]
        return all(map(self.numbers.belongs, behind)) and len(self.numbers.digits_in(behind)) < 3

    def unasked(self, text: str, *, pauses: Pauses = _USUAL) -> Judgement | None:
        """Say whether something is being dictated that nobody asked for, and goes on.

        Args:
            text: All that the caller said.
            pauses: How long a pause may last.
        """
        words = spoken(text)
        if self._spells(words):
            return Judgement(kind="spelling", done=False, hold=pauses.spelling)
        if 0 < len(self.numbers.dictated(words)) < self.phone_digits:
            return Judgement(kind="longer number", done=False, hold=pauses.spelling)
        return None

    def _spells(self, words: tuple[str, ...]) -> bool:
        """Whether the words end with letters, or are nothing but letters as they sound."""
        if len(words) < _LETTERS or self._is_spelled_out(words):
            return False
        if all(_is_letter(word) for word in words[-_LETTERS:]):
            return True
        written = sum(_is_letter(word) for word in words)
        sounds = all(_is_letter(word) or word in self.letters for word in words)
        return sounds and written >= _AS_LETTERS

    def _is_spelled_out(self, words: tuple[str, ...]) -> bool:
        """Whether the letters at the end are the word before them: "Kim, that's K I M"."""
        begin = len(words)
        while begin and _is_letter(words[begin - 1]):
            begin -= 1
        letters = "".join(words[begin:]).replace("-", "")
        named = [word for word in words[:begin] if word not in self.address_intros]
        return named[-1:] == [letters]

    def _number(
        self, kind: str, words: tuple[str, ...], found: str, need: int | None, hold: float
    ) -> Judgement | None:
        if need is not None and len(found) >= need:
            return Judgement(kind=kind, done=True)
        # "I don't have one" ends with a number and is none: a number does not come alone.
        end = words[-2:]
        figures = any(letter.isdigit() for letter in words[-1])
        dictates = figures or all(self.numbers.belongs(word) or _is_letter(word) for word in end)
        if not found or not dictates:
            return None
        return Judgement(kind=kind, done=False, hold=hold, sure=need is not None)


def is_question(sentence: str) -> bool:
    """Whether a sentence ends with a question mark, of any script that has one."""
    return sentence.rstrip("\"'”’)» ").endswith(("?", "？", "؟"))


@functools.cache
def questions_for(language: str) -> Questions:
    """How a language asks, or English where there is no file for it.

    Args:
        language: A BCP 47 tag; the length of a telephone number depends on the region.
    """
    base = base_language(language)
    folder = resources.files("tipring.turns") / "languages"
    data: dict[str, Any] = tomllib.loads((folder / f"{base}.toml").read_text(encoding="utf-8"))
    own = data["expecting"]
    numbers = own["numbers"]
    lengths: dict[str, int] = numbers["phone_digits"]
    return Questions(
        requests=_phrases(own["requests"]),
        asks_plainly=_phrases(own["asks_plainly"]),
        tells=_phrases(own["tells"]),
        permits=_phrases(own["permits"]),
        opens=_phrases(own["opens"]),
        yes_or_no=frozenset(own["yes_or_no"]),
        tags=_phrases(own["tags"]),
        answers=_phrases(own["answers"]),
        asked_digits=own["asked_digits"],
        months=frozenset(own["months"]),
        address_intros=frozenset(own["address_intros"]),
        letters=frozenset(own["letters"]),
        asks={kind: _phrases(phrases) for kind, phrases in own["asks"].items()},
        numbers=Numbers(
            digits=numbers["digits"],
            tens=numbers["tens"],
            hundreds=numbers["hundreds"],
            repeats=numbers["repeats"],
            joins=frozenset(numbers["joins"]),
        ),
        email=Email(
            ats=frozenset(own["email"]["ats"]),
            signs=frozenset(own["email"]["signs"]),
            endings=frozenset(own["email"]["endings"]),
        ),
        phone_digits=lengths.get(language.replace("_", "-").lower(), lengths[base]),
    )


def _phrases(phrases: list[str]) -> frozenset[tuple[str, ...]]:
    return frozenset(spoken(phrase) for phrase in phrases)


def within(words: tuple[str, ...], phrase: tuple[str, ...]) -> bool:
    """Whether a phrase stands among the words."""
    return any(words[at : at + len(phrase)] == phrase for at in range(len(words)))


def _is_letter(word: str) -> bool:
    """Whether it is a letter by itself, or letters joined as some transcribers write them."""
    return all(len(part) == 1 for part in word.split("-"))
