"""Who hears the caller in one call and proposes the end of their turns, and who would be next."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass
from typing import Any, cast

from pipecat.services.stt_service import STTService

from tipring.errors import ConfigError, PluginError
from tipring.journal import Journal
from tipring.providers import Call, Stt, TurnPlan
from tipring.selection import Part, Selection

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Hearing:
    """A transcriber and a turn detector, which may be one and the same.

    Attributes:
        stt: The transcriber.
        hears: Its name, as it stands in the configuration.
        plan: What the turn detector brought.
        turn: Its name, likewise.
        punctuates: Whether a missing full stop means something with this transcriber.
    """

    stt: STTService
    hears: str
    plan: TurnPlan
    turn: str
    punctuates: bool


class Hearers:
    """Gives the first pair that can be built, and another one each time that one has failed.

    A pair is built when its turn comes. When a transcriber failed that belongs to its detector, the
    next detector in the list takes over; else the next transcriber does, with the same detector.

    Args:
        selection: What was chosen, rehearsed.
        call: What the parts may know of the call.
        journal: Where it is noted that a part could not be built.
    """

    def __init__(self, selection: Selection, call: Call, journal: Journal) -> None:
        self._turns = deque(selection.turn)
        self._stts = deque(selection.stt)
        self._call = call
        self._journal = journal
        self._now: Hearing | None = None

    @property
    def more(self) -> bool:
        """Whether somebody may be left to take over."""
        return bool(self._turns or self._stts)

    def first(self) -> Hearing:
        """The pair for the begin of the call.

        Raises:
            ConfigError: Nothing could be built.
        """
        hearing = self._by_turn()
        if hearing is None:
            raise ConfigError(
                "[use] turn", "none of those configured could be built", "tipring check"
            )
        return hearing

    def next(self) -> Hearing | None:
        """The pair that takes over, or None when there is no other."""
        now = self._now
        if now is not None and now.plan.stt is None and (stt := self._stt()) is not None:
            self._now = self._pair(now.plan, now.turn, *stt)
            return self._now
        return self._by_turn()

    def _by_turn(self) -> Hearing | None:
        while self._turns:
            part = self._turns.popleft()
            plan: TurnPlan | None = self._built(part)
            if plan is None:
                continue
            if plan.stt is not None:
                self._now = Hearing(
                    stt=plan.stt,
                    hears=part.name,
                    plan=plan,
                    turn=part.name,
                    punctuates=plan.punctuates,
                )
                return self._now
            if (stt := self._stt()) is not None:
                self._now = self._pair(plan, part.name, *stt)
                return self._now
        return None

    def _stt(self) -> tuple[Part, STTService] | None:
        while self._stts:
            part = self._stts.popleft()
            built: STTService | None = self._built(part)
            if built is not None:
                return part, built
        return None

    def _pair(self, plan: TurnPlan, turn: str, part: Part, stt: STTService) -> Hearing:
        punctuates = cast(Stt[Any], part.provider).punctuates
        return Hearing(stt=stt, hears=part.name, plan=plan, turn=turn, punctuates=punctuates)

    def _built(self, part: Part) -> Any:
        try:
            return part.build(self._call)
        except PluginError as error:
            log.warning("call %s: %s", self._call.id, error)
            self._journal.note("problem", where=error.where, what=error.what)
            return None
