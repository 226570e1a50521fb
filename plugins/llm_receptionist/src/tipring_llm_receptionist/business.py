"""What the receptionist knows: a file that anybody can read and change."""

from __future__ import annotations

import functools
import re
import tomllib
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationError
from tipring.providers import Settings

from tipring_llm_receptionist.clock import spoken_time
from tipring_llm_receptionist.days import WEEKDAYS


def _clock(text: str) -> str:
    match = re.fullmatch(r"(\d\d):(\d\d)", text)
    if not match or int(match[1]) > 24 or int(match[2]) > 59:
        raise ValueError(f"{text!r} is not a time such as 08:30")
    return text


def _weekday(text: str) -> str:
    if text not in WEEKDAYS:
        raise ValueError(f"{text!r} is not a weekday in lower case")
    return text


Clock = Annotated[str, AfterValidator(_clock)]
Weekday = Annotated[str, AfterValidator(_weekday)]


class Service(Settings):
    """Something people come in for."""

    name: str = Field(min_length=1)
    price: str = Field(min_length=1)
    words: tuple[str, ...] = ()


class Business(Settings):
    """A practice, a salon, a garage: a name, opening hours, and what is done there."""

    name: str = Field(min_length=1)
    hours: dict[Weekday, tuple[Clock, Clock]] = Field(min_length=1)
    services: tuple[Service, ...] = Field(min_length=1)

    def opening(self, weekday: str) -> tuple[int, int] | None:
        """Opening and closing on a weekday in minutes of the day, or None when closed."""
        hours = self.hours.get(weekday)
        return None if hours is None else (_minutes(hours[0]), _minutes(hours[1]))

    def earliest(self) -> int:
        """The earliest opening of the week, in minutes of the day."""
        return min(_minutes(opens) for opens, _ in self.hours.values())

    def latest(self) -> int:
        """The latest closing of the week, in minutes of the day."""
        return max(_minutes(closes) for _, closes in self.hours.values())

    def hours_aloud(self) -> str:
        """The opening hours as they are said, days with the same hours together."""
        spans: list[tuple[str, str, tuple[str, str]]] = []
        for day in WEEKDAYS:
            hours = self.hours.get(day)
            if hours is None:
                continue
            follows = spans and WEEKDAYS.index(spans[-1][1]) + 1 == WEEKDAYS.index(day)
            if follows and spans[-1][2] == hours:
                spans[-1] = (spans[-1][0], day, hours)
            else:
                spans.append((day, day, hours))
        said = []
        for first, last, (opens, closes) in spans:
            days = first.title() if first == last else f"{first.title()} to {last.title()}"
            times = f"{spoken_time(_minutes(opens))} to {spoken_time(_minutes(closes))}"
            said.append(f"{days} from {times}")
        return _and(said)

    def services_aloud(self) -> str:
        """The services in a row."""
        return _and([service.name for service in self.services], "or")


def _minutes(clock: str) -> int:
    hours, minutes = clock.split(":")
    return int(hours) * 60 + int(minutes)


def _and(items: list[str], word: str = "and") -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {word} {items[-1]}"


@functools.cache
def read_business(path: Path | None) -> Business:
    """Read a business file; None is Riverside Dental, which comes with the package.

    Raises:
        ValueError: When it cannot be read, or says something that cannot be.
    """
    path = path or Path(__file__).with_name("riverside.toml")
    try:
        return Business.model_validate(tomllib.loads(path.read_text("utf-8")))
    except OSError as error:
        raise ValueError(f"the business file {path} cannot be read: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"the business file {path} is not TOML: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"the business file {path}: {where}: {first['msg']}") from None
