"""A call as data: what the caller says and when, and what is true about it.

The format is told in bench/README.md. Everything that can be worked out from the sound is optional.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.int16]

RATE = 8000
"""Hz of everything on the line."""

FLOOR = ("turn", "barge_in")
"""Types of event by which the caller takes the floor and is owed an answer."""

OVERLAYS = ("backchannel", "cough", "um", "noise", "side_talk", "hello")
"""Types of event that must not stop the agent."""

HOLD = 0.2
"""Seconds of silence inside a turn that count as a hold, as in eot-bench; over 5 s do not."""

SEGMENT = 0.25
"""Seconds of silence after which a transcriber ends a segment."""

After = Literal["start", "agent_start", "agent_end", "clip_end", "asked"]


@dataclass(frozen=True, kw_only=True)
class Word:
    """A word and where it is in the call's audio, in seconds."""

    text: str
    begin: float
    end: float


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something true about the audio.

    Attributes:
        type: One of ``turn``, ``barge_in``, ``hold``, an overlay, ``dtmf`` or ``silence``.
        begin: Seconds in the audio.
        end: Likewise; of a turn it is the true end.
        text: What is said, or the keys pressed.
        words: Where each word is.
        tags: What the family wants to know of it.
    """

    type: str
    begin: float
    end: float
    text: str = ""
    words: tuple[Word, ...] = ()
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Anchor:
    """When a part of the audio is said.

    Attributes:
        begin: Where it begins in the audio, in seconds.
        end: Where it ends.
        after: What it waits for.
        delay: Seconds after that.
    """

    begin: float
    end: float
    after: After = "start"
    delay: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call.

    Attributes:
        id: Unique in its folder.
        family: What it is about.
        channel: What the line does to it.
        folder: Where it lies.
        audio: The caller, PCM16 at 8 kHz.
        background: What is heard behind the caller from begin to end, repeated; or nothing.
        echo_db: How loud the agent comes back to it, or None.
        agent: The greeting, and one reply for each time the caller takes the floor.
        anchors: In order.
        events: By their begin.
        expect: What the family wants to have been captured.
    """

    id: str
    family: str
    channel: str = "clean"
    folder: Path
    audio: Samples
    background: Samples | None = None
    echo_db: float | None = None
    agent: tuple[str, ...]
    anchors: tuple[Anchor, ...]
    events: tuple[Event, ...]
    expect: dict[str, Any] = field(default_factory=dict)

    @property
    def floor(self) -> tuple[Event, ...]:
        """The turns, barge-ins among them."""
        return tuple(event for event in self.events if event.type in FLOOR)

    def reply(self, number: int) -> str:
        """What the agent says when the caller has taken the floor so many times."""
        return self.agent[min(number, len(self.agent) - 1)]

    def within(self, outer: Event, kind: str) -> list[Event]:
        """The events of a type inside another."""
        return [e for e in self.events if e.type == kind and outer.begin <= e.begin < outer.end]


DEFAULT_AGENT = (
    "Hello, thanks for calling. How can I help?",
    "All right, I have noted that. Is there anything else that I can do for you today?",
)


