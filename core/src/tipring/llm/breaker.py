"""A rung that keeps failing is left alone for a while, so that it does not cost every turn."""

from __future__ import annotations

import time
from collections.abc import Callable


class Breaker:
    """Whether one rung is worth asking.

    After ``trips`` failures running it is open: the rung is skipped for ``rest`` seconds. Then one
    request may try it (half-open); its success closes the breaker, its failure opens it again.

    Args:
        trips: Failures running that open it.
        rest: Seconds for which it stays open.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        *,
        trips: int = 3,
        rest: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._trips = trips
        self._rest = rest
        self._clock = clock
        self._failures = 0
        self._opened: float | None = None
        self._probing = False

    @property
    def open(self) -> bool:
        """Whether a request would be turned away now."""
        if self._opened is None:
            return False
        return self._probing or self._clock() - self._opened < self._rest

    def admit(self) -> bool:
        """Ask for leave to try the rung.

        Whoever is admitted reports back with :meth:`succeeded`, :meth:`failed` or
        :meth:`released`.
        """
        if self._opened is None:
            return True
        if self.open:
            return False
        self._probing = True
        return True

    def succeeded(self) -> None:
        """The rung answered: it is as good as new."""
        self._failures = 0
        self._opened = None
        self._probing = False

    def failed(self) -> None:
        """The rung failed."""
        self._failures += 1
        self._probing = False
        if self._failures >= self._trips:
            self._opened = self._clock()

    def released(self) -> None:
        """The request was given up before the rung could show anything."""
        self._probing = False


class Breakers:
    """The breakers of all rungs, by name; a host keeps one of these for all its calls.

    Args:
        trips: As in :class:`Breaker`.
        rest: As in :class:`Breaker`, seconds.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        *,
        trips: int = 3,
        rest: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._trips = trips
        self._rest = rest
        self._clock = clock
        self._breakers: dict[str, Breaker] = {}

    def of(self, rung: str) -> Breaker:
        """The breaker of one rung.

        Args:
            rung: The rung's name.
        """
        breaker = self._breakers.get(rung)
        if breaker is None:
            breaker = Breaker(trips=self._trips, rest=self._rest, clock=self._clock)
            self._breakers[rung] = breaker
        return breaker

    def open(self) -> tuple[str, ...]:
        """The names of the rungs that are being skipped now, for ``/health``."""
        return tuple(name for name, breaker in self._breakers.items() if breaker.open)
