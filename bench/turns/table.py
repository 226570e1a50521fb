"""The figures of every system, side by side with what is wanted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


ROWS = (
    Row(name="cut-ins, share of holds", figures=("cut-in per hold",), kind="share", must=0.06, aim=0.03, of_plain=1 / 3),
    Row(name="cut-ins, share of turns", figures=("cut-in per turn",), kind="share", must=0.08, aim=0.05, of_plain=1 / 3),
    Row(name="response latency p50", figures=("latency",), kind=50.0, must=0.75, aim=0.65, of_plain=1.0),
    Row(name="response latency p90", figures=("latency",), kind=90.0),
    Row(name="response latency p95", figures=("latency",), kind=95.0, must=2.0, aim=1.5, of_plain=0.5),
    Row(name="missed (> 3 s)", figures=("missed",), kind="share", must=0.02, aim=0.01),
    Row(name="barge-in stop p95", figures=("barge-in stop",), kind=95.0, must=0.7, aim=0.5),
    Row(name="barge-in yield", figures=("yield",), kind="share", must=0.97, aim=0.99, more=True),
    Row(name="latency after a barge-in p50", figures=("latency after a barge-in",), kind=50.0),
    Row(name="false stop: backchannel", figures=("false stop: backchannel",), kind="share", must=0.10, aim=0.05),
    Row(name="false stop: cough, um, noise", figures=("false stop: cough", "false stop: um", "false stop: noise"), kind="share", must=0.20, aim=0.10),
    Row(name="false stop: side talk", figures=("false stop: side_talk",), kind="share", must=0.40, aim=0.30),
    Row(name="false stop: hello, greeting", figures=("false stop: hello",), kind="share"),
    Row(name="false stop: own echo", figures=("false stop: echo",), kind="share"),
    Row(name="resume after a false stop", figures=("resume after a false stop",), kind="share", must=0.90, aim=0.98, more=True),
    Row(name="dictation without a cut-in", figures=("dictation without a cut-in",), kind="share", must=0.90, aim=0.97, more=True),
    Row(name="dictation captured whole", figures=("dictation captured",), kind="share", more=True),
    Row(name="short answers within 1.2 s", figures=("short answer in time",), kind="share", must=0.95, aim=0.99, more=True),
    Row(name="resumed unheard, handled", figures=("resumed before audible, handled",), kind="share", more=True),
    Row(name="longest silence owed", figures=("longest silence",), kind=100.0),
)  # fmt: skip
WIRE = (
    Row(name="end of speech to commit p50", figures=("commit",), kind=50.0),
    Row(name="end of speech to commit p95", figures=("commit",), kind=95.0),
    Row(name="first interim to clear p50", figures=("interim to clear",), kind=50.0),
    Row(name="first interim to clear p95", figures=("interim to clear",), kind=95.0),
    Row(name="resumed unheard, handled", figures=("resumed before audible, handled",), kind="share", more=True),
)  # fmt: skip
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
    make: Callable[[list[float]], float | None]
    if row.kind == "share":

        def make(values: list[float]) -> float | None:
            return sum(values) / len(values) if values else None
    else:

        def make(values: list[float]) -> float | None:
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
