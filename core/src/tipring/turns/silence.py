"""Dead air: every silence has somebody who owes a word, and a time by which it must come."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal

from tipring.journal import Event, Journal
from tipring.sections import Turns
from tipring.turns.floor import Floor

Remedy = Literal["nudge", "goodbye", "filler", "ask again", "apology"]
Speak = Callable[[Remedy], Awaitable[None]]

_NUDGES = 2
# Seconds that the phone has to confirm that it played the agent's last words.
_UNPLAYED = 5.0
# Seconds after which a model or a tool that is still at it is not waited for any longer.
_LONGEST = 40.0
# Seconds in which a voice begins with an answer that it was given. A filler in that moment would
# come with the answer, and would be taken for all that was heard of it.
_VOICE = 1.0
_EXCUSES: dict[int, Remedy] = {1: "filler", 2: "ask again"}


class DeadAir:
    """Watches the journal and breaks silences that have lasted too long.

    The caller's silence: a nudge, another one, a goodbye. The agent's: a filler, asking the model
    once more, an apology, after which it is the caller's turn again.

    Args:
        journal: The call's.
        floor: Who has the floor.
        rules: The times.
        remedy: Told what to do. It speaks, and does not wait until it has been heard.
    """

    def __init__(self, *, journal: Journal, floor: Floor, rules: Turns, remedy: Speak) -> None:
        self._floor = floor
        self._rules = rules
        self._remedy = remedy
        self._nudges = 0
        self._excuses = 0
        self._thinking = False
        self._tools = 0
        self._committed_at = 0.0
        self._said_at: float | None = None
        self._over = False
        self._owes: Literal["caller", "agent"] | None = None
        self._deadline = 0.0
        self._changed = asyncio.Event()
        journal.subscribe(self._hear)

    @property
    def deadline(self) -> float | None:
        """When the silence is broken, in seconds of the running loop; None while nobody owes."""
        return None if self._owes is None else self._deadline

    async def watch(self) -> None:
        """Run until cancelled."""
        while True:
            self._changed.clear()
            if self._owes is None:
                await self._changed.wait()
                continue
            left = self._deadline - asyncio.get_running_loop().time()
            try:
                async with asyncio.timeout(max(0.0, left)):
                    await self._changed.wait()
            except TimeoutError:
                await self._break()

    def _hear(self, event: Event) -> None:
        if self._over and event.name != "interruption":
            return
        match event.name:
            case "hang_up":
                self._over = True
                self._nobody()
            case "agent.started":
                self._nobody()
            case "agent.stopped":
                if self._floor.answer_owed or self._tools:
                    self._answered()
                else:
                    self._wait_for_caller()
            case "call.began":
                self._wait_for_caller()
            case "speech.started":
                # A voice that says nothing may be a room: it gets longer, but not for ever.
                self._wait_for_caller(2.0)
            case "speech.stopped" | "backchannel" | "aside" | "opener.kept":
                self._wait_for_caller()
            case "mark.played" if self._owes == "caller" and not self._floor.unplayed:
                self._wait_for_caller()  # the silence begins when the last word has been heard
            case "agent.said" if self._said_at is None:
                self._said_at = asyncio.get_running_loop().time()
            case "agent.resumed" if self._floor.leaving:
                self._over = True  # it was the goodbye, and is finished
                self._nobody()
            case "agent.resumed":
                self._answered()
            case "turn.started":
                self._nobody()  # the court sees to it that a turn ends
            case "turn.committed":
                self._nudges = self._excuses = self._tools = 0
                self._committed_at = asyncio.get_running_loop().time()
                self._answered()
            case "llm.started" | "llm.ended":
                self._thinking = event.name == "llm.started"
            case "tool.called":
                self._tools += 1
                self._tool_moved()
            case "tool.done":
                self._tools = max(0, self._tools - 1)
                self._tool_moved()
            case "interruption":
                self._over = False  # the caller has more to say after the goodbye

    def _tool_moved(self) -> None:
        if not self._floor.agent_audible:  # else the silence begins when it has spoken
            self._answered()

    def _nobody(self) -> None:
        self._owes = None
        self._changed.set()

    def _wait_for_caller(self, times: float = 1.0) -> None:
        floor = self._floor
        if floor.agent_audible or floor.turn_open or floor.answer_owed:
            return
        rules = self._rules
        after = times * (rules.nudge_again if self._nudges else rules.nudge_after)
        self._set("caller", after + (_UNPLAYED if floor.unplayed else 0.0))

    def _answered(self) -> None:
        """The agent owes an answer from here on."""
        self._said_at = None
        self._set("agent", self._rules.answer_within)

    def _set(self, owes: Literal["caller", "agent"], after: float) -> None:
        self._owes = owes
        self._deadline = asyncio.get_running_loop().time() + after
        self._changed.set()

    async def _break(self) -> None:
        if self._owes == "agent" and self._said_at is not None:
            left = self._said_at + _VOICE - asyncio.get_running_loop().time()
            if left > 0.001:
                self._set("agent", left)
                return
        owed, self._owes = self._owes, None
        remedy: Remedy
        if owed == "caller":
            self._nudges += 1
            remedy = "nudge" if self._nudges <= _NUDGES else "goodbye"
            # Should the remedy itself be silent, the next one is due.
            self._set("caller", self._rules.nudge_again)
        elif (self._thinking or self._tools) and self._excuses and not self._waited_too_long():
            # One filler is enough, and a model that is at it must not be asked a second time.
            self._answered()
            return
        else:
            self._excuses += 1
            remedy = _EXCUSES.get(self._excuses, "apology")
            if self._waited_too_long():
                remedy = "apology"
            if remedy == "apology":
                self._floor.answer_owed = False
                self._set("caller", self._rules.nudge_after)
            else:
                self._answered()
        await self._remedy(remedy)

    def _waited_too_long(self) -> bool:
        return asyncio.get_running_loop().time() - self._committed_at > _LONGEST
