"""From the events of a call to its turns: who decided them, and how long they took.

The journal is a flat list; a reader wants turns. :func:`tell` goes over the events once, in the
order in which they were noted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tipring.journal import Event
from tipring.tape import figures
from tipring.tape.conversation import (
    CallerTurn,
    Conversation,
    Hold,
    Interruption,
    Key,
    Mark,
    Nudge,
    Problem,
    Proposal,
    Said,
    Span,
    Tool,
    Utterance,
    Withdrawal,
)

JUST_ENDED = 1.0
"""Seconds between the end of speech and a turn that is begun late, by its words."""


def tell(events: Iterable[Event]) -> Conversation:
    """Tell a call from its events.

    Args:
        events: In the order in which they were noted. Events that make no sense where they stand
            (an answer to no turn, a commit of no turn) are told as well as they can be; unknown
            ones are passed over.
    """
    story = _Story(tuple(events))
    for event in story.events:
        handler = getattr(story, "on_" + event.name.replace(".", "_"), None)
        if handler is not None:
            handler(event.at, event.detail)
    return story.end()


class _Story:
    """The call as far as it has been told."""

    def __init__(self, events: tuple[Event, ...]) -> None:
        self.events = events
        # Speech first: detectors tell of it late, so a turn may be decided before its end is noted.
        self.speech = _speech(events)
        self.last = max((event.at for event in events), default=0.0)
        self.ended_at: float | None = None
        self.reason: str | None = None
        self.providers: dict[str, str] = {}
        self.turns: list[CallerTurn] = []
        self.agent: list[Utterance] = []
        self.open: int | None = None  # the turn of the caller who has the floor
        self.answering: int | None = None  # the turn that was committed last
        self.holding: Hold | None = None
        self.speculating = False
        self.speaking = False
        self.said: list[str] = []
        self.nudging = False
        self.backchannels: list[Said] = []
        self.openers: list[Said] = []
        self.asides: list[Said] = []
        self.echoes: list[Said] = []
        self.interruptions: list[Interruption] = []
        self.nudges: list[Nudge] = []
        self.keys: list[Key] = []
        self.tools: list[Tool] = []
        self.clears: list[float] = []
        self.marks: list[Mark] = []
        self.problems: list[Problem] = []
        self.words: list[Said] = []

    # The call

    def on_call_began(self, at: float, detail: Mapping[str, Any]) -> None:
        kinds = ("stt", "turn", "llm", "tts")
        self.providers = {kind: _names(detail[kind]) for kind in kinds if detail.get(kind)}

    def on_call_ended(self, at: float, detail: Mapping[str, Any]) -> None:
        self.ended_at, self.reason = at, _text(detail, "reason")

    def on_problem(self, at: float, detail: Mapping[str, Any]) -> None:
        self._problem(at, _text(detail, "where"), _text(detail, "what"))

    def on_detector_failed(self, at: float, detail: Mapping[str, Any]) -> None:
        self._problem(at, f"turn.{_text(detail, 'by')}", _text(detail, "error"))

    def on_rung_failed(self, at: float, detail: Mapping[str, Any]) -> None:
        what = f"{_text(detail, 'error')} ({_text(detail, 'moment')})"
        self._problem(at, f"llm.{_text(detail, 'rung')}", what)

    def on_ladder_exhausted(self, at: float, detail: Mapping[str, Any]) -> None:
        self._problem(at, "llm", "no rung could answer")

    def _problem(self, at: float, where: str, what: str) -> None:
        self.problems.append(Problem(at=at, where=where, what=what))

    # The caller

    def on_transcript_final(self, at: float, detail: Mapping[str, Any]) -> None:
        self.words.append(Said(at=at, text=_text(detail, "text")))

    def on_turn_started(self, at: float, detail: Mapping[str, Any]) -> None:
        if self.open is not None:
            return
        self._begin(at, by=_text(detail, "by"), text=_text(detail, "text"))

    def _begin(self, at: float, *, by: str = "", text: str = "") -> None:
        after = self._decided()
        began = at
        for span in self.speech:
            over = span.until is None or span.until >= at - JUST_ENDED
            if over and after < span.from_ <= at:
                # The turn may hold several stretches of speech; the earliest of those not yet
                # answered, unless it was an "mhm" that stands alone.
                began = span.from_
                break
        self.open = len(self.turns)
        self.speculating = False
        number = self.open + 1
        self.turns.append(CallerTurn(number=number, began=began, started_by=by, text=text))

    def _decided(self) -> float:
        """When the last decision about the caller's words fell."""
        times = [said.at for said in self.backchannels]
        times += [turn.committed for turn in self.turns if turn.committed is not None]
        return max(times, default=-math.inf)

    def on_turn_proposed(self, at: float, detail: Mapping[str, Any]) -> None:
        turn = self._opened(at)
        proposal = Proposal(
            at=at, by=_text(detail, "by"), epoch=detail.get("epoch"), doubt=detail.get("doubt")
        )
        self._turn(turn, proposals=(*self.turns[turn].proposals, proposal))

    def on_turn_held(self, at: float, detail: Mapping[str, Any]) -> None:
        self._opened(at)
        self._let_go(at)
        until = detail.get("until")
        planned = float(until) if isinstance(until, int | float) and until >= at else None
        self.holding = Hold(why=_text(detail, "why"), from_=at, until=at, planned=planned)

    def _let_go(self, at: float) -> None:
        """A hold ends with the next thing that happens to its turn, or when its time is up."""
        if self.holding is None or self.open is None:
            return
        until = at if self.holding.planned is None else min(at, self.holding.planned)
        hold = replace(self.holding, until=max(until, self.holding.from_))
        self._turn(self.open, holds=(*self.turns[self.open].holds, hold))
        self.holding = None

    def on_turn_resumed(self, at: float, detail: Mapping[str, Any]) -> None:
        if self.open is None and self.answering is not None:
            taken = self.turns[self.answering]
            if taken.first_audio is None:
                # Nothing was heard yet: the caller takes the decided turn back.
                self.open, self.answering = self.answering, None
                self._turn(self.open, committed=None, by="", why="", epoch=None)
                self._turn(self.open, llm_asked=None, first_token=None, rung="")
        turn = self._opened(at)
        self._let_go(at)
        self._turn(turn, resumed=(*self.turns[turn].resumed, at))

    def on_turn_speculated(self, at: float, detail: Mapping[str, Any]) -> None:
        turn = self._opened(at)
        self.speculating = True
        if self.turns[turn].speculated is None:
            self._turn(turn, speculated=at)

    def on_turn_withdrawn(self, at: float, detail: Mapping[str, Any]) -> None:
        turn = self.open if self.open is not None else self.answering
        self.speculating = False
        self.said.clear()
        if turn is None:
            return
        gone = Withdrawal(
            at=at,
            why=_text(detail, "why"),
            wasted=detail.get("wasted"),
            tokens=int(detail.get("tokens", 0)),
            prompt_tokens=int(detail.get("prompt_tokens", 0)),
        )
        withdrawn = (*self.turns[turn].withdrawn, gone)
        self._turn(turn, withdrawn=withdrawn, llm_asked=None, first_token=None, rung="")

    def on_turn_committed(self, at: float, detail: Mapping[str, Any]) -> None:
        turn = self._opened(at)
        self._let_go(at)
        self._turn(
            turn,
            committed=at,
            by=_text(detail, "by"),
            why=_text(detail, "why"),
            text=_text(detail, "text") or self.turns[turn].text,
            epoch=detail.get("epoch"),
        )
        self.answering, self.open, self.speculating = turn, None, False

    def on_backchannel(self, at: float, detail: Mapping[str, Any]) -> None:
        self.backchannels.append(Said(at=at, text=_text(detail, "text")))

    def on_opener_kept(self, at: float, detail: Mapping[str, Any]) -> None:
        self.openers.append(Said(at=at, text=_text(detail, "text")))

    def on_aside(self, at: float, detail: Mapping[str, Any]) -> None:
        self.asides.append(Said(at=at, text=_text(detail, "text")))

    def on_echo(self, at: float, detail: Mapping[str, Any]) -> None:
        self.echoes.append(Said(at=at, text=_text(detail, "text")))

    def on_key(self, at: float, detail: Mapping[str, Any]) -> None:
        self.keys.append(Key(at=at, digit=_text(detail, "digit")))

    def on_interruption(self, at: float, detail: Mapping[str, Any]) -> None:
        self.interruptions.append(Interruption(at=at, text=_text(detail, "text")))
        self.said.clear()
        if not self.agent:
            return
        ended = self.agent[-1].ended
        # The play-out may be stopped a moment before the interruption is noted.
        if self.speaking or (ended is not None and ended >= at - figures.STILL_TALKING):
            self._utterance(interrupted=True)
            answers = self.agent[-1].answers
            if answers is not None:
                self._turn(answers - 1, interrupted=True)

    # The model

    def on_llm_started(self, at: float, detail: Mapping[str, Any]) -> None:
        self._model(llm_asked=at, first_token=None, rung="")

    def on_llm_first_token(self, at: float, detail: Mapping[str, Any]) -> None:
        self._model(first_token=at, rung=_text(detail, "rung"))

    def on_rung_used(self, at: float, detail: Mapping[str, Any]) -> None:
        self._model(rung=_text(detail, "rung"))

    def _model(self, **changes: Any) -> None:
        turn = self.open if self.speculating else self.answering
        # Once an answer is heard, what the model does next (after a tool) is not its beginning.
        if turn is not None and self.turns[turn].first_audio is None:
            self._turn(turn, **changes)

    def on_tool_called(self, at: float, detail: Mapping[str, Any]) -> None:
        self.tools.append(Tool(name=_text(detail, "name"), from_=at))

    def on_tool_done(self, at: float, detail: Mapping[str, Any]) -> None:
        name = _text(detail, "name")
        for index, tool in enumerate(self.tools):
            if tool.name == name and tool.until is None:
                self.tools[index] = replace(tool, until=at)
                return

    # The agent

    def on_agent_said(self, at: float, detail: Mapping[str, Any]) -> None:
        text = _text(detail, "text").strip()
        if self.speaking:
            self._utterance(text=f"{self.agent[-1].text} {text}".strip())
        else:
            self.said.append(text)

    def on_agent_started(self, at: float, detail: Mapping[str, Any]) -> None:
        if self.speaking:
            self._stop(at)
        turn = None if self.nudging else self.answering
        text = " ".join(self.said)
        answers = None if turn is None else turn + 1
        self.agent.append(Utterance(text=text, began=at, answers=answers, nudge=self.nudging))
        if turn is not None and self.turns[turn].first_audio is None:
            self._turn(turn, first_audio=at)
        self.speaking, self.nudging = True, False
        self.said.clear()

    def on_agent_stopped(self, at: float, detail: Mapping[str, Any]) -> None:
        if self.speaking:
            self._stop(at)

    def _stop(self, at: float) -> None:
        self.speaking = False
        self._utterance(ended=at)
        answers = self.agent[-1].answers
        if answers is not None:
            self._turn(answers - 1, playback_ended=at)

    def on_nudge(self, at: float, detail: Mapping[str, Any]) -> None:
        count = detail.get("count")
        number = count if isinstance(count, int) else len(self.nudges) + 1
        self.nudges.append(Nudge(at=at, count=number))
        if self.speaking:
            self._utterance(nudge=True)
        else:
            self.nudging = True

    def on_clear(self, at: float, detail: Mapping[str, Any]) -> None:
        self.clears.append(at)
        for index, stop in enumerate(self.interruptions):
            if stop.cleared is None and abs(at - stop.at) <= JUST_ENDED:
                self.interruptions[index] = replace(stop, cleared=at)

    def on_mark_played(self, at: float, detail: Mapping[str, Any]) -> None:
        self.marks.append(Mark(at=at, name=_text(detail, "name")))

    def on_mark_cleared(self, at: float, detail: Mapping[str, Any]) -> None:
        self.marks.append(Mark(at=at, name=_text(detail, "name"), cleared=True))

    # Helpers, and the end

    def _opened(self, at: float) -> int:
        if self.open is None:
            self._begin(at)
        assert self.open is not None
        return self.open

    def _turn(self, index: int, **changes: Any) -> None:
        self.turns[index] = replace(self.turns[index], **changes)

    def _utterance(self, **changes: Any) -> None:
        self.agent[-1] = replace(self.agent[-1], **changes)

    def end(self) -> Conversation:
        duration = self.ended_at if self.ended_at is not None else self.last
        self._let_go(duration)
        turns = tuple(figures.measured(turn, self.speech) for turn in self.turns)
        cut_ins = figures.cut_ins(turns, self.agent, duration)
        summary = figures.summary(
            turns,
            cut_ins=len(cut_ins),
            interruptions=len(self.interruptions),
            backchannels=len(self.backchannels),
            nudges=len(self.nudges),
            problems=len(self.problems),
        )
        return Conversation(
            duration=duration,
            end_reason=self.reason,
            providers=self.providers,
            summary=summary,
            turns=turns,
            agent=tuple(self.agent),
            backchannels=tuple(self.backchannels),
            openers=tuple(self.openers),
            asides=tuple(self.asides),
            echoes=tuple(self.echoes),
            interruptions=tuple(self.interruptions),
            cut_ins=cut_ins,
            nudges=tuple(self.nudges),
            keys=tuple(self.keys),
            tools=tuple(self.tools),
            clears=tuple(self.clears),
            marks=tuple(self.marks),
            problems=tuple(self.problems),
            speech=self.speech,
            words=tuple(self.words),
        )


def _speech(events: Sequence[Event]) -> tuple[Span, ...]:
    """The stretches in which the voice detector heard the caller."""
    spans: list[Span] = []
    for event in events:
        if event.name == "speech.started":
            if spans and spans[-1].until is None:
                continue
            spans.append(Span(from_=event.at))
        elif event.name == "speech.stopped" and spans and spans[-1].until is None:
            spans[-1] = replace(spans[-1], until=max(event.at, spans[-1].from_))
    return tuple(spans)


def _text(detail: Mapping[str, Any], key: str) -> str:
    value = detail.get(key)
    return "" if value is None else str(value)


def _names(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
