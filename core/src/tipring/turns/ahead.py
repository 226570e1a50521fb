"""The answer ahead: the model may begin before the turn is committed, unheard until it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pipecat.turns.types import UserTurnSpeculation
from pipecat.turns.user_stop import BaseUserTurnStopStrategy

from tipring.journal import Event, Journal
from tipring.providers import Usage
from tipring.turns.floor import Floor
from tipring.turns.timers import Timers
from tipring.turns.words import spoken

# Seconds in which a question that has been asked is sure to have reached the model.
_SAME_MOMENT = 0.005
# An answer that is withdrawn in the moment of the commit is heard of this much later at the most.
_CROSSING = 0.25


class Ahead:
    """At most one unheard answer, behind Pipecat's speculation gate.

    Args:
        court: Whose events ask and withdraw.
        floor: Who has the floor.
        journal: Where it is noted.
        timers: The turn's; they stop when it is decided.
        spent: What the answer that is being made has cost so far.
    """

    def __init__(
        self,
        court: BaseUserTurnStopStrategy,
        floor: Floor,
        journal: Journal,
        timers: Timers,
        spent: Callable[[], Usage],
    ) -> None:
        self._court = court
        self._floor = floor
        self._journal = journal
        self._timers = timers
        self._spent = spent
        self._speculation: UserTurnSpeculation | None = None
        self._asked_at = 0.0
        self._refused: set[tuple[str, ...]] = set()
        self._confirmed_at: float | None = None
        journal.subscribe(self._follow)

    def turn_began(self) -> None:
        """Forget what the model refused in the turn before."""
        self._refused.clear()
        self._confirmed_at = None

    def _follow(self, event: Event) -> None:
        if event.name == "agent.said":
            self._confirmed_at = None  # the answer came out; it can no longer be taken back

    def ask_soon(self, text: str, after: float) -> None:
        """Let the model begin in so many seconds, if the turn is undecided by then."""
        self._timers.start("ahead", after, lambda: self.ask(text))

    async def ask(self, text: str) -> None:
        """Let the model begin, unless it is at these words or has refused them.

        Nor does it begin while nobody knows whether the turn counts at all.
        """
        if self._floor.in_doubt or spoken(text) in self._refused or self._is_at(text):
            return
        await self.withdraw("the words changed")
        self._speculation = UserTurnSpeculation(text=text)
        self._asked_at = _now()
        self._journal.note("turn.speculated")
        await self._court.trigger_user_turn_inference_triggered(speculation=self._speculation)

    async def confirm(self, text: str) -> bool:
        """Keep the answer if it is one to these words; else withdraw it and say False."""
        if self._is_at(text):
            self._speculation, self._confirmed_at = None, _now()
            return True
        await self.withdraw("the words changed")
        return False

    async def withdraw(self, why: str, *, unless: str = "") -> None:
        """Drop the answer, if there is one, and it is none to the words of ``unless``."""
        if self._speculation is None or self._is_at(unless):
            return
        self._speculation = None
        spent, seconds = self._spent(), round(_now() - self._asked_at, 3)
        self._journal.note(
            "turn.withdrawn",
            why=why,
            wasted=seconds,
            tokens=spent.completion,
            prompt_tokens=spent.prompt,
        )
        if _now() - self._asked_at < _SAME_MOMENT:
            # A withdrawal overtakes other frames, and would miss the question it is to stop.
            await asyncio.sleep(_SAME_MOMENT)
        await self._court.trigger_user_turn_speculation_cancelled()

    async def taken_back(self) -> bool:
        """The model takes its answer back: it wants a tool, or it has none.

        A tool runs only for a turn that is committed, so the commit asks again.

        Returns:
            Whether it crossed with the commit, which asked for nothing more: ask now.
        """
        if self._speculation is not None:
            self._refused.add(spoken(self._speculation.text))
            await self.withdraw("the answer needs the commit")
            return False
        confirmed, self._confirmed_at = self._confirmed_at, None
        return confirmed is not None and _now() - confirmed < _CROSSING

    def _is_at(self, text: str) -> bool:
        # A final transcript differs from the guess before it by its full stops.
        return self._speculation is not None and spoken(self._speculation.text) == spoken(text)


def _now() -> float:
    return asyncio.get_running_loop().time()
