"""What a take is worth: from what was heard and what is true, and from nothing else.

Definitions follow eot-bench (holds) and tau-voice (yield, selectivity) where they have one; each is
told in bench/README.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from bench.turns.caller import GIVE_UP, Take
from bench.turns.calls import HOLD, OVERLAYS, RATE, Event, Samples
from bench.turns.truth import Transcript, Voice, sentences, transcripts

AUDIBLE = 32768 * 10 ** (-50 / 20)
BRIDGED = 0.5
"""Seconds of silence inside an utterance of the agent."""

CUT_IN = 0.15
"""Seconds for which the agent must be heard inside a turn before it is a cut-in."""

EARLY = 0.1
"""Seconds before the true end from which an answer is no cut-in any more."""

MISSED = 3.0
YIELDED = 1.0
FALSE_STOP = 1.0
CLEARED = 0.5
"""Seconds between a clear and the silence that it made."""

PAUSED = 1.0
"""Seconds of silence that count as a stop though nothing was cleared."""

RESUMED = 1.5
SHORT = 1.2
LONGEST_HOLD = 5.0


@dataclass(frozen=True, kw_only=True)
class Heard:
    """A stretch of the agent's sound."""

    begin: float
    end: float


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that a take shows.

    Attributes:
        figure: What is measured.
        value: Seconds, or 1 and 0.
        at: When, in the call.
        note: For the timeline.
        tags: What the event is.
    """

    figure: str
    value: float
    at: float
    note: str = ""
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Marks:
    """All findings of a take, and the truth on the call's own clock."""

    take: Take
    findings: tuple[Finding, ...]
    heard: tuple[Heard, ...]
    events: tuple[Event, ...] = field(default=())

    def values(self, figure: str) -> list[float]:
        """The values of one figure."""
        return [one.value for one in self.findings if one.figure == figure]


