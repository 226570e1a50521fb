"""The table of scenes: what a caller does, and what comes of it, in a form that people read.

A scene of ``scenes*.toml`` is played for each kind of detector. Its script has a line for each
thing that happens, with the seconds at which it does::

    1.0-2.2  caller   I need a table for two.
    2.9-3.4  caller   At eight. (unsure)
    4.0-5.5  noise
    6.0      agent    Are you there?

What stands in brackets is what the caller's words meet with: ``unsure``, a detector that thinks
that they go on; ``deaf``, ``raises`` and ``hangs``, one that fails; ``quiet``, a voice that is not
noticed; ``away``, one that is 10 dB further from the phone; ``late 0.8``, a final transcript that
comes 0.8 s after the voice; ``no final`` and ``no interim``.

A ``successor`` is the detector that takes over from there on.

What is expected are the decisions, in order, each with a time or without::

    2.3-2.6  answered  I need a table for two.
"""

from __future__ import annotations

import asyncio
import re
import tomllib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tipring.journal import Event
from tipring.sections import Turns

from tests.scripted_rungs import Step
from tests.turns.detectors import DETECTORS
from tests.turns.stage import Stage, replies

TABLES = sorted(Path(__file__).parent.glob("scenes*.toml"))

_LINE = re.compile(r"\s*(?:([\d.]+)(?:-([\d.]+))?\s+)?([a-z]+(?: again)?)(?:\s{2,}(.*?))?\s*$")
_FLAGS = re.compile(r"\s*\(([^()]*)\)$")

_ALWAYS = {
    "turn.committed": "answered",
    "turn.held": "held",
    "interruption": "interrupted",
    "backchannel": "backchannel",
    "aside": "aside",
    "echo": "echo",
    "opener.kept": "kept",
    "remedy": "remedy",
    "agent.resumed": "resumes",
}
_WHEN_ASKED = {
    "turn.resumed": "resumed",
    "turn.speculated": "ahead",
    "turn.withdrawn": "withdrawn",
    "detector.failed": "failed",
    "turn.late": "late",
}
_DETAIL = {
    "answered": "text",
    "held": "why",
    "interrupted": "text",
    "backchannel": "text",
    "aside": "text",
    "echo": "text",
    "kept": "text",
    "remedy": "remedy",
    "withdrawn": "why",
    "failed": "error",
    "late": "text",
}


@dataclass(frozen=True)
class Line:
    """One line of a script or of what is expected of it."""

    kind: str
    text: str
    start: float | None
    end: float | None

    def meets(self, event: Event, text: str) -> bool:
        """Whether an event is what this line says, at its time if it has one, to 0.06 s."""
        if self.text and text != self.text:
            return False
        if self.start is None:
            return True
        first, last = self.start, self.start if self.end is None else self.end
        return first - 0.06 <= event.at <= last + 0.06


@dataclass(frozen=True)
class Scene:
    """One row of the table."""

    name: str
    rule: str
    script: str
    expect: str
    detectors: tuple[str, ...] = DETECTORS
    replies: tuple[str, ...] = ("Sure.",)
    heard: tuple[str, ...] | None = None
    remembered: tuple[str, ...] | None = None
    language: str = "en"
    punctuates: bool = True
    slow: float = 0.0
    fails: int = 0
    asked: int | None = None
    until: float = 4.0
    expecting: str | None = None
    rules: dict[str, Any] = field(default_factory=dict)


def scenes() -> list[Scene]:
    """The table, of all files."""
    rows: list[dict[str, Any]] = []
    for table in TABLES:
        rows += tomllib.loads(table.read_text(encoding="utf-8"))["scene"]
    for row in rows:
        row.update({key: tuple(value) for key, value in row.items() if isinstance(value, list)})
    return [Scene(**row) for row in rows]


def lines(text: str) -> list[Line]:
    """Read a script, or what is expected of one."""
    read = []
    for raw in text.strip().splitlines():
        found = _LINE.match(raw)
        if found is None:
            raise ValueError(f"cannot read {raw!r}; it is TIME  KIND  TEXT, two spaces between")
        start, end, kind, what = found.groups()
        read.append(
            Line(kind, what or "", float(start) if start else None, float(end) if end else None)
        )
    return read


