"""The picture of a call: both voices and every decision between them, as one HTML file.

The page holds everything but the sound, which it plays from ``call.wav`` beside it. It reads
without JavaScript and on paper; with it, one can zoom, play and seek. To draw a saved call again::

    python -m tipring.tape calls/20260314T092653Z-CA…
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from importlib.resources import files
from itertools import zip_longest
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from tipring.tape.sound import RATE, Samples, envelope, voices

ROW = 15
"""Seconds a row shows before anybody zooms."""

PIECE = 5
"""Seconds of a voice that are one drawing. Every zoom shows a multiple of it."""

ZOOMS = (5, 10, 15, 30, 60)
"""Seconds a row can show."""

_LONG = 300.0  # seconds of call from which a voice is drawn at half the detail
_SCALE = 75.0  # pixels a second at the usual zoom and width, to guess whether two notes collide


@dataclass(frozen=True, kw_only=True)
class Item:
    """One thing drawn on the page.

    Attributes:
        lane: Which lane of a row it belongs to.
        kind: Its classes.
        a: Where it begins (s).
        b: Where it ends; a point ends where it begins.
        z: How far its text may run.
        text: What stands in it.
        title: What is told when one points at it.
        path: The outline of a voice, for a drawing.
        level: Which line of its lane.
        id: Unique on the page, so that a zoom can lay the page out anew.
    """

    lane: str
    kind: str
    a: float
    b: float
    z: float = 0.0
    text: str = ""
    title: str = ""
    path: str = ""
    level: int = 0
    id: int = 0


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the page: a stretch of the call and what lies in it."""

    begin: float
    span: float
    lanes: Mapping[str, Sequence[Item]]


LANES = ("axis", "said", "caller", "court", "agent", "reply", "notes")


def render(record: Mapping[str, Any], caller: Samples, agent: Samples) -> str:
    """Draw a call.

    Args:
        record: What ``call.json`` holds; its events are not needed.
        caller: The caller's voice, PCM16 at 8 kHz from the beginning of the call.
        agent: The agent's, likewise. Either may be empty.

    Returns:
        A whole HTML document. What was said is escaped, and only the page's own script may run.
    """
    heard = max(len(caller), len(agent)) / RATE
    duration = max(float(record["duration"]), heard, 1.0)
    items = list(_voice("caller", caller, duration)) + list(_voice("agent", agent, duration))
    items += _items(record, duration)
    items = [replace(item, id=number) for number, item in enumerate(items)]
    script = _asset("timeline.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return _template().render(
        record=record,
        started=datetime.fromisoformat(record["started"]),
        duration=duration,
        rows=_rows(items, duration),
        lanes=LANES,
        talk=_talk(record),
        zooms=ZOOMS,
        row_seconds=ROW,
        style=_asset("timeline.css"),
        script=script,
        script_hash=f"sha256-{digest}",
        sound=heard > 0,
    )


def redraw(folder: Path) -> Path:
    """Draw a saved call again, from its ``call.json`` and, if it is there, its ``call.wav``.

    Args:
        folder: The folder of one call.

    Returns:
        The page that was written.

    Raises:
        OSError: The folder cannot be read or written.
        ValueError: ``call.json`` or ``call.wav`` is not what it should be.
    """
    record = json.loads((folder / "call.json").read_text(encoding="utf-8"))
    if record.get("version") != 1:
        raise ValueError(f"{folder / 'call.json'} is not a record of version 1")
    wav = folder / "call.wav"
    nothing = np.zeros(0, np.int16)
    caller, agent = voices(wav) if wav.exists() else (nothing, nothing)
    page = folder / "timeline.html"
    page.touch(mode=0o600)
    page.write_text(render(record, caller, agent), encoding="utf-8")
    return page


def ms(seconds: float | None) -> str:
    """Seconds as a reader wants them: ``840 ms``, ``1.32 s``."""
    if seconds is None:
        return "–"
    return f"{seconds * 1000:.0f} ms" if abs(seconds) < 0.9995 else f"{seconds:.2f} s"


def clock(seconds: float | None) -> str:
    """A moment of the call: ``1:04.25``."""
    if seconds is None:
        return "–"
    hundredths = round(seconds * 100)
    return f"{hundredths // 6000}:{hundredths // 100 % 60:02d}.{hundredths % 100:02d}"


