"""What one process shares between its calls, and which calls it holds."""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import httpx

from tipring.call import PhoneCall
from tipring.config import Config
from tipring.control.owner import Owner
from tipring.control.protocol import Init
from tipring.errors import ConfigError, PluginError
from tipring.journal import Event
from tipring.llm.breaker import Breakers
from tipring.memory import give_back
from tipring.plugins import Plugins
from tipring.providers import Call
from tipring.selection import Part, Problem, Selection, rehearse, select
from tipring.speech.phrases import Phrases, first_voice
from tipring.turns.punctuation import Transcribers

log = logging.getLogger(__name__)

# Twilio opens the stream within a second of the TwiML; a minute is for a slow day.
_TICKET_SECS = 60.0
_STOP_WITHIN = 10.0
# The Worker's ticket for a stream is good for two minutes: after that none can come.
_STREAM_WITHIN = 120.0
_TOLD_WITHIN = 1.0
# A voice that takes longer for a greeting is none to speak with.
_PROOF_WITHIN = 5.0
# For all the phrases: a voice that hangs is not asked for ever.
_RENDER_WITHIN = 120.0

_Proved: TypeAlias = tuple[tuple[Part, ...], Phrases, list[PluginError]]


class Refused(Exception):
    """A call that the host does not take. The message says why.

    Attributes:
        status: The HTTP status to say it with.
    """

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


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
        self.transcribers = Transcribers()
        self.calls: dict[str, PhoneCall] = {}
        self.owners: dict[str, Owner] = {}
        self.closing = False
        self._selection: Selection | None = None
        self._phrases: Phrases | None = None
        self._problems: tuple[Problem, ...] = ()
        self._rendering: asyncio.Task[None] | None = None
        self._tickets: dict[str, tuple[str, float]] = {}
        self._holding: set[asyncio.Task[None]] = set()
        self._client: httpx.AsyncClient | None = None
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def ready(self) -> bool:
        """Whether everything is loaded and a call would be answered."""
        return self._selection is not None and not self.closing

    @property
    def full(self) -> bool:
        """Whether one more call would be one too many. One whose end was told is none any more."""
        live = sum(not call.ended for call in self.calls.values())
        waiting = sum(1 for _, until in self._tickets.values() if until > time.monotonic())
        waiting += sum(owner.waiting for owner in self.owners.values())
        return live + waiting >= self.config.limits.max_calls

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
        """Choose, import and rehearse, so that no call waits for any of it.

        Meanwhile the greeting is rendered, which proves the voice. The phrases that are not on
        disk yet are rendered when the host is ready; see :meth:`rendered`.

        Raises:
            ConfigError: Calls cannot be answered with this configuration.
        """
        agent = self.config.agent
        # The apology first: it is what is said when the voice is down.
        rest = (agent.apology, agent.goodbye, agent.filler, agent.nudge, agent.warning)
        texts = [text for text in (*rest, agent.greeting) if text.strip()]
        proof = agent.greeting if agent.greeting.strip() else next(iter(texts), "")
        loaded = asyncio.Event()
        proving: asyncio.Task[_Proved] | None = None

        def prove(voices: tuple[Part, ...]) -> None:
            nonlocal proving
            call = Call(id="rehearsal", language=agent.language)
            proving = asyncio.create_task(
                first_voice(voices, call=call, text=proof, patience=_PROOF_WITHIN, unhurried=loaded)
            )

        chosen = await asyncio.to_thread(select, self.config, Plugins.discover())
        try:
            selection = await rehearse(chosen, voices=prove)
            # Building a client reads the certificates of the world, which takes a while.
            self._client = await asyncio.to_thread(httpx.AsyncClient)
            loaded.set()
            assert proving is not None  # a rehearsal without a voice has raised
            voices, phrases, failed = await proving
        finally:
            if proving is not None:
                proving.cancel()
        await phrases.recall(texts)
        self._note([*selection.problems, *map(Problem.of, failed)])
        self._phrases, self._selection = phrases, replace(selection, tts=voices)
        self._rendering = asyncio.create_task(self._render(phrases, texts))

    async def rendered(self) -> None:
        """Wait until every phrase is rendered ahead that can be. A call need not."""
        if self._rendering is not None:
            await asyncio.wait({self._rendering})

    async def _render(self, phrases: Phrases, texts: Iterable[str]) -> None:
        """Have the rest of the phrases rendered, while calls are answered already."""
        try:
            async with asyncio.timeout(_RENDER_WITHIN):
                for text in texts:
                    self._note(map(Problem.of, await phrases.prepare([text])))
        except TimeoutError:
            what = f"not all phrases were rendered ahead within {_RENDER_WITHIN:g} s"
            self._note([Problem(where=phrases.where, what=what, fix="tipring check --online")])
        except Exception:
            log.exception("rendering ahead failed")

    def _note(self, problems: Iterable[Problem]) -> None:
        """Tell of problems, each once: what is wrong with a voice is wrong with all it says."""
        for problem in problems:
            if problem not in self._problems:
                log.warning("%s: %s; fix: %s", problem.where, problem.what, problem.fix)
                self._problems = (*self._problems, problem)

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

    def take(self, init: Init) -> Owner:
        """Take a call that an owner gives: its stream comes next, with the owner's token.

        Args:
            init: The call. Given once more, it is the same call.

        Raises:
            Refused: The host is not ready, or has another call.
        """
        known = self.owners.get(init.call)
        if known is not None and known.init == init:
            return known
        if not self.ready or self._client is None:
            raise Refused(503, "the host is not ready")
        if known is not None:
            raise Refused(409, "this call was given before, and differently")
        if self.full:
            raise Refused(409, "this host has another call")
        self.owners = {id: one for id, one in self.owners.items() if not one.gone}
        self.owners[init.call] = owner = Owner(init, self._client)
        return owner

    def hold(self, call: PhoneCall) -> None:
        """Hold a call until it is over."""
        self.calls[call.id] = call
        self._empty.clear()
        task = asyncio.create_task(self._hold(call))
        self._holding.add(task)
        task.add_done_callback(self._holding.discard)

    async def _hold(self, call: PhoneCall) -> None:
        try:
            log.info("call %s ended: %s", call.id, await call.run())
        except Exception:
            log.exception("call %s failed", call.id)
        finally:
            self.calls.pop(call.id, None)
            if not self.calls:
                self._empty.set()
        await asyncio.to_thread(give_back)

    async def drain(self) -> None:
        """Take no new calls, and wait until those that were taken are over.

        Each has its time limit. One that an owner gave and whose stream is still on its way is
        waited for: its caller hears ringing, and was promised an answer.
        """
        self.closing = True
        await asyncio.gather(*map(self._settle, self.owners.values()))
        await self._empty.wait()

    async def _settle(self, owner: Owner) -> None:
        await owner.settled(within=_STREAM_WITHIN)
        await owner.turn_away("host stopped", within=_TOLD_WITHIN)

    async def close(self, *, within: float) -> None:
        """Take no new calls, let the live ones say goodbye, and end those that do not.

        Args:
            within: Seconds they have.
        """
        self.closing = True
        if self._rendering is not None:
            self._rendering.cancel()
        for owner in self.owners.values():
            await owner.turn_away("host stopped", within=_TOLD_WITHIN)
        for call in list(self.calls.values()):
            await call.hang_up("host stopped")
        try:
            async with asyncio.timeout(within):
                await self._empty.wait()
        except TimeoutError:
            for call in list(self.calls.values()):
                await call.end("host stopped")
            if self._holding:
                await asyncio.wait(self._holding, timeout=_STOP_WITHIN)
        if self._rendering is not None:
            await asyncio.wait({self._rendering})
        if self._client is not None:
            await self._client.aclose()