async def play(scene: Scene, detector: str) -> list[str]:
    """Play a scene; what was not as expected, in sentences."""
    scripts: list[list[Step]] = [[OSError("down")] for _ in range(scene.fails)]
    scripts += replies(*scene.replies)
    if scene.slow:
        scripts = [[scene.slow, *script] for script in scripts]
    stage = Stage(
        detector,
        scripts,
        rules=Turns(**scene.rules),
        language=scene.language,
        punctuates=scene.punctuates,
    )
    script = lines(scene.script)
    async with stage.running():
        stage.floor.expecting = scene.expecting
        acts: list[tuple[float, int, Callable[[], Awaitable[Any]]]] = []
        for line in script:
            for at, act in _acts(stage, line):
                acts.append((at, len(acts), act))
        for at, _, act in sorted(acts, key=lambda act: act[:2]):
            left = at - stage.journal.now()
            if left > 0:
                await asyncio.sleep(left)
            await act()
        await asyncio.sleep(scene.until)
        return _compare(scene, stage)


def _acts(stage: Stage, line: Line) -> list[tuple[float, Callable[[], Awaitable[Any]]]]:
    start = line.start or 0.0
    end = start if line.end is None else line.end
    match line.kind:
        case "caller":
            return _speech(stage, line, start, end)
        case "noise":
            return [
                (start, partial(stage.voice, True)),
                (end + 0.2, partial(stage.voice, False)),
            ]
        case "interim":
            return [(start, partial(stage.interim, line.text))]
        case "final":
            return [(start, partial(stage.final, line.text))]
        case "greeting":
            return [(start, partial(stage.greet, line.text))]
        case "agent":
            return [(start, partial(stage.agent, line.text))]
        case "successor":
            return [(start, partial(stage.hand_over, line.text))]
        case "mute":
            return [(start, stage.mute)]
    raise ValueError(f"{line.kind!r} does nothing")


def _speech(
    stage: Stage, line: Line, start: float, end: float
) -> list[tuple[float, Callable[[], Awaitable[Any]]]]:
    text, flags = line.text, ""
    if found := _FLAGS.search(text):
        text, flags = text[: found.start()], found[1]
    verdict = next((v for v in ("unsure", "deaf", "raises", "hangs") if v in flags), "complete")
    late = re.search(r"late ([\d.]+)", flags)
    heard = end + (float(late[1]) if late else 0.25)
    words = text.split()
    acts: list[tuple[float, Callable[[], Awaitable[Any]]]] = []
    flux = stage.detector == "flux"

    async def set_verdict() -> None:
        stage.script.verdict = verdict

    async def turn_away() -> None:
        stage.away = "away" in flags

    acts.append((start, turn_away))
    if "quiet" not in flags:
        acts += [(start, partial(stage.voice, True)), (end + 0.2, partial(stage.voice, False))]
    acts.append((end + 0.19, set_verdict))
    if flux:
        acts.append((start + 0.01, stage.propose_start))
    if "no interim" not in flags:
        for n in range(1, len(words)):
            at = start + 0.1 + (end - start) * n / len(words)
            acts.append((min(at, end), partial(stage.interim, " ".join(words[:n]))))
    if "no final" in flags:
        acts.append((end, partial(stage.interim, text)))
    else:
        acts.append((heard, partial(stage.final, text)))
        if flux and verdict != "deaf":
            acts.append((heard + (1.0 if verdict == "unsure" else 0.0), stage.propose_stop))
    return acts


def _compare(scene: Scene, stage: Stage) -> list[str]:
    expected = lines(scene.expect)
    asked = {line.kind for line in expected}
    kinds = _ALWAYS | {name: kind for name, kind in _WHEN_ASKED.items() if kind in asked}
    got = [
        (kinds[event.name], event, str(event.detail.get(_DETAIL.get(kinds[event.name], ""), "")))
        for event in stage.events
        if event.name in kinds
        and (event.name != "turn.late" or event.detail["by"] == "transcriber")
    ]
    told = [f"{event.at:.2f}  {kind}  {text}" for kind, event, text in got]
    wrong = []
    if len(got) != len(expected) or not all(
        kind == line.kind and line.meets(event, text)
        for line, (kind, event, text) in zip(expected, got, strict=False)
    ):
        wrong.append("what happened was:\n  " + "\n  ".join(told))
    heard = tuple(text for _, text in stage.mouth.heard)
    if scene.heard is not None and heard != scene.heard:
        wrong.append(f"the caller heard {heard}")
    remembered = tuple(stage.caller_said)
    if scene.remembered is not None and remembered != scene.remembered:
        wrong.append(f"the model remembers {remembered}")
    if scene.asked is not None and stage.rung.asked != scene.asked:
        wrong.append(f"the model was asked {stage.rung.asked} times")
    return wrong
