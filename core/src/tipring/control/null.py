"""What a call knows of its control plane, and the one that is nobody."""

from __future__ import annotations

from typing import Protocol

from tipring.control.protocol import Kill
from tipring.journal import Event


class Control(Protocol):
    """Takes a call's events, and is asked before each reply."""

    def event(self, event: Event) -> None:
        """Take an event. Returns at once, whatever becomes of it."""
        ...

    def expect(self) -> None:
        """A reply is being thought of: ask for the switch beside it. Returns at once."""
        ...

    async def kill(self) -> Kill:
        """How the switch stands, within 1.5 s; ``none`` when nobody says."""
        ...

    async def told(self, *, within: float) -> bool:
        """Wait until every event so far is on its way.

        Args:
            within: Seconds.

        Returns:
            Whether they are. False at once when nobody listens.
        """
        ...


class NullControl:
    """Nobody listens, and nobody ends the call from outside."""

    def event(self, event: Event) -> None:
        """Let it go."""

    def expect(self) -> None:
        """There is nobody to ask."""

    async def kill(self) -> Kill:
        """Go on."""
        return "none"

    async def told(self, *, within: float) -> bool:
        """There is nobody to tell."""
        return False
