"""The Docker engine that answers here, through its command line."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

ROOT = Path(__file__).parents[2]
# Of Cloudflare's instance types: vCPU and memory.
SIZES = {"basic": (0.25, "1g"), "standard-1": (0.5, "4g"), "standard-4": (4.0, "12g")}
# On a machine that does other things, too, a quarter of a core has taken more than a minute.
READY_WITHIN = 300.0


def command() -> str:
    """The docker command: ``$REAL_DOCKER`` where an engine was brought along."""
    return os.environ.get("REAL_DOCKER", "docker")


async def docker(*words: str, within: float = 120.0) -> str:
    """Run the docker command; what it printed.

    Raises:
        AssertionError: It failed.
    """
    process = await asyncio.create_subprocess_exec(
        command(), *words, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(within):
            out, err = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    assert process.returncode == 0, f"docker {' '.join(words)}\n{err.decode()}{out.decode()}"
    return out.decode().strip()


async def answers() -> bool:
    """Whether there is an engine."""
    try:
        await docker("version", within=20)
    except (AssertionError, OSError, TimeoutError):
        return False
    return True


async def gateway() -> str:
    """This machine's address, as a container sees it."""
    told = json.loads(await docker("network", "inspect", "bridge"))
    return str(told[0]["IPAM"]["Config"][0]["Gateway"])


@dataclass
class Container:
    """A container that runs.

    Attributes:
        id: Docker's name for it.
        url: Where its port 8080 is reached.
        control_url: Where its port 9090 is.
        started: When it was started, on the monotonic clock.
    """

    id: str
    url: str
    control_url: str
    started: float

    async def ready(self, http: aiohttp.ClientSession) -> float:
        """Wait until it says that it is ready; seconds since its start.

        Raises:
            AssertionError: It stopped.
            TimeoutError: It was not ready in time.
        """
        async with asyncio.timeout(READY_WITHIN):
            while True:
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    health = await self.health(http)
                    if health["ready"]:
                        return time.monotonic() - self.started
                running = await docker("inspect", "-f", "{{.State.Running}}", self.id)
                assert running == "true", await docker("logs", self.id)
                await asyncio.sleep(0.02)

    async def health(self, http: aiohttp.ClientSession) -> dict[str, Any]:
        """What it says of itself."""
        limit = aiohttp.ClientTimeout(total=5)
        async with http.get(f"{self.url}/health", timeout=limit) as answer:
            told: dict[str, Any] = await answer.json()
            return told

    async def exit_code(self) -> int:
        """Wait until it has ended."""
        return int(await docker("wait", self.id))


@contextlib.asynccontextmanager
async def running(
    image: str, size: str, environ: Mapping[str, str], arguments: Sequence[str] = ()
) -> AsyncIterator[Container]:
    """Run an image at the limits of an instance type, and remove it afterwards."""
    cpus, memory = SIZES[size]
    cpus = min(cpus, os.cpu_count() or 1)  # the engine gives no more than there are
    words = ["run", "--detach", f"--cpus={cpus}", f"--memory={memory}"]
    words += ["--publish=127.0.0.1::8080", "--publish=127.0.0.1::9090"]
    for name, value in environ.items():
        words += ["--env", f"{name}={value}"]
    started = time.monotonic()
    id = await docker(*words, image, *arguments)
    try:
        audio, control = [await _published(id, port) for port in (8080, 9090)]
        yield Container(id, audio, control, started)
    finally:
        await docker("rm", "--force", id)


async def _published(id: str, port: int) -> str:
    where = (await docker("port", id, str(port))).splitlines()[0]
    return f"http://{where}"
