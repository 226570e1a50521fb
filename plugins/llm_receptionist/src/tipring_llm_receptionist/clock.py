"""Times of day, as they are said and as they are heard."""

from __future__ import annotations

from collections.abc import Sequence

from tipring_llm_receptionist.tokens import TENS, UNITS, number

_NAMES = [word for word, value in UNITS.items() if value < 20]
_CUES = {"at", "around", "about", "by", "until", "to", "past", "say", "before", "after"}
_HALVES = {"am", "pm"}


def spoken_time(minutes: int) -> str:
    """A time of day as it is said: ``three thirty PM``."""
    hour, minute = divmod(minutes, 60)
    if minutes == 720:
        return "noon"
    half = "PM" if 12 <= hour < 24 else "AM"
    said = _NAMES[(hour - 1) % 12 + 1]
    if 0 < minute < 10:
        said += f" oh {_NAMES[minute]}"
    elif minute:
        said += f" {_minute_name(minute)}"
    return f"{said} {half}"


def _minute_name(minute: int) -> str:
    if minute < 20:
        return _NAMES[minute]
    tens = next(word for word, value in TENS.items() if value == minute // 10 * 10)
    return f"{tens} {_NAMES[minute % 10]}" if minute % 10 else tens


def heard_time(words: Sequence[str], *, expected: bool, earliest: int, latest: int) -> int | None:
    """The last time of day in the words, in minutes, or None.

    A bare "three" only counts when a time was asked for. Without am or pm, the half of the day is
    taken in which the business is open.

    Args:
        words: Tokens.
        expected: Whether a time was asked for.
        earliest: Opening, in minutes of the day.
        latest: Closing, in minutes of the day.
    """
    found: int | None = None
    at = 0
    while at < len(words):
        step, hour, minute, sure = _time_at(words, at)
        if not step:
            at += 1
            continue
        stop = at + step
        half = words[stop] if stop < len(words) and words[stop] in _HALVES else ""
        rest = list(words[stop : stop + 4])
        if not half and rest[:2] == ["in", "the"] and len(rest) > 2:
            half = {"morning": "am", "afternoon": "pm", "evening": "pm"}.get(rest[2], "")
        clock = stop < len(words) and words[stop] == "oclock"
        if clock and stop + 1 < len(words) and words[stop + 1] in _HALVES:
            half = words[stop + 1]
        cued = at > 0 and words[at - 1] in _CUES
        if sure or half or clock or cued or expected:
            found = _resolve(hour, minute, half, earliest, latest)
        at = stop
    return found


def part_of_day(words: Sequence[str]) -> str:
    """``morning`` or ``afternoon`` where only that was said, else the empty string."""
    for part in ("morning", "afternoon"):
        if part in words and f"good {part}" not in " ".join(words):
            return part
    return "afternoon" if "evening" in words and "good evening" not in " ".join(words) else ""


def _time_at(words: Sequence[str], at: int) -> tuple[int, int, int, bool]:
    """A time that begins here: how many tokens, hour, minute, and whether it is surely a time."""
    word = words[at]
    following = words[at + 1] if at + 1 < len(words) else ""
    if word in ("noon", "midday"):
        return 1, 12, 0, True
    if word == "midnight":
        return 1, 24, 0, True
    if ":" in word:
        hour, minute = map(int, word.split(":"))
        return (1, hour, minute, True) if hour < 25 and minute < 60 else (0, 0, 0, False)
    if word in ("half", "quarter") and following in ("past", "to", "after") and at + 2 < len(words):
        hour = _hour(words[at + 2])
        if hour:
            minutes = hour * 60 + (-1 if following == "to" else 1) * (30 if word == "half" else 15)
            return 3, minutes // 60, minutes % 60, True
    if word.isdigit() and len(word) in (3, 4):
        hour, minute = divmod(int(word), 100)
        # "330" and "1530": surely only with a cue, for numbers can be anything.
        return (1, hour, minute, False) if 0 < hour < 25 and minute < 60 else (0, 0, 0, False)
    hour = _hour(word)
    if not hour:
        return 0, 0, 0, False
    step, minute = _minute_at(words, at + 1)
    return 1 + step, hour, minute, False


def _hour(word: str) -> int:
    value = number(word)
    return value if value is not None and 0 < value < 25 else 0


def _minute_at(words: Sequence[str], at: int) -> tuple[int, int]:
    """Minutes that follow an hour: "thirty", "forty five", "oh five", "30"."""
    word = words[at] if at < len(words) else ""
    following = words[at + 1] if at + 1 < len(words) else ""
    if word in TENS and TENS[word] < 60:
        unit = UNITS.get(following, 0)
        return (2, TENS[word] + unit) if 0 < unit < 10 else (1, TENS[word])
    if word in ("oh", "o") and 0 < UNITS.get(following, 0) < 10:
        return 2, UNITS[following]
    if UNITS.get(word, 0) >= 10:
        return 1, UNITS[word]
    if word.isdigit() and len(word) == 2 and 0 < int(word) < 60:
        return 1, int(word)
    return 0, 0


def _resolve(hour: int, minute: int, half: str, earliest: int, latest: int) -> int:
    time = hour % 24 * 60 + minute if hour == 24 else hour * 60 + minute
    if hour > 12:
        return time
    if half == "am":
        return time % 720
    if half == "pm":
        return time % 720 + 720
    early, late = time % 720, time % 720 + 720
    # Open in the morning at that time, or never: what was said is taken at its word.
    return early if earliest <= early < latest else late