def _voice(lane: str, samples: Samples, duration: float) -> Iterator[Item]:
    """The outline of a voice, in pieces. Silent pieces are not drawn."""
    width = RATE // (100 if duration <= _LONG else 50)
    peaks = envelope(samples, width)
    if not len(peaks):
        return
    # A quiet line should fill its lane like a loud one, but hiss should not look like speech.
    # (np.quantile imports for 60 ms at its first call, in which no other thread gets a turn.)
    rank = int(0.995 * (len(peaks) - 1))
    loud = max(0.06, float(np.partition(peaks, rank)[rank]))
    heights = np.round(20 * np.minimum(1.0, peaks / loud) ** 0.75).astype(int)
    count = PIECE * RATE // width
    for start in range(0, len(heights), count):
        # One point of the next piece, so that the pieces meet.
        part = heights[start : start + count + 1]
        if not part.any():
            continue
        top = " ".join(f"{x},{20 - y}" for x, y in enumerate(part))
        bottom = " ".join(f"{x},{20 + y}" for x, y in reversed(list(enumerate(part))))
        a = start * width / RATE
        path = f"M{top} {bottom}z"
        yield Item(lane=lane, kind=f"wave n{count}", a=a, b=a + PIECE, path=path)


def _items(record: Mapping[str, Any], duration: float) -> list[Item]:
    """Everything but the voices themselves."""
    items = [
        Item(lane="axis", kind="tick", a=t, b=t, text=f"{t // 60}:{t % 60:02d}")
        for t in range(0, int(duration) + 1, PIECE)
    ]
    items += [
        Item(lane="caller", kind="speech", a=span["from"], b=_or(span["until"], duration))
        for span in record["speech"]
    ]
    items += [
        Item(lane="caller", kind="point final", a=word["at"], b=word["at"], title=word["text"])
        for word in record["words"]
    ]
    for turn in record["turns"]:
        items += _turn(turn, duration)
    for said in record["agent"]:
        until = _or(said["ended"], duration)
        kind = "speech nudge" if said["nudge"] else "speech"
        items.append(Item(lane="agent", kind=kind, a=said["began"], b=until))
        if said["interrupted"]:
            items.append(Item(lane="agent", kind="point stopped", a=until, b=until))
    for mark in record["marks"]:
        kind = "point mark dropped" if mark["cleared"] else "point mark"
        title = f"mark {mark['name']} {'cleared' if mark['cleared'] else 'played'}"
        items.append(Item(lane="agent", kind=kind, a=mark["at"], b=mark["at"], title=title))
    items += _labels(_said(record, duration), duration)
    items += _labels(_replies(record, duration), duration)
    items += _levelled(sorted(_notes(record), key=lambda item: item.a))
    return items


def _turn(turn: Mapping[str, Any], duration: float) -> Iterator[Item]:
    """What was decided about one turn."""
    number = turn["number"]
    committed, ended, audio = turn["committed"], turn["ended"], turn["first_audio"]
    for proposal in turn["proposals"]:
        title = f"turn {number}: {proposal['by']} proposes the end at {clock(proposal['at'])}"
        if proposal.get("doubt"):
            title += f", and doubts it by {proposal['doubt']:.0%}"
        yield Item(
            lane="court", kind="point proposal", a=proposal["at"], b=proposal["at"], title=title
        )
    for hold in turn["holds"]:
        length = ms(hold["until"] - hold["from"])
        title = f"turn {number}: held {length}, {hold['why']}"
        if hold["planned"] is not None:
            title += f" (at the most until {clock(hold['planned'])})"
        yield Item(
            lane="court",
            kind="hold",
            a=hold["from"],
            b=hold["until"],
            text=hold["why"],
            title=title,
        )
    for at in turn["resumed"]:
        title = f"turn {number}: the caller goes on"
        yield Item(lane="court", kind="point resumed", a=at, b=at, title=title)
    for gone in turn["withdrawn"]:
        title = f"turn {number}: an unheard answer is dropped, {gone['why']}"
        yield Item(lane="court", kind="point withdrawn", a=gone["at"], b=gone["at"], title=title)
    if committed is not None:
        title = f"turn {number}: {turn['by']} commits at {clock(committed)}, {turn['why']}"
        yield Item(lane="court", kind="point commit", a=committed, b=committed, title=title)
    if ended is not None and audio is not None and audio > ended:
        title = f"turn {number}: {ms(turn['latency'])} from the end of speech to the first audio"
        if turn["decision"] is not None:
            title += f", {ms(turn['decision'])} of it to decide"
        middle = min(max(_or(committed, audio), ended), audio)
        yield Item(lane="court", kind="wait", a=ended, b=middle, title=title)
        yield Item(lane="court", kind="wait work", a=middle, b=audio, title=title)
        text = ms(turn["latency"])
        yield Item(lane="court", kind="latency", a=audio, b=audio, text=text, title=title)
    if turn["first_token"] is not None:
        at = turn["first_token"]
        title = f"turn {number}: first token, {turn['rung']}".rstrip(", ")
        yield Item(lane="court", kind="point token", a=at, b=at, title=title)
    if audio is not None:
        title = f"turn {number}: first audio at {clock(audio)}"
        yield Item(lane="court", kind="point audio", a=audio, b=audio, title=title)


_NOT_OBEYED = {
    "backchannels": "backchannel",
    "openers": "kept for later",
    "asides": "for somebody else",
    "echoes": "the agent's own words, come back",
}
"""What is heard of the caller's side and takes no turn; calls of before have not all of them."""


