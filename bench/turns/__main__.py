"""``python -m bench.turns``: build calls, hold them with every system, and tell who did what."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

from bench.turns.families import FAMILIES
from bench.turns.run import QUICK, SYSTEMS, TRACK_2


def names(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.turns", description=__doc__)
    parser.add_argument("--calls", type=Path, help="ready-made calls, instead of generated ones")
    parser.add_argument(
        "--speech", type=Path, help="recordings with a MANIFEST.csv to generate from"
    )
    parser.add_argument("--out", type=Path, default=Path(".cache/bench-turns"))
    parser.add_argument("--systems", type=names, help=f"of: {', '.join(SYSTEMS)}")
    parser.add_argument("--families", type=names, help=f"of: {', '.join(FAMILIES)}")
    parser.add_argument("--channels", type=names, help="of: clean, babble15, loss3, quiet15")
    parser.add_argument("--events", type=int, default=300, help="how many to generate, about")
    parser.add_argument("--limit", type=int, help="only so many calls")
    parser.add_argument("--lanes", type=int, default=12, help="how many calls at once")
    parser.add_argument("--track", type=int, choices=(1, 2), default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="about 60 events")
    parser.add_argument("--build-only", action="store_true", help="generate calls and stop")
    return parser.parse_args()


def main() -> int:
    """Run the bench.

    Returns:
        0, or 1 when a call broke; never for a figure.
    """
    given = _arguments()
    from bench.turns.build import build, render_agent
    from bench.turns.calls import load_all

    out: Path = given.out
    out.mkdir(parents=True, exist_ok=True)
    folder = given.calls or out / "calls"
    if given.calls is None:
        for old in folder.glob("*/call.json"):
            old.unlink()
        count = build(
            folder,
            speech=given.speech,
            families=given.families,
            channels=given.channels,
            events=60 if given.quick else given.events,
            seed=given.seed,
        )
        print(f"{count} calls generated into {folder}", flush=True)
    if given.build_only:
        return 0
    render_agent(folder)
    calls = [c for c in load_all(folder) if not given.families or c.family in given.families]
    calls = calls[: given.limit]
    some = QUICK if given.quick else SYSTEMS
    systems = given.systems or list(TRACK_2 if given.track == 2 else some)
    if unknown := set(systems) - set(SYSTEMS):
        print(f"there is no system {', '.join(sorted(unknown))}; there are {', '.join(SYSTEMS)}")
        return 2
    return _run(given, folder, calls, systems)


def _run(given: argparse.Namespace, folder: Path, calls: list[Any], systems: list[str]) -> int:
    from bench.turns.caller import Take
    from bench.turns.page import write_page
    from bench.turns.run import hold_all
    from bench.turns.scores import mark
    from bench.turns.table import summarise, text_of
    from bench.turns.truth import Voice

    began = time.monotonic()

    def told(done: int, total: int, take: Take) -> None:
        left = (time.monotonic() - began) / done * (total - done) / 60
        wrong = f": {take.broken}" if take.broken else ""
        if wrong or done % 20 == 0 or done == total:
            what = f"{take.call.id}, {take.system}{wrong}"
            print(f"{done} of {total}, about {left:.0f} min left   {what}", flush=True)

    run = asyncio.run(
        hold_all(
            calls,
            folder,
            systems=systems,
            lanes=given.lanes,
            track=given.track,
            seed=given.seed,
            logs=given.out / "logs",
            told=told,
        )
    )
    voice = Voice(folder / "voice")
    marks = [mark(take, voice) for take in run.takes if not take.broken or len(take.heard)]
    up = [name for name in systems if name not in run.absent]
    summary = summarise(marks, up)
    broken = [take for take in run.takes if take.broken]
    summary["run"] = {
        "track": given.track,
        "seed": given.seed,
        "lanes": given.lanes,
        "calls": len(calls),
        "events": sum(1 for c in calls for e in c.events if e.type != "hold"),
        "seconds": run.seconds,
        "load": run.load,
        "lag_p99": {name: _p99(lags) for name, lags in run.lags.items()},
        "late_calls": sum(1 for take in run.takes if take.late > 0.01),
        "absent": run.absent,
        "broken": [(take.system, take.call.id, take.broken) for take in broken],
    }
    print(text_of(summary))
    print(_conditions(summary["run"], len(run.takes)))
    (given.out / "results.json").write_text(
        json.dumps({**summary, "takes": [_take(one) for one in marks]}, indent=1), encoding="utf-8"
    )
    write_page(given.out, summary, marks)
    print(f"\n{given.out}/results.json, {given.out}/index.html", file=sys.stderr)
    return 1 if broken or run.absent else 0


def _p99(lags: list[float]) -> float:
    import numpy as np

    return float(np.percentile(np.array(lags), 99)) if lags else 0.0


def _conditions(run: dict[str, Any], takes: int) -> str:
    lags = ", ".join(f"{name} {1000 * lag:.0f}" for name, lag in run["lag_p99"].items())
    lines = [
        f"track {run['track']}, {run['calls']} calls, {run['events']} events, "
        f"{run['seconds'] / 60:.1f} min, "
        f"{run['lanes']} lanes, load {run['load'][0]:.1f} to {run['load'][-1]:.1f}",
        f"loop lag, p99 of each second's worst, ms: {lags}",
    ]
    if run["late_calls"]:
        lines.append(
            f"{run['late_calls']} of {takes} calls had more than 1 % of the caller's frames over"
            " 40 ms late: this machine was too busy, and the latencies are worth little"
        )
    lines += [f"absent: {name}: {why}" for name, why in run["absent"].items()]
    lines += [f"broke: {system} in {call}: {why}" for system, call, why in run["broken"]]
    return "\n".join(lines)


def _take(one: Any) -> dict[str, Any]:
    return {
        "call": one.take.call.id,
        "family": one.take.call.family,
        "channel": one.take.call.channel,
        "system": one.take.system,
        "late": one.take.late,
        "broken": one.take.broken,
        "heard": [(round(h.begin, 2), round(h.end, 2)) for h in one.heard],
        "events": [(e.type, round(e.begin, 2), round(e.end, 2), e.text) for e in one.events],
        "asked": [(round(at, 2), turns) for at, turns in one.take.asked],
        "findings": [
            {"figure": f.figure, "value": round(f.value, 3), "at": round(f.at, 2), "note": f.note}
            for f in one.findings
        ],
    }


if __name__ == "__main__":
    sys.exit(main())
