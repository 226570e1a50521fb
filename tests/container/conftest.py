"""The image that the unmodified Dockerfile builds, run by a real Docker engine."""

from __future__ import annotations

import asyncio
import os
import time

import pytest

from tests.container.docker import answers, docker

IMAGE = "tipring:container-tests"


@pytest.fixture(scope="session")
def image() -> str:
    """Build the image; its name. Without an engine the tests are skipped, and say so."""

    async def build() -> str:
        if not await answers():
            return ""
        began = time.monotonic()
        await docker("build", "--platform=linux/amd64", "--tag", IMAGE, ".", within=900)
        size = int(await docker("image", "inspect", "-f", "{{.Size}}", IMAGE))
        base = int(await docker("image", "inspect", "-f", "{{.Size}}", "python:3.12-slim-bookworm"))
        seconds = time.monotonic() - began
        print(
            f"\nimage: {size / 1e6:.0f} MB, of which {base / 1e6:.0f} MB are Python's own image; "
            f"built in {seconds:.0f} s"
        )
        return IMAGE

    os.environ.setdefault("DOCKER_BUILDKIT", "1")
    built = asyncio.run(build())
    if not built:
        pytest.skip("no Docker engine answers here: start one, or set DOCKER_HOST")
    return built