def _said(record: Mapping[str, Any], duration: float) -> Iterator[Item]:
    """The caller's words."""
    for turn in record["turns"]:
        until = _or(turn["committed"], duration)
        text = f"{turn['number']} · {turn['text']}" if turn["text"] else str(turn["number"])
        yield Item(lane="said", kind="turn", a=turn["began"], b=until, text=text, title=text)
    for kind, name in _NOT_OBEYED.items():
        for said in record.get(kind, ()):
            at, title = said["at"], f"{name}: {said['text']}"
            text = f"“{said['text']}”"
            yield Item(lane="said", kind="aside", a=at, b=at, text=text, title=title)


def _replies(record: Mapping[str, Any], duration: float) -> Iterator[Item]:
    """The agent's words."""
    for said in record["agent"]:
        until = _or(said["ended"], duration)
        text = said["text"]
        yield Item(lane="reply", kind="words", a=said["began"], b=until, text=text, title=text)


def _labels(items: Iterator[Item], duration: float) -> Iterator[Item]:
    """Texts of one lane, each with room up to the next."""
    ordered = sorted(items, key=lambda item: item.a)
    for item, after in zip_longest(ordered, ordered[1:]):
        yield replace(item, z=duration + ROW if after is None else max(after.a, item.a))


def _notes(record: Mapping[str, Any]) -> Iterator[Item]:
    """What happened besides: written below the voices."""
    taken = set()
    for stop in record["interruptions"]:
        text = "barge-in"
        if stop["cleared"] is not None:
            taken.add(stop["cleared"])
            text += f", cleared after {ms(stop['cleared'] - stop['at'])}"
        yield _note(stop["at"], "alarm", text, f"the caller takes the floor: {stop['text']}")
    for at in record["clears"]:
        if at not in taken:
            yield _note(at, "plain", "clear", "the phone drops what it has not played")
    for cut in record["cut_ins"]:
        title = f"the agent became audible inside turn {cut['turn']}"
        yield _note(cut["at"], "alarm", "cut-in", title)
    for nudge in record["nudges"]:
        yield _note(nudge["at"], "plain", f"nudge {nudge['count']}", "spoken into a silence")
    for key in record["keys"]:
        yield _note(key["at"], "plain", f"key {key['digit']}", "the caller presses a key")
    for tool in record["tools"]:
        until = tool["until"]
        took = "never came back" if until is None else ms(until - tool["from"])
        yield _note(tool["from"], "plain", f"{tool['name']}, {took}", "a tool runs")
    for problem in record["problems"]:
        title = f"{problem['where']}: {problem['what']}"
        yield _note(problem["at"], "alarm", problem["where"], title)
    if record["end_reason"]:
        end = max(0.0, record["duration"] - 0.001)
        yield _note(end, "plain end", record["end_reason"], "the call ends")


def _note(at: float, kind: str, text: str, title: str) -> Item:
    title = f"{clock(at)} {title}"
    return Item(lane="notes", kind=f"note {kind}", a=at, b=at, text=text, title=title)


def _levelled(items: list[Item]) -> Iterator[Item]:
    """Notes that would lie on one another go on different lines."""
    free = [0.0, 0.0]
    for item in items:
        level = 0 if free[0] <= item.a or free[0] <= free[1] else 1
        free[level] = item.a + (len(item.text) * 6 + 18) / _SCALE
        yield replace(item, level=level)


def _rows(items: list[Item], duration: float) -> list[Row]:
    rows = []
    begin = 0
    while begin < duration:
        end = begin + ROW
        here = [i for i in items if i.a < end and (i.b > begin or i.a >= begin)]
        lanes = {lane: [item for item in here if item.lane == lane] for lane in LANES}
        rows.append(Row(begin=begin, span=ROW, lanes=lanes))
        begin = end
    return rows


def _talk(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of the table: each turn with its answer, and what the agent said unasked."""
    cuts = {cut["turn"] for cut in record["cut_ins"]}
    talk = []
    for turn in record["turns"]:
        answer = " ".join(u["text"] for u in record["agent"] if u["answers"] == turn["number"])
        first = None
        if turn["llm_asked"] is not None and turn["first_token"] is not None:
            first = turn["first_token"] - turn["llm_asked"]
        cut = turn["number"] in cuts
        talk.append(
            {"at": turn["began"], "turn": turn, "answer": answer, "first": first, "cut": cut}
        )
    for said in record["agent"]:
        if said["answers"] is None:
            talk.append({"at": said["began"], "turn": None, "said": said})
    return sorted(talk, key=lambda entry: float(entry["at"]))


def _or(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


def _asset(name: str) -> str:
    return (files("tipring.tape") / name).read_text(encoding="utf-8")


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(ms=ms, clock=clock)
    return environment.from_string(_asset("timeline.html.j2"))
