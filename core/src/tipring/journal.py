"""What happened in one call, in order, with times.

Parts note what they did; whoever wants to know subscribes. Nobody waits for a subscriber, and a
subscriber that raises is logged once and let go.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Event:
    """One thing that happened.

    Attributes:
        at: Seconds since the call began.
        name: Dotted, noun first: ``turn.committed``. All names stand in docs/events.md.
        detail: Plain values. May hold what was said, so it is never logged.
    """

    at: float
    name: str
    detail: Mapping[str, Any] = field(default_factory=dict)


Subscriber = Callable[[Event], None]


class Journal:
    """The events of one call.

    Args:
        clock: Seconds that only grow.
        keep: How many events are kept at the most; the oldest go first.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, keep: int = 50_000) -> None:
        self._clock = clock
        self._began = clock()
        self._keep = keep
        self._events: list[Event] = []
        self._subscribers: list[Subscriber] = []

    @property
    def events(self) -> tuple[Event, ...]:
        """Everything kept so far."""
        return tuple(self._events)

    def now(self) -> float:
        """Seconds since the call began."""
        return self._clock() - self._began

    def subscribe(self, subscriber: Subscriber) -> None:
        """Be told of every event from here on, at once and in order."""
        self._subscribers.append(subscriber)

    def note(self, name: str, /, *, ago: float = 0.0, **detail: Any) -> Event:
        """Write down that something happened.

        Args:
            name: The event's name.
            ago: Seconds by which it is noted late, for what is only known afterwards.
            **detail: Plain values.
        """
        event = Event(at=self.now() - ago, name=name, detail=detail)
        self._events.append(event)
        if len(self._events) > self._keep:
            del self._events[: self._keep // 10]
        for subscriber in list(self._subscribers):
            try:
                subscriber(event)
            except Exception:
                self._subscribers.remove(subscriber)
                log.exception("a subscriber of the journal failed and was let go")
        return event