def load(folder: Path) -> Call:
    """Read a call from its folder.

    Raises:
        ValueError: It cannot be understood; the message says why.
    """
    try:
        data: dict[str, Any] = json.loads((folder / "call.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{folder}: call.json cannot be read ({error})") from None
    audio = _sound(folder / str(data.get("audio", "user.wav")))
    anchors = [_anchor(one, audio) for one in data.get("anchors", [])]
    if not anchors:
        anchors = [Anchor(begin=0.0, end=len(audio) / RATE)]
    events = _events(data.get("events", []), audio)
    background = data.get("background")
    return Call(
        id=str(data.get("id", folder.name)),
        family=str(data.get("family", "recorded")),
        channel=str(data.get("channel", "as recorded")),
        folder=folder,
        audio=audio,
        background=_sound(folder / background) if background else None,
        echo_db=data.get("echo_db"),
        agent=tuple(data.get("agent") or DEFAULT_AGENT),
        anchors=tuple(anchors),
        events=tuple(sorted(events, key=lambda event: (event.begin, event.type == "hold"))),
        expect=dict(data.get("expect") or {}),
    )


def load_all(folder: Path) -> list[Call]:
    """Read every call below a folder, in the order of their names.

    Raises:
        ValueError: There is none, or one that cannot be understood.
    """
    calls = [load(path.parent) for path in sorted(folder.rglob("call.json"))]
    if not calls:
        raise ValueError(f"{folder} holds no call.json")
    if len({call.id for call in calls}) < len(calls):
        raise ValueError(f"two calls in {folder} have the same id")
    return calls


def _sound(path: Path) -> Samples:
    import soundfile
    import soxr  # type: ignore[import-untyped, unused-ignore]

    try:
        samples, rate = soundfile.read(str(path), dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError) as error:
        raise ValueError(f"{path}: is no sound that can be read ({error})") from None
    mono = samples[:, 0]  # of a recording with both sides, the caller is the first channel
    if rate != RATE:
        mono = soxr.resample(mono, rate, RATE)
    return np.asarray(np.clip(np.round(mono * 32768), -32768, 32767), dtype=np.int16)


def _anchor(one: dict[str, Any], audio: Samples) -> Anchor:
    begin, end = one.get("clip") or (0.0, len(audio) / RATE)
    if "at" in one:
        return Anchor(begin=float(begin), end=float(end), after="start", delay=float(one["at"]))
    found = re.fullmatch(
        r"(start|agent_start|agent_end|clip_end|asked)(?:\s*\+\s*(\d+(?:\.\d+)?))?",
        str(one.get("after", "agent_end")),
    )
    if not found:
        raise ValueError(f'"after" is {one["after"]!r}: write agent_end+600, in milliseconds')
    after: Any = found[1]
    return Anchor(begin=begin, end=end, after=after, delay=float(found[2] or 0) / 1000)


def _events(given: list[dict[str, Any]], audio: Samples) -> Iterator[Event]:
    holds = [one for one in given if one["type"] == "hold"]
    for one in given:
        kind, begin, end = str(one["type"]), float(one["t0"]), float(one["t1"])
        if kind == "eot":
            continue  # said by the turn's gt_eot
        if kind in FLOOR:
            end = float(one.get("gt_eot") or end)
        text = str(one.get("text") or "")
        words = tuple(
            Word(text=w, begin=float(a), end=float(b)) for w, a, b in one.get("words", [])
        )
        if not words and text and kind not in ("hold", "dtmf", "silence", "noise"):
            words = tuple(spread(text, audio, begin, end))
        yield Event(
            type=kind, begin=begin, end=end, text=text, words=words, tags=tuple(one.get("tags", []))
        )
        if kind in FLOOR and not any(begin <= float(hold["t0"]) < end for hold in holds):
            for quiet_from, quiet_to in silences(audio, begin, end):
                yield Event(type="hold", begin=quiet_from, end=quiet_to)


def voiced(audio: Samples, begin: float, end: float) -> npt.NDArray[np.bool_]:
    """Which blocks of 10 ms hold a voice: less than 26 dB under the loud ones; 80 ms are no gap."""
    piece = audio[round(begin * RATE) : round(end * RATE)].astype(np.float64)
    blocks = piece[: len(piece) // 80 * 80].reshape(-1, 80)
    if not len(blocks):
        return np.zeros(0, dtype=np.bool_)
    loud = np.sqrt(np.mean(blocks * blocks, axis=1))
    voice = loud > max(60.0, float(np.percentile(loud, 95)) * 10 ** (-26 / 20))
    edges = np.flatnonzero(voice)
    for left, right in zip(edges, edges[1:], strict=False):
        if right - left <= 8:
            voice[left:right] = True
    return np.asarray(voice)


def silences(audio: Samples, begin: float, end: float) -> Iterator[tuple[float, float]]:
    """The silences of at least HOLD seconds inside a stretch of speech."""
    spoken = np.flatnonzero(voiced(audio, begin, end))
    for left, right in zip(spoken, spoken[1:], strict=False):
        if (right - left - 1) / 100 >= HOLD:
            yield begin + (left + 1) / 100, begin + right / 100


def spread(text: str, audio: Samples, begin: float, end: float) -> Iterator[Word]:
    """Lay words over a stretch of speech: each takes voice in proportion to its letters."""
    words = text.split()
    spoken = np.flatnonzero(voiced(audio, begin, end))
    if not len(spoken):
        spoken = np.arange(max(1, int((end - begin) * 100)))
    weights = np.array([2.0 + len(re.sub(r"\W", "", word)) for word in words])
    marks = np.concatenate([[0.0], np.cumsum(weights) / weights.sum()]) * len(spoken)
    for word, left, right in zip(words, marks, marks[1:], strict=False):
        first = spoken[min(int(left), len(spoken) - 1)]
        last = spoken[min(max(int(right) - 1, int(left)), len(spoken) - 1)]
        yield Word(text=word, begin=begin + first / 100, end=begin + (last + 1) / 100)
