"""The digits in what somebody dictates: "five five five, oh one double two" is 5550122."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """How the numbers of one language are said.

    Attributes:
        digits: Words that are digits as they stand: ``two``, ``twelve``, ``veintidós``.
        tens: Words that take the next digit in: ``twenty``, as their first digit.
        hundreds: Words that take the next two digits in, as their first digit (``doscientos``);
            without one they put two zeros behind the digit before (``hundred``).
        repeats: Words that say how often the next digit stands: ``double``.
        joins: Words between the parts of one number: ``and``, ``y``.
    """

    digits: Mapping[str, str]
    tens: Mapping[str, str]
    hundreds: Mapping[str, str]
    repeats: Mapping[str, int]
    joins: frozenset[str]

    def belongs(self, word: str) -> bool:
        """Whether a word is a part of a dictated number."""
        return (
            any(letter.isdecimal() for letter in word)
            or word in self.digits
            or word in self.tens
            or word in self.hundreds
            or word in self.repeats
        )

    def dictated(self, words: Sequence[str]) -> str:
        """The digits of a number that is being read out at the end of these words, or nothing.

        A single figure, a time of day or a year is no dictation: it takes three words of a number
        in a row, or six digits, or three in a text that is hardly more than they.

        Args:
            words: In lower case, without punctuation.
        """
        begin = len(words)
        while begin and self.belongs(words[begin - 1]):
            begin -= 1
        digits = self.digits_in(words[begin:])
        if self._is_time(words[begin:]) or self._is_year(words[begin:]):
            return ""
        read_out = len(words) - begin >= 3 or len(digits) >= 6
        return digits if read_out or (len(digits) >= 3 and begin <= 2) else ""

    def _is_time(self, words: Sequence[str]) -> bool:
        """Whether it is a time of day: "two thirty", "two forty five", "2:30"."""
        if len(words) != 2 and not (len(words) == 3 and words[1] in self.tens):
            return False
        hour, minutes = self.digits_in(words[:1]), self.digits_in(words[1:])
        return hour.isdecimal() and int(hour) < 25 and len(minutes) == 2 and minutes < "60"

    def _is_year(self, words: Sequence[str]) -> bool:
        """Whether it is a year: "nineteen eighty five", "2024"."""
        digits = self.digits_in(words)
        return len(words) <= 3 and len(digits) == 4 and digits[:2] in ("19", "20")

    def digits_in(self, words: Sequence[str]) -> str:
        """All digits that are said in these words, in order.

        Args:
            words: In lower case, without punctuation.
        """
        said: list[str] = []
        times, prefix, room = 1, "", 0
        for at, word in enumerate(words):
            own = "".join(letter for letter in word if letter.isdecimal())
            digits = own or self.digits.get(word, "")
            if prefix and word in self.joins and at + 1 < len(words):
                continue
            if prefix and room == 2 and word in self.tens:
                prefix, room = prefix + self.tens[word], 1
                continue
            if prefix:
                fits = digits and digits != "0" and len(digits) <= room
                said.append(prefix + (digits if fits else "").rjust(room, "0"))
                prefix = ""
                if fits:
                    continue
            if word in self.repeats:
                times = self.repeats[word]
                continue
            if word in self.tens:
                prefix, room = self.tens[word], 1
            elif first := self.hundreds.get(word):
                prefix, room = first, 2
            elif word in self.hundreds:
                said.append("00" if said else "")
            else:
                said.append(digits * times)
            times = 1
        return "".join(said) + (prefix + "0" * room if prefix else "")
