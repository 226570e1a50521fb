"""Days, as they are said and as they are heard."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from tipring_llm_receptionist.tokens import number

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

_MONTHS = (
    "january february march april may june july august september october november december"
).split()
_OTHER_DAYS = {"today", "yesterday", "holiday", "birthday", "someday", "midday", "everyday"}
_SHORT = {"mon": "monday", "tues": "tuesday", "wed": "wednesday", "thurs": "thursday"}
_ORDINALS = {
    word: value
    for value, word in enumerate(
        "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth "
        "thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth "
        "twentieth".split(),
        start=1,
    )
} | {"thirtieth": 30}
_NOT_DATES = {"available", "appointment", "time", "one", "thing", "opening", "slot", "visit"}


def heard_day(words: Sequence[str]) -> str | None:
    """The last day in the words that was not turned down, as it is said back, or None.

    "Tuesday the 5th", "tomorrow", "next Friday", "March 3rd". "Not Tuesday, Wednesday" is
    Wednesday.
    """
    found: str | None = None
    at = 0
    while at < len(words):
        step, day = _day_at(words, at)
        before = words[at - 1] if at else ""
        if step and before not in ("not", "of", "except"):
            found = day
        at += max(step, 1)
    return found


def weekday_of(day: str) -> str | None:
    """The weekday in a day as it is said back."""
    return next((name for name in WEEKDAYS if name in day.lower()), None)


def on_day(day: str) -> str:
    """A day inside a sentence: ``on Tuesday``, ``tomorrow``."""
    relative = day.startswith(("today", "tomorrow", "next ", "the day after"))
    return day if relative else f"on {day}"


def _day_at(words: Sequence[str], at: int) -> tuple[int, str]:
    word = words[at]
    if list(words[at : at + 3]) == ["day", "after", "tomorrow"]:
        return 3, "the day after tomorrow"
    if word in ("today", "tomorrow"):
        return 1, word
    weekday = _weekday(word)
    if weekday:
        step, date = _date_at(words, at + 1)
        next_week = at > 0 and words[at - 1] == "next"
        name = f"next {weekday.title()}" if next_week else weekday.title()
        return 1 + step, f"{name} {date}" if date else name
    if word in _MONTHS:
        step, date = _date_at(words, at + 1, bare=True)
        # "May" is a word of its own; only with a date is it a month.
        return (1 + step, f"{word.title()} {date.removeprefix('the ')}") if date else (0, "")
    step, date = _date_at(words, at)
    if date and (words[at] == "the" or words[at][0].isdigit()):
        after = list(words[at + step : at + step + 2])
        if after[:1] == ["of"] and after[1:] and after[1] in _MONTHS:
            return step + 2, f"{after[1].title()} {date.removeprefix('the ')}"
        return step, date
    return 0, ""


def _weekday(word: str) -> str | None:
    if word in WEEKDAYS:
        return word
    if word in _SHORT:
        return _SHORT[word]
    if word.endswith("s") and word[:-1] in WEEKDAYS:
        return word[:-1]
    # "Wensday" and "Teusday" are Wednesday and Tuesday.
    if len(word) > 5 and re.search(r"d[ae]?y$", word) and word not in _OTHER_DAYS:
        close = difflib.get_close_matches(word, WEEKDAYS, 1, 0.75)
        return close[0] if close else None
    return None


def _date_at(words: Sequence[str], at: int, *, bare: bool = False) -> tuple[int, str]:
    """A day of the month that begins here, as (tokens, "the 5th")."""
    start = at
    if at < len(words) and words[at] == "the":
        at += 1
    if at >= len(words):
        return 0, ""
    word = words[at]
    following = words[at + 1] if at + 1 < len(words) else ""
    day: int | None = None
    step = 1
    if match := re.fullmatch(r"(\d+)(?:st|nd|rd|th)", word):
        day = int(match[1])
    elif word in _ORDINALS and (at > start or bare):
        day = _ORDINALS[word]
    elif word in ("twenty", "thirty") and following in _ORDINALS:
        day, step = (number(word) or 0) + _ORDINALS[following], 2
    elif bare and (number(word) or 0) in range(1, 32):
        day = number(word)
    if day is None or not 0 < day < 32:
        return 0, ""
    after = words[at + step] if at + step < len(words) else ""
    if after in _NOT_DATES:
        return 0, ""
    return at + step - start, f"the {_ordinal(day)}"


def _ordinal(day: int) -> str:
    ending = "th" if day in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return f"{day}{ending}"
