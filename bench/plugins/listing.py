"""``tipring plugins`` with 200 installed distributions, measured: ``make bench-plugins``.

Lays fake distributions beside this environment until there are as many as asked for, and runs the
command in fresh processes. A bare interpreter in the same environment is measured beside it: what
Python itself costs here is no doing of the command's.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path

DESCRIPTION = "A line of a description, as most distributions have dozens of them.\n" * 60
GROUPS = ("stt", "turn", "llm", "tts", "observer")


def lay(site: Path, count: int, plugins: int) -> None:
    """Write the metadata of so many distributions, and let some of them be plugins."""
    for at in range(count):
        info = site / f"bench_filler_{at:03}-1.{at}.dist-info"
        info.mkdir()
        needs = "".join(f"Requires-Dist: bench-need-{n}>=1\n" for n in range(8))
        if at < plugins:
            needs += "Requires-Dist: tipring<0.2,>=0.1\n"
            group = GROUPS[at % len(GROUPS)]
            text = f"[tipring.{group}]\nfiller_{at} = bench_filler_{at}\n"
            (info / "entry_points.txt").write_text(text)
        elif at % 4 == 0:
            (info / "entry_points.txt").write_text(f"[console_scripts]\nx{at} = x{at}:main\n")
        head = f"Metadata-Version: 2.1\nName: bench-filler-{at:03}\nVersion: 1.{at}\n"
        (info / "METADATA").write_text(f"{head}{needs}\n{DESCRIPTION}")
        (info / "RECORD").write_text(f"bench_filler_{at:03}.py,,\n" * 30)


def timed(command: list[str], site: Path, runs: int) -> tuple[list[float], list[float]]:
    """Milliseconds and CPU milliseconds of each run, after one that warms the disk."""
    env = {**os.environ, "PYTHONPATH": str(site)}
    took, cost = [], []
    for _ in range(runs + 1):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.perf_counter()
        subprocess.run(command, cwd=site, env=env, stdout=subprocess.DEVNULL, check=True)
        took.append((time.perf_counter() - began) * 1000)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        cost.append(cpu * 1000)
    return took[1:], cost[1:]


def listed(site: Path) -> int:
    """How many plugins the command lists there."""
    done = subprocess.run(
        [sys.executable, "-m", "tipring", "plugins", "--json"],
        cwd=site,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        check=True,
    )
    return len(json.loads(done.stdout)["plugins"])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=20, help="processes a row")
    parser.add_argument("--dists", type=int, default=200, help="installed distributions in all")
    given = parser.parse_args()
    here = len(list(metadata.distributions()))
    fill = max(0, given.dists - here)
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {given.runs} runs a row")
    print(
        f"{'ms':24}{'distributions':>14}{'plugins':>9}{'min':>8}{'median':>8}{'max':>8}{'cpu':>8}"
    )
    for plugins in (0, fill // 10, fill):
        with tempfile.TemporaryDirectory() as folder:
            site = Path(folder)
            lay(site, fill, plugins)
            count = listed(site)
            tool = [sys.executable, "-m", "tipring", "plugins"]
            for what, command in (
                ("tipring plugins", tool),
                ("tipring plugins --json", [*tool, "--json"]),
                ("python -c pass", [sys.executable, "-c", "pass"]),
            ):
                took, cost = timed(command, site, given.runs)
                row = f"{what:24}{here + fill:14}{count:9}"
                figures = (min(took), statistics.median(took), max(took), statistics.median(cost))
                print(row + "".join(f"{figure:8.0f}" for figure in figures))


if __name__ == "__main__":
    main()
