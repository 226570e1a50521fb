"""The figures of every system, side by side with what is wanted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.turns.scores import Marks
from bench.turns.stats import paired_ratio, percentile, wilson

PLAIN = "pipecat"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table.

    Attributes:
        name: What it says in front.
        figures: The findings that go in.
        kind: ``share``, or the percentile of seconds.
        must: What is wanted.
        aim: What is hoped for.
        more: Whether more is better.
        of_plain: The part of plain Pipecat's figure that must not be passed.
    """

    name: str
    figures: tuple[str, ...]
    kind: float | str
    must: float | None = None
    aim: float | None = None
    more: bool = False
    of_plain: float | None = None


def _share(name: str, *figures: str, **more: Any) -> Row:
    return Row(name=name, figures=figures, kind="share", **more)


def _seconds(name: str, figure: str, percent: float, **more: Any) -> Row:
    return Row(name=name, figures=(figure,), kind=percent, **more)


NOISES = ("false stop: cough", "false stop: um", "false stop: noise")
UNHEARD = "resumed before audible, handled"

ROWS = (
    _share("cut-ins, share of holds", "cut-in per hold", must=0.06, aim=0.03, of_plain=1 / 3),
    _share("cut-ins, share of turns", "cut-in per turn", must=0.08, aim=0.05, of_plain=1 / 3),
    _seconds("response latency p50", "latency", 50.0, must=0.75, aim=0.65, of_plain=1.0),
    _seconds("response latency p90", "latency", 90.0),
    _seconds("response latency p95", "latency", 95.0, must=2.0, aim=1.5, of_plain=0.5),
    _share("missed (> 3 s)", "missed", must=0.02, aim=0.01),
    _seconds("barge-in stop p95", "barge-in stop", 95.0, must=0.7, aim=0.5),
    _share("barge-in yield", "yield", must=0.97, aim=0.99, more=True),
    _seconds("latency after a barge-in p50", "latency after a barge-in", 50.0),
    _share("false stop: backchannel", "false stop: backchannel", must=0.10, aim=0.05),
    _share("false stop: cough, um, noise", *NOISES, must=0.20, aim=0.10),
    _share("false stop: side talk", "false stop: side_talk", must=0.40, aim=0.30),
    _share("false stop: hello, greeting", "false stop: hello"),
    _share("false stop: own echo", "false stop: echo"),
    _share(
        "resume after a false stop", "resume after a false stop", must=0.90, aim=0.98, more=True
    ),
    _share(
        "dictation without a cut-in", "dictation without a cut-in", must=0.90, aim=0.97, more=True
    ),
    _share("dictation captured whole", "dictation captured", more=True),
    _share("short answers within 1.2 s", "short answer in time", must=0.95, aim=0.99, more=True),
    _share("resumed unheard, handled", UNHEARD, more=True),
    _seconds("longest silence owed", "longest silence", 100.0),
)

WIRE = (
    _seconds("end of speech to commit p50", "commit", 50.0),
    _seconds("end of speech to commit p95", "commit", 95.0),
    _seconds("first interim to clear p50", "interim to clear", 50.0),
    _seconds("first interim to clear p95", "interim to clear", 95.0),
    _share("resumed unheard, handled", UNHEARD, more=True),
)
"""What goes over the wire, where the systems differ before anything is heard."""

TARGETED = ("tipring smart", "tipring flux", "tipring vad")


def figure_of(row: Row, marks: Sequence[Marks]) -> dict[str, Any]:
    """One figure of one system."""
    values = [value for one in marks for name in row.figures for value in one.values(name)]
    if row.kind == "share":
        hits = int(sum(values))
        low, high = wilson(hits, len(values))
        share = hits / len(values) if values else None
        return {"value": share, "n": len(values), "hits": hits, "low": low, "high": high}
    return {"value": percentile(values, float(row.kind)), "n": len(values)}


def met(row: Row, figure: dict[str, Any], plain: dict[str, Any] | None) -> str:
    """Whether a target is met: ``aim``, ``must`` or ``no``; empty where there is none."""
    value = figure["value"]
    if row.must is None or value is None:
        return ""

    def within(limit: float) -> bool:
        return bool(value >= limit if row.more else value <= limit)

    if not within(row.must):
        return "no"
    if row.of_plain is not None and plain and plain["value"] is not None:
        if value > plain["value"] * row.of_plain + 1e-9:
            return "no"
    return "aim" if row.aim is not None and within(row.aim) else "must"


def ratio_to_plain(row: Row, ours: Sequence[Marks], plain: Sequence[Marks]) -> Any:
    """The figure over plain Pipecat's, on the calls that both held."""
    theirs = {one.take.call.id: one for one in plain}
    pairs = [
        (
            [v for name in row.figures for v in one.values(name)],
            [v for name in row.figures for v in theirs[one.take.call.id].values(name)],
        )
        for one in ours
        if one.take.call.id in theirs
    ]
    pairs = [pair for pair in pairs if pair[0] or pair[1]]

    def make(values: list[float]) -> float | None:
        if row.kind == "share":
            return sum(values) / len(values) if values else None
        return percentile(values, float(row.kind))

    return paired_ratio(pairs, make, rounds=400)


