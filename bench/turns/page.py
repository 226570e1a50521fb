"""The page: figures, distributions, and a timeline of each call that one can listen to."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.turns.calls import RATE
from bench.turns.scores import Finding, Marks
from bench.turns.table import ROWS, cell, wanted

COLOURS = ("#0a6", "#07a", "#5a3", "#c33", "#d80", "#85c", "#888")
WIDTH = 1100
"""Pixels of a timeline."""

LOUD = 200
"""How many calls get their sound beside the page; those where something went wrong come first."""

WRONG = (
    "cut-in per turn",
    "cut-in per hold",
    "missed",
    "false stop",
)
"""Figures of which 1 is bad; of the others that say yes or no, 0 is."""

RIGHT = (
    "yield",
    "resume after",
    "dictation without",
    "dictation captured",
    "short answer",
    "resumed before",
)

_STYLE = """
body{font:14px/1.45 system-ui,sans-serif;margin:2em auto;max-width:1180px;padding:0 1em;color:#222}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
td,th{padding:.2em .7em;text-align:left;border-bottom:1px solid #ddd;white-space:nowrap}
.aim{color:#083;font-weight:600}.must{color:#460}.no{color:#b00;font-weight:600}
.call{margin:.7em 0;padding:.5em;border:1px solid #ddd;border-radius:4px}
.call audio{height:26px;vertical-align:middle}
.notes{color:#b00}.hint{color:#666}svg text{font:10px system-ui,sans-serif}
"""

_SCRIPT = """
function show(){const s=system.value,f=family.value,w=wrong.checked;
document.querySelectorAll('.call').forEach(c=>{c.hidden=(s&&c.dataset.s!==s)||
(f&&c.dataset.f!==f)||(w&&c.dataset.w==='0')})}
document.querySelectorAll('.filter').forEach(e=>e.onchange=show);show()
"""


def is_wrong(one: Finding) -> bool:
    """Whether a finding is one that nobody wants."""
    if one.figure.startswith(WRONG):
        return one.value > 0
    return one.figure.startswith(RIGHT) and one.value == 0


def write_page(out: Path, summary: dict[str, Any], marks: Sequence[Marks]) -> None:
    """Write ``index.html``, and the sound of calls into ``audio/`` beside it.

    Args:
        out: The folder.
        summary: As in ``results.json``.
        marks: Every take.
    """
    ranked = sorted(marks, key=lambda m: -sum(is_wrong(one) for one in m.findings))
    sounds = {id(one): _sound(out, one) for one in ranked[:LOUD]}
    ordered = sorted(marks, key=lambda m: (m.take.call.id, m.take.system))
    families = sorted({one.take.call.family for one in marks})
    parts = [
        "<!doctype html><meta charset=utf-8><title>phone-turn bench</title>",
        f"<style>{_STYLE}</style><h1>phone-turn bench</h1>",
        f"<p>{html.escape(_run(summary['run']))}</p>",
        _table(summary),
        "<h2>Response latency</h2>",
        _distribution(summary["systems"], marks),
        "<h2>Calls</h2><p class=hint>Above: what the caller said (turns blue, pauses white, what"
        " must not stop the agent grey). Below: when the agent was heard. Red: what went wrong."
        " Small ticks: when the model was asked. Left ear: the caller. Right ear: the agent.</p>",
        _choice("system", summary["systems"]),
        _choice("family", families),
        "<label><input type=checkbox id=wrong class=filter checked> only what went wrong</label>",
    ]
    parts += [_call(one, sounds.get(id(one))) for one in ordered]
    parts.append(f"<script>{_SCRIPT}</script>")
    (out / "index.html").write_text("\n".join(parts), encoding="utf-8")


def _run(run: dict[str, Any]) -> str:
    return (
        f"Track {run['track']}, {run['calls']} calls with {run['events']} events, "
        f"{run['seconds'] / 60:.1f} minutes, {run['lanes']} calls at once, seed {run['seed']}. "
        f"Machine load {run['load'][0]:.1f} to {run['load'][-1]:.1f}; "
        f"{run['late_calls']} calls with more than 1 % late frames."
    )


def _table(summary: dict[str, Any]) -> str:
    systems = summary["systems"]
    head = "".join(f"<th>{html.escape(name)}" for name in systems)
    lines = [f"<table><tr><th><th>must / aim{head}"]
    for row, line in zip(ROWS, summary["rows"], strict=True):
        cells = ""
        for name in systems:
            figure = line["figures"][name]
            title = ""
            if "low" in figure and figure["value"] is not None:
                title = f"95 %: {100 * figure['low']:.0f} to {100 * figure['high']:.0f} %"
            if ratio := line["ratio_to_plain"].get(name):
                title += f" times plain Pipecat: {ratio[0]:.2f} ({ratio[1]:.2f} to {ratio[2]:.2f})"
            verdict = line["met"].get(name, "")
            text = html.escape(cell(row, figure))
            cells += f'<td class="{verdict}" title="{html.escape(title)}">{text}'
        name = html.escape(row.name)
        lines.append(f"<tr><td>{name}<td>{html.escape(wanted(row))}{cells}")
    lines.append("</table><p class=hint>Hover over a figure for its interval and its ratio.</p>")
    return "\n".join(lines)


def _distribution(systems: Sequence[str], marks: Sequence[Marks]) -> str:
    """The share of turns answered within so many seconds."""
    longest, height = 5.0, 220
    lines = [f'<svg width="{WIDTH}" height="{height + 30}">']
    for second in range(6):
        x = second / longest * (WIDTH - 160)
        lines.append(f'<line x1="{x}" x2="{x}" y1="0" y2="{height}" stroke="#ddd"/>')
        lines.append(f'<text x="{x + 2}" y="{height + 14}">{second} s</text>')
    for number, name in enumerate(systems):
        values = np.sort(
            [v for one in marks if one.take.system == name for v in one.values("latency")]
        )
        colour = COLOURS[number % len(COLOURS)]
        steps = [(0.0, 0.0)]
        for index, value in enumerate(values):
            x = min(float(value), longest) / longest * (WIDTH - 160)
            steps.append((x, (index + 1) / len(values)))
        points = " ".join(f"{x:.1f},{height - share * height:.1f}" for x, share in steps)
        lines.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'
        )
        y = 14 + 16 * number
        lines.append(f'<text x="{WIDTH - 150}" y="{y}" fill="{colour}">{html.escape(name)}</text>')
    return "\n".join([*lines, "</svg>"])


def _choice(name: str, options: Sequence[str]) -> str:
    every = "".join(f"<option>{html.escape(one)}" for one in options)
    return f'<select id={name} class=filter><option value="">every {name}{every}</select> '


def _call(one: Marks, sound: str | None) -> str:
    take = one.take
    bad = [finding for finding in one.findings if is_wrong(finding)]
    notes = "; ".join(
        html.escape(f"{f.at:.1f} s: {f.figure}" + (f" ({f.note})" if f.note else "")) for f in bad
    )
    if take.broken:
        notes = html.escape(f"broke: {take.broken}; ") + notes
    audio = f'<audio controls preload=none src="{sound}"></audio>' if sound else ""
    return (
        f'<div class=call data-s="{html.escape(take.system)}"'
        f' data-f="{html.escape(take.call.family)}"'
        f' data-w="{int(bool(bad or take.broken))}"><b>{html.escape(take.call.id)}</b>'
        f" {html.escape(take.system)} {audio}{_timeline(one)}<div class=notes>{notes}</div></div>"
    )


def _timeline(one: Marks) -> str:
    seconds = max(1.0, len(one.take.heard) / RATE)
    per = WIDTH / seconds

    def bar(begin: float, end: float, y: int, high: int, colour: str, title: str) -> str:
        return (
            f'<rect x="{begin * per:.1f}" y="{y}" width="{max(1.0, (end - begin) * per):.1f}"'
            f' height="{high}" fill="{colour}"><title>{html.escape(title)}</title></rect>'
        )

    lines = [f'<svg width="{WIDTH}" height="56">']
    for event in sorted(one.events, key=lambda e: e.type == "hold"):
        colour = {"turn": "#48c", "barge_in": "#26a", "hold": "#eef"}.get(event.type, "#aaa")
        title = f"{event.type} {event.begin:.2f} to {event.end:.2f} s {event.text}"
        lines.append(bar(event.begin, event.end, 2, 16, colour, title))
    for heard in one.heard:
        title = f"heard {heard.begin:.2f} to {heard.end:.2f} s"
        lines.append(bar(heard.begin, heard.end, 24, 16, "#3a6", title))
    for at, _ in one.take.asked:
        lines.append(bar(at, at, 20, 4, "#000", f"the model was asked at {at:.2f} s"))
    for at, dropped in one.take.clears:
        lines.append(bar(at, at, 40, 5, "#d80", f"clear at {at:.2f} s, {dropped:.2f} s dropped"))
    for found in one.findings:
        if is_wrong(found):
            lines.append(bar(found.at, found.at + 0.08, 0, 46, "#e00", found.figure + found.note))
    for second in range(0, int(seconds) + 1, 5):
        lines.append(f'<text x="{second * per + 2:.1f}" y="55" fill="#888">{second} s</text>')
    return "".join([*lines, "</svg>"])


def _sound(out: Path, one: Marks) -> str | None:
    import soundfile

    take = one.take
    length = min(len(take.heard), len(take.sent))
    if not length:
        return None
    folder = out / "audio"
    folder.mkdir(exist_ok=True)
    kind = "mp3" if "MP3" in soundfile.available_formats() else "wav"
    name = re.sub(r"[^a-z0-9-]+", "-", f"{take.call.id}-{take.system}".lower())
    both = np.stack([take.sent[:length], take.heard[:length]], axis=1)
    soundfile.write(folder / f"{name}.{kind}", both, RATE)
    return f"audio/{name}.{kind}"
