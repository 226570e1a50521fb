"""A call as a reader wants it: who said what when, and how long each answer took.

Plain frozen data; every time is in seconds since the call began. :func:`tipring.tape.turns.tell`
makes it from the events of a call.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Span:
    """A stretch of time. ``until`` is None when it never ended."""

    from_: float
    until: float | None = None


@dataclass(frozen=True, kw_only=True)
class Said:
    """Something short that somebody said, and when."""

    at: float
    text: str


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A detector said that the caller is done.

    Attributes:
        at: When.
        by: Its name.
        epoch: The turn it meant, by the court's count.
        doubt: How much it doubted that, 0 to 1.
    """

    at: float
    by: str
    epoch: int | None = None
    doubt: float | None = None


@dataclass(frozen=True, kw_only=True)
class Hold:
    """The court waited.

    Attributes:
        why: What made it wait.
        from_: When it began to.
        until: When it stopped: the caller went on, the turn was committed, or it waited it out.
        planned: How long it would have waited at the most.
    """

    why: str
    from_: float
    until: float
    planned: float | None = None


@dataclass(frozen=True, kw_only=True)
class Withdrawal:
    """An answer that nobody heard was dropped.

    Attributes:
        at: When.
        why: What the journal said.
        wasted: Seconds that the model had worked on it ahead; None when it was no answer ahead.
        tokens: What it had said by then, in tokens or the pieces they came in.
        prompt_tokens: What it had read, as far as it had told by then.
    """

    at: float
    why: str
    wasted: float | None = None
    tokens: int = 0
    prompt_tokens: int = 0


@dataclass(frozen=True, kw_only=True)
class CallerTurn:
    """One turn of the caller, and what became of it.

    Attributes:
        number: From 1.
        text: The words the turn was committed with.
        began: The first sound of it.
        ended: The last sound of it; None when no voice detector told.
        started_by: Who gave the caller the floor.
        proposals: Every time a detector said that the caller was done.
        holds: Every time the court waited nevertheless.
        resumed: When the caller went on after a proposal.
        speculated: When the model was first started unheard.
        withdrawn: Unheard answers that were dropped.
        committed: When the turn was decided; None when the call ended before.
        by: Who decided.
        why: Why it was decided then.
        epoch: The court's number of the decision.
        llm_asked: When the model was asked for the answer that was spoken.
        first_token: When it gave its first token.
        rung: The rung that answered.
        first_audio: When the answer left for the phone.
        playback_ended: When the last of the answer was played.
        interrupted: Whether the caller stopped the answer.
        decision: Seconds from the end of speech to the commit.
        latency: Seconds from the end of speech to the first audio: the silence the caller heard.
    """

    number: int
    text: str = ""
    began: float
    ended: float | None = None
    started_by: str = ""
    proposals: tuple[Proposal, ...] = ()
    holds: tuple[Hold, ...] = ()
    resumed: tuple[float, ...] = ()
    speculated: float | None = None
    withdrawn: tuple[Withdrawal, ...] = ()
    committed: float | None = None
    by: str = ""
    why: str = ""
    epoch: int | None = None
    llm_asked: float | None = None
    first_token: float | None = None
    rung: str = ""
    first_audio: float | None = None
    playback_ended: float | None = None
    interrupted: bool = False
    decision: float | None = None
    latency: float | None = None


@dataclass(frozen=True, kw_only=True)
class Utterance:
    """What the agent said without a break.

    Attributes:
        text: The sentences that went to the voice for it.
        began: Its first audio left for the phone.
        ended: The last of it was played; None when the call ended before.
        answers: The number of the turn it answers; None for a greeting or a nudge.
        nudge: Whether it was spoken into a silence.
        interrupted: Whether the caller stopped it.
    """

    text: str
    began: float
    ended: float | None = None
    answers: int | None = None
    nudge: bool = False
    interrupted: bool = False


@dataclass(frozen=True, kw_only=True)
class Interruption:
    """The caller took the floor from the agent.

    Attributes:
        at: When the words were enough to be sure.
        text: Those words.
        cleared: When the phone was told to drop the rest.
    """

    at: float
    text: str
    cleared: float | None = None


@dataclass(frozen=True, kw_only=True)
class CutIn:
    """The agent became audible inside a turn that was not committed yet."""

    at: float
    turn: int


@dataclass(frozen=True, kw_only=True)
class Nudge:
    """The agent spoke into a silence."""

    at: float
    count: int


@dataclass(frozen=True, kw_only=True)
class Key:
    """The caller pressed a key."""

    at: float
    digit: str


@dataclass(frozen=True, kw_only=True)
class Mark:
    """The phone gave a mark back: played up to it, or dropped by a clear."""

    at: float
    name: str
    cleared: bool = False


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A tool ran. ``until`` is None when it never came back."""

    name: str
    from_: float
    until: float | None = None


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something failed, and the call went on."""

    at: float
    where: str
    what: str


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The call in figures.

    A percentile is the nearest rank: one of the values that were measured, never between two.
    """

    turns: int = 0
    answered: int = 0
    latency_p50: float | None = None
    latency_p95: float | None = None
    decision_p50: float | None = None
    decision_p95: float | None = None
    cut_ins: int = 0
    interruptions: int = 0
    backchannels: int = 0
    nudges: int = 0
    problems: int = 0


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """A call as a reader wants it. All times are seconds since the call began."""

    duration: float = 0.0
    end_reason: str | None = None
    providers: Mapping[str, str] = field(default_factory=dict)
    summary: Summary = Summary()
    turns: tuple[CallerTurn, ...] = ()
    agent: tuple[Utterance, ...] = ()
    backchannels: tuple[Said, ...] = ()
    openers: tuple[Said, ...] = ()
    asides: tuple[Said, ...] = ()
    echoes: tuple[Said, ...] = ()
    interruptions: tuple[Interruption, ...] = ()
    cut_ins: tuple[CutIn, ...] = ()
    nudges: tuple[Nudge, ...] = ()
    keys: tuple[Key, ...] = ()
    tools: tuple[Tool, ...] = ()
    clears: tuple[float, ...] = ()
    marks: tuple[Mark, ...] = ()
    problems: tuple[Problem, ...] = ()
    speech: tuple[Span, ...] = ()
    words: tuple[Said, ...] = ()


def as_json(value: Any) -> Any:
    """Plain JSON of the data here: times to the millisecond, ``from_`` as ``from``."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name.rstrip("_"): as_json(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    if isinstance(value, float):
        return round(value, 3) if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    return str(value)
