"""The events of one call on their way out.

The call's loop puts them in and never waits; the control server's loop, on its own thread, sends
them. They are kept after that: a socket that comes back says what it has, and gets the rest.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable

from tipring.control.protocol import event_message
from tipring.journal import Event

# A call of 15 minutes has some 3,000; behind an object that is gone for longer the oldest go.
_KEEP = 10_000
# A guess that the next one replaces, several times a second.
_UNSENT = frozenset({"transcript.interim"})

Message = tuple[int, str]


class Outbox:
    """Events, numbered from 1. Made on the loop of the call.

    Args:
        keep: How many are kept at the most.
    """

    def __init__(self, *, keep: int = _KEEP) -> None:
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._kept: deque[Message] = deque(maxlen=keep)
        self._seq = 0
        self._sent = 0
        self._readers: list[Callable[[], None]] = []
        self._was_read = False
        self._progress = asyncio.Event()

    # On the call's loop

    def put(self, event: Event) -> None:
        """Take an event."""
        if event.name in _UNSENT:
            return
        with self._lock:
            self._seq += 1
            self._kept.append((self._seq, event_message(self._seq, event)))
            readers = list(self._readers)
        for wake in readers:
            wake()

    async def sent(self, *, within: float) -> bool:
        """Wait until everything so far was sent.

        Args:
            within: Seconds.

        Returns:
            Whether it was. False at once when nobody reads.
        """
        upto = self._seq
        try:
            async with asyncio.timeout(within):
                while self._readers and self._sent < upto:
                    self._progress.clear()
                    await self._progress.wait()
        except TimeoutError:
            return False
        return self._sent >= upto

    async def deserted(self) -> None:
        """Wait until somebody has read, and nobody does any longer."""
        while not self._was_read or self._readers:
            self._progress.clear()
            await self._progress.wait()

    @property
    def empty(self) -> bool:
        """Whether everything was sent."""
        return self._sent >= self._seq

    # On any thread

    def after(self, seq: int) -> list[Message]:
        """Everything kept that is newer, oldest first."""
        with self._lock:
            return [one for one in self._kept if one[0] > seq]

    def enter(self, wake: Callable[[], None]) -> None:
        """A reader comes.

        Args:
            wake: Called when there is more, on the call's thread.
        """
        with self._lock:
            self._readers.append(wake)
            self._was_read = True

    def leave(self, wake: Callable[[], None]) -> None:
        """A reader goes."""
        with self._lock:
            self._readers.remove(wake)
        self._loop.call_soon_threadsafe(self._progress.set)

    def passed_on(self, seq: int) -> None:
        """Everything up to this number was sent."""
        self._sent = max(self._sent, seq)
        self._loop.call_soon_threadsafe(self._progress.set)