def tokens(marks: Sequence[Marks]) -> dict[str, Any]:
    """What was generated for nothing."""
    generated = sum(int(used["tokens"]) for one in marks for used in one.take.used)
    asked = sum(len(one.take.asked) for one in marks)
    needed = sum(
        len(one.take.call.reply(number + 1).split())
        for one in marks
        for number, event in enumerate(e for e in one.events if e.type in ("turn", "barge_in"))
    )
    turns = sum(1 for one in marks for e in one.events if e.type in ("turn", "barge_in"))
    wasted = max(0, generated - needed)
    return {
        "generated": generated,
        "needed": needed,
        "wasted": wasted,
        "asked": asked,
        "turns": turns,
        "share": wasted / generated if generated else None,
    }


def cell(row: Row, figure: dict[str, Any]) -> str:
    """A figure as it stands in the table."""
    value = figure["value"]
    if value is None:
        return "-"
    if row.kind == "share":
        return f"{100 * value:.0f} % ({figure['hits']}/{figure['n']})"
    return f"{value:.2f} s"


def summarise(marks: Sequence[Marks], systems: Sequence[str]) -> dict[str, Any]:
    """Every figure of every system."""
    by = {name: [one for one in marks if one.take.system == name] for name in systems}
    out: dict[str, Any] = {"systems": list(systems), "rows": []}
    for row in ROWS:
        figures = {name: figure_of(row, by[name]) for name in systems}
        line: dict[str, Any] = {
            "name": row.name,
            "must": row.must,
            "aim": row.aim,
            "kind": row.kind,
            "of_plain": row.of_plain,
            "more": row.more,
            "figures": figures,
            "met": {},
            "ratio_to_plain": {},
        }
        for name in systems:
            if name in TARGETED:
                line["met"][name] = met(row, figures[name], figures.get(PLAIN))
            if name != PLAIN and PLAIN in by:
                line["ratio_to_plain"][name] = ratio_to_plain(row, by[name], by[PLAIN])
        out["rows"].append(line)
    out["wire"] = [
        {"name": row.name, "figures": {name: figure_of(row, by[name]) for name in systems}}
        for row in WIRE
    ]
    out["tokens"] = {name: tokens(by[name]) for name in systems}
    out["broken"] = {
        name: [(one.take.call.id, one.take.broken) for one in by[name] if one.take.broken]
        for name in systems
    }
    out["late"] = {
        name: [one.take.call.id for one in by[name] if one.take.late > 0.01] for name in systems
    }
    return out


def text_of(summary: dict[str, Any]) -> str:
    """The table for a terminal."""
    systems: list[str] = summary["systems"]
    lines = [["", "must / aim", *systems]]
    for row, line in zip(ROWS, summary["rows"], strict=True):
        cells = []
        for name in systems:
            verdict = line["met"].get(name, "")
            sign = {"aim": " ++", "must": " +", "no": " --"}.get(verdict, "")
            cells.append(cell(row, line["figures"][name]) + sign)
        lines.append([row.name, wanted(row), *cells])
    told = summary["tokens"]
    lines.append(
        [
            "tokens for nothing",
            "",
            *(f"{told[n]['wasted']} of {told[n]['generated']}" for n in systems),
        ]
    )
    lines.append(
        [
            "questions to the model",
            "",
            *(f"{told[n]['asked']} in {told[n]['turns']} turns" for n in systems),
        ]
    )
    lines.append(["calls that broke", "", *(str(len(summary["broken"][n])) for n in systems)])
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    out = [
        "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines
    ]
    out.insert(1, "-" * len(out[0]))
    out += ["", "on the wire"]
    for row, one in zip(WIRE, summary["wire"], strict=True):
        cells = [cell(row, one["figures"][name]) for name in systems]
        wire = [row.name, "", *cells]
        out.append("  ".join(c.ljust(w) for c, w in zip(wire, widths, strict=True)).rstrip())
    return "\n".join([*out, "", "++ as hoped for, + as wanted, -- target missed"])


def wanted(row: Row) -> str:
    if row.must is None:
        return ""
    sign = ">=" if row.more else "<="
    if row.kind == "share":
        text = f"{sign} {100 * row.must:.0f} / {100 * (row.aim or 0):.0f} %"
    else:
        text = f"{sign} {row.must:g} / {row.aim:g} s"
    if row.of_plain is not None:
        text += {1 / 3: ", 1/3 of plain", 0.5: ", 1/2 of plain", 1.0: ", plain"}[row.of_plain]
    return text
