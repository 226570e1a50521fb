"""Who gave the host a call with ``POST /init``: the object that owns the call's container."""

from __future__ import annotations

import asyncio
import hmac
from typing import TYPE_CHECKING

import httpx

from tipring.control.outbox import Outbox
from tipring.control.poll import KillPoll
from tipring.control.protocol import Init, Kill
from tipring.journal import Event

if TYPE_CHECKING:
    from tipring.call import PhoneCall


class Owner:
    """The owner of one call, from ``/init`` to the end of the process. Made on the calls' loop.

    Attributes:
        init: The call as it was given.
        outbox: Its events, for the control socket.
        call: The call, once its stream came.

    Args:
        init: What came with ``/init``.
        client: Asks for the kill switch; shared by the process.
    """

    def __init__(self, init: Init, client: httpx.AsyncClient) -> None:
        self.init = init
        self.outbox = Outbox()
        self.call: PhoneCall | None = None
        self._loop = asyncio.get_running_loop()
        self._given_at = self._loop.time()
        self._pushed: Kill = "none"
        self._poll = KillPoll(client, str(init.kill_url), call=init.call) if init.kill_url else None
        self._obeying: set[asyncio.Task[None]] = set()
        self._begun = asyncio.Event()
        self._turned_away = False

    def opens(self, token: str) -> bool:
        """Whether this token opens the call's stream."""
        return hmac.compare_digest(self.init.media_token.encode(), token.encode())

    @property
    def waiting(self) -> bool:
        """Whether the call's first stream is still to come."""
        return (
            self.call is None
            and not self.over
            and self._loop.time() - self._given_at < self.init.ttl
        )

    def _left(self) -> float:
        """Seconds that the call has, from when it was given."""
        return self._given_at + self.init.ttl - self._loop.time()

    @property
    def over(self) -> bool:
        """Whether the call takes no stream any more."""
        return self._turned_away if self.call is None else self.call.over

    @property
    def gone(self) -> bool:
        """Whether the call never came, or is over and was told of."""
        return not self.waiting and (self.call is None or (self.over and self.outbox.empty))

    @property
    def about(self) -> str:
        """What the model is told of the call."""
        lines = ["You placed this call."] if self.init.direction == "outbound" else []
        lines += [f"{name}: {value}" for name, value in self.init.parameters.items()]
        return "\n".join(["", "About this call:", *lines]) if lines else ""

    def begin(self, call: PhoneCall) -> None:
        """The call's first stream came."""
        self.call = call
        self._begun.set()
        self._obey(self._pushed)

    async def settled(self, *, within: float) -> None:
        """Wait for the call's first stream, while it may come.

        An owner whose control socket was there and is gone wants the call no longer.

        Args:
            within: Seconds after which it does not come.
        """
        left = min(within, self._left())
        waiting = [
            asyncio.create_task(self._begun.wait()),
            asyncio.create_task(self.outbox.deserted()),
        ]
        try:
            await asyncio.wait(waiting, timeout=max(0.0, left), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waiting:
                one.cancel()

    async def turn_away(self, reason: str, *, within: float) -> None:
        """Tell that the call ended before it began; its stream is refused from here on.

        Args:
            reason: As in ``call.ended``.
            within: Seconds that the telling may take.
        """
        if self.call is None and not self._turned_away:
            self._turned_away = True
            self.event(Event(at=0.0, name="call.ended", detail={"reason": reason}))
            await self.told(within=within)

    def push(self, kill: Kill) -> None:
        """Set the kill switch. From any thread."""
        self._loop.call_soon_threadsafe(self._set, kill)

    def _set(self, kill: Kill) -> None:
        self._pushed = kill
        self._obey(kill)

    def _obey(self, kill: Kill) -> None:
        if self.call is not None:
            task = self._loop.create_task(self.call.kill(kill))
            self._obeying.add(task)
            task.add_done_callback(self._obeying.discard)

    # Control, as the call sees it

    def event(self, event: Event) -> None:
        """Put it out; it is sent when the socket is there."""
        self.outbox.put(event)

    def expect(self) -> None:
        """Ask for the switch beside the model."""
        if self._poll is not None:
            self._poll.begin()

    async def kill(self) -> Kill:
        """How the switch stands: what was pushed, or what the address answers."""
        if self._pushed != "none" or self._poll is None:
            return self._pushed
        return await self._poll.answer()

    async def told(self, *, within: float) -> bool:
        """Wait until the socket has everything."""
        return await self.outbox.sent(within=within)
