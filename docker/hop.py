"""Measure what the way through Worker and object costs: a media frame there and back, a webhook.

    python docker/hop.py [--seconds 20] [--write]

The Worker is the real one in real workerd, and its container a process that sends every frame back
at once. The same frames to the same process without the Worker are what it is compared with.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import aiohttp

from docker.figures import origin, put
from tests.worker import cloud, standin

PAYLOAD = base64.b64encode(bytes(160)).decode()
FRAME = 0.020
CALLS = 20


class Echo(standin.Host):
    """A host that sends back what it hears."""

    async def said(self, ws: Any, message: dict[str, Any]) -> None:
        """Send a frame back."""
        await ws.send_json(message)


async def frames(ws: aiohttp.ClientWebSocketResponse, seconds: float) -> list[float]:
    """Send a frame every 20 ms; the seconds until each came back."""
    sent: dict[int, float] = {}
    took: list[float] = []
    count = round(seconds / FRAME)

    async def hear() -> None:
        while len(took) < count:
            message = await ws.receive_json(timeout=30)
            took.append(time.perf_counter() - sent[message["sequenceNumber"]])

    hearing = asyncio.create_task(hear())
    began = time.perf_counter()
    for number in range(count):
        await asyncio.sleep(max(0, began + number * FRAME - time.perf_counter()))
        sent[number] = time.perf_counter()
        await ws.send_json(
            {"event": "media", "sequenceNumber": number, "media": {"payload": PAYLOAD}}
        )
    await hearing
    return sorted(took)


async def through(seconds: float) -> tuple[list[float], list[float]]:
    """Through the Worker and the object: frames, and webhooks to their TwiML.

    Each webhook is a call of its own, and starts a process that is ready as soon as it listens.
    """
    image = cloud.Image(
        command=[sys.executable, __file__, "--echo"],
        ports={8080: "AUDIO_PORT", 9090: "CONTROL_PORT"},
        env={},
    )
    with tempfile.TemporaryDirectory() as folder:
        async with cloud.running(Path(folder), {}, image) as worker:
            ws = await worker.stream(await worker.answered(call := cloud.new_call()))
            took = await frames(ws, seconds)
            await worker.kill(call, "hard")
            await ws.close()
            rung = []
            for _ in range(CALLS):
                began = time.perf_counter()
                await worker.answered(call := cloud.new_call())
                rung.append(time.perf_counter() - began)
                await worker.kill(call, "hard")
            return took, sorted(rung)


async def direct(seconds: float) -> list[float]:
    """Straight to the process."""
    environ = {"AUDIO_PORT": "8790", "CONTROL_PORT": "8791", "TIPRING_CONTROL_TOKEN": "token"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, __file__, "--echo", env={**os.environ, **environ}
    )
    url, init = "http://127.0.0.1:8790", {"call": "c", "media_token": "t"}
    try:
        async with aiohttp.ClientSession(headers={"Authorization": "Bearer token"}) as http:
            for _ in range(300):
                try:
                    async with http.post(f"{url}/init", json=init) as answer:
                        await answer.read()
                    break
                except aiohttp.ClientError:
                    await asyncio.sleep(0.1)
            async with http.ws_connect(f"{url}/media/c/t") as ws:
                return await frames(ws, seconds)
    finally:
        process.terminate()
        await process.wait()


def row(name: str, took: list[float]) -> str:
    """One line of the table."""
    middle, late = took[len(took) // 2], took[len(took) * 99 // 100]
    return f"| {name} | {middle * 1000:.1f} ms | {late * 1000:.1f} ms |"


def main() -> None:
    """Measure, print, and write if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--write", action="store_true", help="put it into docs/operations.md")
    parser.add_argument("--echo", action="store_true", help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.echo:
        standin.Host = Echo  # type: ignore[misc]
        asyncio.run(standin.main())
        return
    load = os.getloadavg()[0]
    subprocess.run(["npm", "run", "--silent", "bundle"], cwd=cloud.ROOT / "worker", check=True)
    alone = asyncio.run(direct(told.seconds))
    there, rung = asyncio.run(through(told.seconds))
    table = "\n".join(
        [
            "| a frame of 20 ms, there and back | p50 | p99 |",
            "|---|---|---|",
            row("through the Worker and the object", there),
            row("straight to the process", alone),
            "",
            "| a call's webhook to its TwiML | p50 | most |",
            "|---|---|---|",
            "| through the Worker and the object, to a process that is ready as soon as it listens"
            f" | {rung[len(rung) // 2] * 1000:.0f} ms | {rung[-1] * 1000:.0f} ms |",
            "",
            f"{len(there)} frames each, {len(rung)} webhooks. {origin(load)}",
        ]
    )
    print(table)
    if told.write:
        put("hop", table)


if __name__ == "__main__":
    main()
