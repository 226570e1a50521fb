"""Measure what docs/operations.md tells, against the image that a Docker engine has.

    python docker/figures.py IMAGE [--times 5] [--write]

Start times, the webhook and the size of the image; emulated providers, so nothing leaves this
machine. Run it on a machine that does nothing else: the load is printed with the figures.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import platform
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import aiohttp
from tipring.testing import webhook

from tests.container.docker import SIZES, command, docker, gateway, running
from tests.container.world import AUTH_TOKEN, PUBLIC, providers

PAGE = Path(__file__).parents[1] / "docs" / "operations.md"
DIRECT = {"TWILIO_AUTH_TOKEN": AUTH_TOKEN, "TIPRING_SERVER__PUBLIC_URL": PUBLIC}
# Starts the host; prints the seconds until it says that it is ready, and those of a core it took.
STOPWATCH = """
import os, subprocess, time
began = time.monotonic()
host = subprocess.Popen(["tipring", "serve"], stdout=subprocess.PIPE)
host.stdout.readline()
took = time.monotonic() - began
stat = open(f"/proc/{host.pid}/stat").read().rpartition(")")[2].split()
print("seconds", took, (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK"), flush=True)
host.terminate()
host.wait()
"""


async def process_start(image: str, size: str, environ: dict[str, str]) -> tuple[float, float]:
    """Seconds from the start of the process to ready, in a container that is there already.

    Returns:
        By the clock, and of a core. The second hardly depends on what else the machine does.
    """
    cpus = min(SIZES[size][0], os.cpu_count() or 1)
    words = ["run", "--rm", f"--cpus={cpus}", f"--memory={SIZES[size][1]}"]
    for name, value in environ.items():
        words += ["--env", f"{name}={value}"]
    told = await docker(*words, image, "python", "-c", STOPWATCH, within=600)
    clock, core = told.split("seconds ")[1].split()[:2]
    return float(clock), float(core)


async def container_start(image: str, size: str, environ: dict[str, str]) -> float:
    """Seconds from ``docker run`` to ``/health`` saying that it is ready."""
    async with aiohttp.ClientSession() as http, running(image, size, environ) as host:
        return await host.ready(http)


async def webhooks(image: str, environ: dict[str, str], times: int) -> list[float]:
    """Seconds from a webhook to its TwiML, on a host that is ready."""
    took = []
    async with aiohttp.ClientSession() as http, running(image, "standard-4", environ) as host:
        await host.ready(http)
        for _ in range(times):
            form = {
                "CallSid": f"CA{uuid.uuid4().hex}",
                "From": "+15005550006",
                "To": "+15005550001",
            }
            signed = webhook.sign(f"{PUBLIC}/voice", form, auth_token=AUTH_TOKEN)
            began = time.perf_counter()
            async with http.post(
                f"{host.url}/voice", data=form, headers={"X-Twilio-Signature": signed}
            ) as answer:
                assert "<Response>" in await answer.text()
            took.append(time.perf_counter() - began)
    return took


def origin(load: float) -> str:
    """Where figures are from, in a sentence.

    Args:
        load: The machine's load before.
    """
    asked = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    return (
        f"`python {Path(sys.argv[0]).parent.name}/{Path(sys.argv[0]).name}`, commit"
        f" {commit or 'unknown'}, {time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores"
        f" ({platform.machine()}), load {load:.1f} before and {os.getloadavg()[0]:.1f} after."
    )


def put(name: str, table: str) -> None:
    """Put a table into docs/operations.md."""
    begin, end = f"<!-- {name} -->", "<!-- end -->"
    before, found, rest = PAGE.read_text().partition(begin)
    if not found:
        sys.exit(f"docs/operations.md has no place for {name}")
    PAGE.write_text(f"{before}{begin}\n{table}\n{end}{rest.partition(end)[2]}")


def spread(seconds: list[float]) -> str:
    """The middle one, the least and the most."""
    return f"{statistics.median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})"


@contextlib.asynccontextmanager
async def world() -> AsyncIterator[dict[str, str]]:
    """The variables of a host whose providers are emulated."""
    async with providers(await gateway()) as environ:
        yield {**environ, **DIRECT, "TIPRING_LIMITS__MAX_CALLS": "1000"}


async def measure(image: str, times: int) -> str:
    """The table."""
    size = int(await docker("image", "inspect", "-f", "{{.Size}}", image))
    base = int(await docker("image", "inspect", "-f", "{{.Size}}", "python:3.12-slim-bookworm"))
    load = os.getloadavg()[0]
    rows = [
        ("image", f"{size / 1e6:.0f} MB, of which {base / 1e6:.0f} MB are Python's own image"),
    ]
    async with world() as environ:
        for name in ("standard-4", "standard-1"):
            both = [await process_start(image, name, environ) for _ in range(times)]
            rows.append((f"process start to ready, {name}", spread([clock for clock, _ in both])))
            rows.append(("of it time of a core", spread([core for _, core in both])))
        for name in reversed(SIZES):
            runs = times if name != "basic" else max(1, times // 2)
            took = [await container_start(image, name, environ) for _ in range(runs)]
            rows.append((f"container start to ready, {name}", spread(took)))
        took = sorted(await webhooks(image, environ, 100))
        middle, late = took[len(took) // 2] * 1000, took[len(took) * 99 // 100] * 1000
        rows.append(
            ("webhook to TwiML, a host that is ready", f"p50 {middle:.1f} ms, p99 {late:.1f} ms")
        )
    lines = ["| what | measured |", "|---|---|", *(f"| {what} | {told} |" for what, told in rows)]
    lines += ["", f"{times} runs each: the middle one, and the least and the most. {origin(load)}"]
    return "\n".join(lines)


def main() -> None:
    """Measure, print, and write if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("image")
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument(
        "--write", action="store_true", help="put the table into docs/operations.md"
    )
    told = parser.parse_args()
    if subprocess.run([command(), "version"], capture_output=True, check=False).returncode:
        sys.exit("no Docker engine answers here")
    table = asyncio.run(measure(told.image, told.times))
    print(table)
    if told.write:
        put("figures", table)


if __name__ == "__main__":
    main()
