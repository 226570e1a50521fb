"""What one process shares between its calls, and which calls it holds."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from tipring.call import PhoneCall
from tipring.config import Config
from tipring.errors import ConfigError
from tipring.journal import Event
from tipring.llm.breaker import Breakers
from tipring.plugins import Plugins
from tipring.providers import Call
from tipring.selection import Problem, Selection, rehearse, select
from tipring.speech.phrases import Phrases

log = logging.getLogger(__name__)

# Twilio opens the stream within a second of the TwiML; a minute is for a slow day.
_TICKET_SECS = 60.0


class Host:
    """Everything that outlives a call.

    Args:
        config: What was configured.
        record_to: Where calls leave their records; the config's folder without it.
        on_event: Told of every event of every call, with the call's id.
    """

    def __init__(
        self,
        config: Config,
        *,
        record_to: Path | None = None,
        on_event: Callable[[str, Event], None] | None = None,
    ) -> None:
        self.config = config
        self.record_to = record_to or config.record.dir
        self.on_event = on_event
        self.breakers = Breakers()
        self.calls: dict[str, PhoneCall] = {}
        self.closing = False
        self._selection: Selection | None = None
        self._phrases: Phrases | None = None
        self._problems: tuple[Problem, ...] = ()
        self._tickets: dict[str, tuple[str, float]] = {}
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def ready(self) -> bool:
        """Whether everything is loaded and a call would be answered."""
        return self._selection is not None and not self.closing

    @property
    def full(self) -> bool:
        """Whether one more call would be one too many."""
        waiting = sum(1 for _, until in self._tickets.values() if until > time.monotonic())
        return len(self.calls) + waiting >= self.config.limits.max_calls

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What was passed over on the way to being ready."""
        return self._problems

    @property
    def selection(self) -> Selection:
        """Who answers."""
        if self._selection is None:
            raise ConfigError("the host", "it is not ready yet", "wait for /health to say ready")
        return self._selection

    @property
    def phrases(self) -> Phrases:
        """What was rendered ahead."""
        if self._phrases is None:
            raise ConfigError("the host", "it is not ready yet", "wait for /health to say ready")
        return self._phrases

    async def load(self) -> None:
        """Choose, import, rehearse and render ahead, so that no call waits for any of it.

        Raises:
            ConfigError: Calls cannot be answered with this configuration.
        """
        selection = await rehearse(await asyncio.to_thread(select, self.config, Plugins.discover()))
        agent = self.config.agent
        call = Call(id="rehearsal", language=agent.language)
        phrases = Phrases(selection.tts[0], call=call)
        failed = await phrases.prepare(
            [agent.greeting, agent.nudge, agent.filler, agent.apology, agent.goodbye]
        )
        unrendered = [Problem(where=one.where, what=one.what, fix=one.fix) for one in failed]
        # What is wrong with a voice is wrong with each of its phrases, and told once.
        self._problems = tuple(dict.fromkeys([*selection.problems, *unrendered]))
        for problem in self._problems:
            log.warning("%s: %s; fix: %s", problem.where, problem.what, problem.fix)
        self._phrases, self._selection = phrases, selection

    def admit(self, call: str) -> str:
        """Make a ticket with which the stream of a call gets in, once.

        Args:
            call: Twilio's id of the call.
        """
        now = time.monotonic()
        self._tickets = {id: kept for id, kept in self._tickets.items() if kept[1] > now}
        ticket = secrets.token_urlsafe(24)
        self._tickets[call] = (ticket, now + _TICKET_SECS)
        return ticket

    def redeem(self, call: str, ticket: str) -> bool:
        """Take a ticket. True once, in time, for the call it was made for."""
        kept, until = self._tickets.get(call, ("", 0.0))
        if not kept or not hmac.compare_digest(kept.encode(), ticket.encode()):
            return False
        del self._tickets[call]
        return until > time.monotonic()

    @contextlib.asynccontextmanager
    async def holding(self, call: PhoneCall) -> AsyncIterator[None]:
        """Count a call while it is held."""
        self.calls[call.id] = call
        self._empty.clear()
        try:
            yield
        finally:
            self.calls.pop(call.id, None)
            if not self.calls:
                self._empty.set()

    async def close(self, *, within: float) -> None:
        """Take no new calls, let the live ones say goodbye, and end those that do not.

        Args:
            within: Seconds they have.
        """
        self.closing = True
        for call in list(self.calls.values()):
            await call.hang_up("host stopped")
        try:
            async with asyncio.timeout(within):
                await self._empty.wait()
        except TimeoutError:
            for call in list(self.calls.values()):
                await call.end("host stopped")
