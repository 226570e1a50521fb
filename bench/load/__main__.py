"""``python -m bench.load``: the load bench. ``make bench-load`` runs the whole of it."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.load import startup, stubs
from bench.load.phones import Speech
from bench.load.run import Level, beyond, grown, held, holds, measure, sequence

CALLS = (1, 8, 16, 20, 24, 32, 48)
SYSTEMS = ("stock", "tipring")
PARTS = ("load", "sequence", "startup")
AT_ONCE = 16
"""Short calls at once in the sequence."""


def arguments() -> argparse.Namespace:
    """What is measured."""
    parser = argparse.ArgumentParser(prog="bench.load", description=__doc__)
    parser.add_argument("--calls", type=_numbers, default=CALLS, help="1,4,8,…: calls at once")
    parser.add_argument("--systems", type=_words, default=SYSTEMS, help="stock,tipring")
    parser.add_argument("--parts", type=_words, default=PARTS, help="load,sequence,startup")
    parser.add_argument("--seconds", type=float, default=20.0, help="measured at each level")
    parser.add_argument("--sequence", type=int, default=500, help="short calls in one process")
    parser.add_argument("--speech", type=Path, help="what callers say: a WAV or FLAC of a sentence")
    parser.add_argument("--quick", action="store_true", help="minutes, and rougher")
    parser.add_argument("--out", type=Path, default=Path(".cache/bench-load/results.json"))
    given = parser.parse_args()
    if given.quick:
        given.calls = tuple(n for n in given.calls if n in (1, 8)) or given.calls[:2]
        given.seconds, given.sequence = min(given.seconds, 14.0), min(given.sequence, 80)
    return given


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(sorted(int(one) for one in text.split(",")))


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


async def main() -> None:
    """Measure, print, write."""
    given = arguments()
    cores = sorted(os.sched_getaffinity(0))
    core = cores[0] if len(cores) > 1 else None
    print(
        f"the host on core {core}, the phones on {cores[1:]}; "
        if core is not None
        else "one core for both: the figures say little; ",
        end="",
    )
    print(f"load of the machine before: {os.getloadavg()[0]:.1f}")
    speech = Speech.of(await asyncio.to_thread(_sentence, given.speech))
    if core is not None:
        os.sched_setaffinity(0, set(cores[1:]))
    results: dict[str, Any] = {
        "machine": {"python": platform.python_version(), "cores": len(cores)},
        "load_before": os.getloadavg()[0],
        "when": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "stubs": {
            "interim_s": stubs.INTERIM,
            "final_s": stubs.FINAL,
            "first_token_s": stubs.FIRST_TOKEN,
            "first_audio_s": stubs.FIRST_AUDIO,
        },
    }
    if "load" in given.parts:
        results.update(await _load(given, speech, core))
    if "sequence" in given.parts:
        results["sequence"] = await _sequence(given, speech, core)
    if "startup" in given.parts:
        with tempfile.TemporaryDirectory() as folder:
            times = 1 if given.quick else 3
            results["startup"] = await startup.start(Path(folder), times=times, core=core)
        _show_startup(results["startup"])
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(f"\n{given.out}")


async def _load(given: argparse.Namespace, speech: Speech, core: int | None) -> dict[str, Any]:
    levels: dict[str, list[Level]] = {system: [] for system in given.systems}
    print(
        "\nsystem   calls  lag p99  commit p50   p95  answer p50   p95  missed"
        "  CPU a call  core  memory  a call  threads  held"
    )
    for calls in given.calls:
        for system in given.systems:
            if beyond(levels[system]):
                continue
            level = await measure(system, calls, speech=speech, seconds=given.seconds, core=core)
            levels[system].append(level)
            _show(level, levels[system][0])
    told: dict[str, Any] = {
        system: {
            "held": held(of),
            "mb_a_call": a_call(of),
            "levels": [level.as_json() for level in of],
        }
        for system, of in levels.items()
    }
    if set(SYSTEMS) <= set(given.systems):
        told["ratios"] = ratios(levels["stock"], levels["tipring"])
        print("\ntipring to stock Pipecat, in this run:")
        for name, value in told["ratios"].items():
            print(f"  {name:28} {value:.2f}")
    return {"load": told}


def a_call(levels: list[Level]) -> float | None:
    """MB that one call more takes, from one call to the largest load that is held."""
    most = held(levels)
    last = next((level for level in levels if level.calls == most), levels[0])
    first = levels[0]
    if last.calls == first.calls:
        return None
    return (last.rss_mb - first.rss_mb) / (last.calls - first.calls)


def ratios(stock: list[Level], ours: list[Level]) -> dict[str, float]:
    """Tipring's figure by stock Pipecat's, where both have one."""
    told: dict[str, float] = {}
    if held(stock):
        told["calls held"] = held(ours) / held(stock)
    # A system that is quick for one call has the harder rule. By the slower one's value both have
    # the same.
    slower = max(stock[0], ours[0], key=lambda level: level.commit_p95_ms)
    if held(stock, slower):
        told["calls held, one rule for both"] = held(ours, slower) / held(stock, slower)
    theirs, mine = a_call(stock), a_call(ours)
    if theirs and mine is not None:
        told["memory a call"] = mine / theirs
    mine_at = {level.calls: level for level in ours if not level.failed}
    for one in stock:
        if not one.failed and one.calls in mine_at:
            told[f"CPU a call, {one.calls} calls"] = mine_at[one.calls].cpu_a_call / one.cpu_a_call
    return told


def _show(level: Level, one: Level) -> None:
    if level.failed:
        print(f"{level.system:8} {level.calls:5}  not held: {level.failed}", flush=True)
        return
    more = (level.rss_mb - one.rss_mb) / (level.calls - one.calls) if level is not one else 0.0
    print(
        f"{level.system:8} {level.calls:5}  {level.lag_p99_ms:7.1f}  {level.commit_p50_ms:10.0f} "
        f"{level.commit_p95_ms:5.0f}  {level.answer_p50_ms:10.0f} {level.answer_p95_ms:5.0f}  "
        f"{level.missed:3}/{level.turns:<3} {level.cpu_a_call:9.2f} % {level.cpu:4.0f}% "
        f"{level.rss_mb:7.0f} {more:7.1f}  {level.threads:7}  "
        f"{'yes' if holds(level, one) else 'no'}"
        + (f"  (late frames: {level.late_frames:.1%})" if level.late_frames > 0.01 else "")
        + (f"  ({level.broken} calls broke)" if level.broken else ""),
        flush=True,
    )


async def _sequence(given: argparse.Namespace, speech: Speech, core: int | None) -> dict[str, Any]:
    """What many calls leave behind in tipring: a promise of its own, and no comparison."""
    print(f"\n{given.sequence} short calls, {AT_ONCE} at a time, in one process")
    try:
        left = await sequence("tipring", given.sequence, at_once=AT_ONCE, speech=speech, core=core)
    except (OSError, TimeoutError, ValueError) as error:
        print(f"it broke: {error!r}", flush=True)
        return {"broke": repr(error)}
    few = left[:: max(1, len(left) // 8)]
    print(
        f"memory {grown(left):+.1%} from the second fifth to the last, {left[-1].tasks} tasks left"
    )
    print("  ".join(f"{one.calls}: {one.rss_mb:.0f} MB" for one in few), flush=True)
    return {"left": [asdict(one) for one in left], "grown": grown(left)}


def _show_startup(told: list[dict[str, Any]]) -> None:
    print("\nstart of the process to ready, in seconds and in seconds of a core, and the imports")
    for one in told:
        bill = ", ".join(f"{name} {seconds:.2f}" for name, seconds in one["imports"][:6])
        print(f"{one['configuration']:14} {one['ready_s']:5.2f} {one['core_s']:5.2f}   {bill}")


def _sentence(path: Path | None) -> npt.NDArray[np.int16]:
    """What callers say, at 8 kHz: a recording, or a sentence of the embedded voice's."""
    if path is not None:
        import soundfile
        import soxr  # type: ignore[import-untyped]

        sound, rate = soundfile.read(path, dtype="float32", always_2d=True)
        samples = np.asarray(soxr.resample(sound[:, 0], rate, 8000) * 32767, np.int16)
    else:
        from tipring_tts_hibari import speak

        samples, _ = speak(stubs.HEARD, rate=8000, pitch=0.93)
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > 300)
    return samples[loud[0] : loud[-1] + 160]


if __name__ == "__main__":
    asyncio.run(main())