def utterances(samples: Samples, bridged: float = BRIDGED) -> list[Heard]:
    """When the agent was audible, in blocks of 10 ms."""
    blocks = samples[: len(samples) // 80 * 80].reshape(-1, 80).astype(np.float64)
    loud = np.flatnonzero(np.sqrt(np.mean(blocks * blocks, axis=1)) > AUDIBLE)
    out: list[Heard] = []
    for block in loud:
        begin, end = int(block) / 100, (int(block) + 1) / 100
        if out and begin - out[-1].end < bridged:
            out[-1] = Heard(begin=out[-1].begin, end=end)
        else:
            out.append(Heard(begin=begin, end=end))
    return out


def placed(take: Take) -> tuple[Event, ...]:
    """The call's events on the call's own clock; those that never came about are left out."""
    events = []
    for event in take.call.events:
        begin, end = _when(take, event.begin), _when(take, event.end)
        if begin is not None and end is not None:
            events.append(
                Event(
                    type=event.type,
                    begin=begin,
                    end=end,
                    text=event.text,
                    tags=event.tags,
                    words=event.words,
                )
            )
    return tuple(events)


def _when(take: Take, there: float) -> float | None:
    """A place in the call; a hold between two clips begins with one and ends with the other."""
    at = take.when(there - 1e-4)
    return take.when(there + 1e-4) if at is None else at


def mark(take: Take, voice: Voice) -> Marks:
    """Find everything that a take shows."""
    events = placed(take)
    heard = utterances(take.heard)
    fine = utterances(take.heard, bridged=0.2)
    found: list[Finding] = []
    floor = [event for event in events if event.type in ("turn", "barge_in")]
    lines = [(-1.0, take.call.agent[0])]
    for number, event in enumerate(floor):
        following = floor[number + 1].begin if number + 1 < len(floor) else len(take.heard) / RATE
        found += _turn(take, event, events, heard, fine, following, voice, number)
        lines.append((event.begin, take.call.reply(number + 1)))
    for event in events:
        if event.type in (*OVERLAYS, "echo"):
            line = [text for since, text in lines if since < event.begin][-1]
            found += _overlay(take, event, heard, fine, voice, line)
    found += _silence(take, floor, heard)
    return Marks(take=take, findings=tuple(found), heard=tuple(heard), events=events)


def _turn(
    take: Take,
    event: Event,
    events: Iterable[Event],
    heard: list[Heard],
    fine: list[Heard],
    following: float,
    voice: Voice,
    number: int,
) -> Iterable[Finding]:
    tags = (event.type, *event.tags)
    begin, end = event.begin, event.end
    if event.type == "barge_in":
        before = [one for one in fine if one.begin < begin < one.end]
        if before:
            # Until it is silent for longer than between two words of its own.
            over = [one for one in heard if one.begin < begin < one.end]
            stop = over[0].end - begin
            first = min((told.at for told in _told(take, event)), default=None)
            clears = [at for at, _ in take.clears if begin < at < end + GIVE_UP]
            if first is not None and clears:
                value = clears[0] - first
                yield Finding(figure="interim to clear", value=value, at=clears[0], tags=tags)
            yield Finding(figure="barge-in stop", value=stop, at=begin, tags=tags)
            yielded = stop <= YIELDED
            yield Finding(
                figure="yield",
                value=float(yielded),
                at=begin,
                note="" if yielded else f"spoke on for {stop:.2f} s",
                tags=tags,
            )
        else:
            yield Finding(figure="barge-in over nothing", value=1.0, at=begin, tags=tags)
    cuts = [
        one
        for one in fine
        if begin + 0.05 < one.begin < end - EARLY
        and min(one.end, end) - one.begin >= CUT_IN
        # The rest of what was under way at the turn's begin is no new onset.
        and not any(o.begin <= begin and o.end > one.begin - 0.3 for o in heard)
    ]
    if "resume" not in event.tags:  # what comes in its pause answers a sentence that was whole
        yield Finding(
            figure="cut-in per turn",
            value=float(bool(cuts)),
            at=cuts[0].begin if cuts else end,
            note=f"cut in {end - cuts[0].begin:.2f} s before the end" if cuts else "",
            tags=tags,
        )
    for hold in events:
        if hold.type != "hold" or not begin <= hold.begin < end:
            continue
        length = hold.end - hold.begin
        if not HOLD <= length <= LONGEST_HOLD:
            continue
        inside = [c for c in cuts if hold.begin < c.begin < hold.end + 0.5]
        if "resume" not in event.tags:
            yield Finding(
                figure="cut-in per hold",
                value=float(bool(inside)),
                at=hold.begin,
                note=f"pause of {length:.2f} s" if inside else "",
                tags=(*tags, *hold.tags),
            )
        if "resumed" in hold.tags:
            spoke = any(hold.begin < one.begin < hold.end for one in fine)
            if not spoke:
                handled = not inside and not any(hold.begin < c.begin < end for c in cuts)
                yield Finding(
                    figure="resumed before audible, handled",
                    value=float(handled),
                    at=hold.end,
                    tags=tags,
                )
    across = [one for one in heard if begin < one.begin < end - EARLY and one.end > end + 0.3]
    onsets = [one.begin for one in heard if end - EARLY <= one.begin < following + 0.01]
    late = min(onsets[0] - end, GIVE_UP) if onsets else GIVE_UP
    if (
        event.type == "barge_in"
        and not onsets
        and any(one.begin <= begin and one.end > end + 0.3 for one in heard)
    ):
        return  # it was never yielded to: the answer cannot be told from the rest
    if across and not onsets:
        yield Finding(figure="answered by a cut-in", value=1.0, at=end, tags=tags)
        return
    yield Finding(
        figure="latency" if event.type == "turn" else "latency after a barge-in",
        value=late,
        at=end,
        note="" if late <= MISSED else f"answered after {late:.2f} s" if onsets else "no answer",
        tags=tags,
    )
    asked = [at for at, _ in take.asked if begin < at < (onsets[0] if onsets else following)]
    if asked and onsets and not cuts:
        yield Finding(figure="commit", value=asked[-1] - end, at=end, tags=tags)
    if event.type == "turn":
        yield Finding(figure="missed", value=float(late > MISSED), at=end, tags=tags)
    if "short" in event.tags:
        yield Finding(
            figure="short answer in time",
            value=float(late <= SHORT),
            at=end,
            note="" if late <= SHORT else f"answered after {late:.2f} s",
            tags=tags,
        )
    if "dictation" in event.tags:
        yield Finding(figure="dictation without a cut-in", value=float(not cuts), at=end, tags=tags)
        yield Finding(
            figure="dictation captured",
            value=float(_captured(take, event, number + 1)),
            at=end,
            tags=tags,
        )


def _told(take: Take, event: Event) -> Iterable[Transcript]:
    """What the oracle transcriber told from an event's begin on."""
    for clip in take.clips:
        for one in transcripts(take.call, clip):
            if one.at > event.begin:
                yield one


def _captured(take: Take, event: Event, turns: int) -> bool:
    """Whether one question to the model held all that was dictated, and nothing else of it."""
    wanted = _plain(event.text)
    told = [_plain(str(one.get("heard", ""))) for one in take.used]
    return any(text.endswith(wanted) for text in told)


def _plain(text: str) -> str:
    return " ".join(re.findall(r"[a-z0-9']+", text.casefold()))


@lru_cache(maxsize=512)
def _length(voice: Voice, line: str) -> float:
    return sum(len(voice.say(sentence)) for sentence in sentences(line)) / RATE


def _overlay(
    take: Take, event: Event, heard: list[Heard], fine: list[Heard], voice: Voice, line: str
) -> Iterable[Finding]:
    tags = (event.type, *event.tags)
    under = [one for one in heard if one.begin <= event.begin < one.end]
    if not under:
        yield Finding(figure="overlay over nothing", value=1.0, at=event.begin, tags=tags)
        return
    whole = _length(voice, line)
    one = under[0]
    # A line that was heard to its end was not stopped, and neither was one that went on for long.
    came_to_its_end = one.end >= one.begin + whole - 0.45
    limit = event.end + FALSE_STOP
    stops = [
        h.end
        for h in fine
        if event.begin < h.end <= limit and one.begin <= h.begin <= one.end
        and not any(h.end < later.begin <= h.end + 0.45 for later in fine)
    ]  # fmt: skip
    stopped = bool(stops) and not (came_to_its_end and stops[0] >= one.end - 0.02)
    if stopped:
        # A gap that the agent did not ask for, on a machine that could not keep up, is no stop.
        back = [later.begin for later in fine if later.begin > stops[0]]
        told = any(abs(at - stops[0]) < CLEARED for at, _ in take.clears)
        stopped = told or not back or back[0] - stops[0] >= PAUSED
    yield Finding(
        figure=f"false stop: {event.type}",
        value=float(stopped),
        at=event.begin,
        note=f"stopped by {event.text or event.type!r}" if stopped else "",
        tags=tags,
    )
    if stopped:
        resumed = _resumed(take, stops[0], event.end, heard, voice, line)
        yield Finding(
            figure="resume after a false stop",
            value=float(resumed),
            at=stops[0],
            note="" if resumed else "never came back to it",
            tags=tags,
        )


def _resumed(
    take: Take, stopped: float, over: float, heard: list[Heard], voice: Voice, line: str
) -> bool:
    """Whether the agent came back in time, and the end of its line was heard."""
    onsets = [one.begin for one in heard if one.begin > stopped]
    if not onsets or onsets[0] > max(stopped, over) + RESUMED:
        return False
    last = voice.say(sentences(line)[-1]).astype(np.float64)
    spoken = np.flatnonzero(np.abs(last) > 300)
    if not len(spoken):
        return False
    wanted = last[max(0, spoken[-1] - RATE) : spoken[-1]]
    rest = take.heard[round(stopped * RATE) :].astype(np.float64)
    return len(rest) > len(wanted) and _best_match(rest, wanted) > 0.7


def _best_match(sound: Any, wanted: Any) -> float:
    """The largest normalised correlation of a piece with any place of a sound."""
    size = 1 << int(np.ceil(np.log2(len(sound) + len(wanted))))
    cross = np.fft.irfft(np.fft.rfft(sound, size) * np.conj(np.fft.rfft(wanted, size)), size)
    cross = cross[: len(sound) - len(wanted) + 1]
    power = np.convolve(sound * sound, np.ones(1), "valid").cumsum()
    energy = np.sqrt(power[len(wanted) - 1 :] - np.concatenate([[0.0], power[: -len(wanted)]]))
    size_of_wanted = float(np.sqrt(np.sum(wanted * wanted)))
    return float(np.max(cross / np.maximum(energy * size_of_wanted, 1.0)))


def _silence(take: Take, floor: list[Event], heard: list[Heard]) -> Iterable[Finding]:
    """The longest silence that the agent owed the end of."""
    longest, at = 0.0, 0.0
    for number, event in enumerate(floor):
        until = floor[number + 1].begin if number + 1 < len(floor) else len(take.heard) / RATE
        if any(one.begin < event.end < one.end for one in heard):
            continue
        onsets = [one.begin for one in heard if event.end <= one.begin < until]
        silent = (onsets[0] if onsets else until) - event.end
        if silent > longest:
            longest, at = silent, event.end
    yield Finding(figure="longest silence", value=longest, at=at)
