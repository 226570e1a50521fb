"""The call in figures: how long its turns took, and how often what went wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from tipring.tape.conversation import CallerTurn, CutIn, Span, Summary, Utterance

STILL_TALKING = 0.5
"""Seconds by which speech may outlast the commit and still be what the commit was about. Voice
detectors stop late; beyond this the caller simply went on, and the turn has no end to measure."""


def percentile(values: Sequence[float], share: float) -> float | None:
    """The nearest-rank percentile of the values, or None of none.

    Args:
        values: In any order.
        share: Between 0 and 1.
    """
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def measured(turn: CallerTurn, speech: Sequence[Span]) -> CallerTurn:
    """The turn with the end of its speech, and what is counted from there.

    Args:
        turn: As it was told.
        speech: Where the voice detector heard the caller.
    """
    until = turn.committed if turn.committed is not None else math.inf
    spans = [span for span in speech if turn.began <= span.from_ < until]
    ended = spans[-1].until if spans else None
    if ended is None or ended > until + STILL_TALKING:
        return turn
    return replace(
        turn,
        ended=ended,
        decision=None if turn.committed is None else turn.committed - ended,
        latency=None if turn.first_audio is None else turn.first_audio - ended,
    )


def cut_ins(
    turns: Sequence[CallerTurn], agent: Sequence[Utterance], duration: float
) -> tuple[CutIn, ...]:
    """Where the agent became audible inside a turn that was not committed yet.

    Args:
        turns: The caller's.
        agent: What the agent said.
        duration: Seconds of the call.
    """
    return tuple(
        CutIn(at=utterance.began, turn=turn.number)
        for turn in turns
        for utterance in agent
        if turn.began < utterance.began
        and utterance.began < (turn.committed if turn.committed is not None else duration)
    )


def summary(turns: Sequence[CallerTurn], **counts: int) -> Summary:
    """Sum a call up.

    Args:
        turns: The caller's, measured.
        counts: What was counted besides, as in :class:`~tipring.tape.conversation.Summary`.
    """
    latencies = [turn.latency for turn in turns if turn.latency is not None]
    decisions = [turn.decision for turn in turns if turn.decision is not None]
    return Summary(
        turns=sum(turn.committed is not None for turn in turns),
        answered=sum(turn.first_audio is not None for turn in turns),
        latency_p50=percentile(latencies, 0.5),
        latency_p95=percentile(latencies, 0.95),
        decision_p50=percentile(decisions, 0.5),
        decision_p95=percentile(decisions, 0.95),
        **counts,
    )
