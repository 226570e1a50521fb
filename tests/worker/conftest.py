"""A Worker of its own for a test that is particular about it; one a module for the others."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.worker.cloud import BUNDLE, PACKAGES, ROOT, Cloud, running, standin

Start = Callable[..., Awaitable[Cloud]]


@pytest.fixture(scope="session")
def bundle() -> Path:
    """The Worker as wrangler would bundle it, of the sources as they are."""
    if not PACKAGES.is_dir():
        pytest.skip("the Worker's packages are not installed: make test-worker")
    subprocess.run(["npm", "run", "--silent", "bundle"], cwd=ROOT / "worker", check=True)
    return BUNDLE


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cloud(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cloud]:
    """A Worker with a stand-in that does what it should, for all tests of a module."""
    async with running(tmp_path_factory.mktemp("cloud"), {}, standin({})) as one:
        yield one


@pytest_asyncio.fixture(loop_scope="module")
async def start(bundle: Path, tmp_path: Path) -> AsyncIterator[Start]:
    """Start a Worker: its variables by name, and what the stand-in ``does``."""
    async with contextlib.AsyncExitStack() as stack:

        async def begin(does: dict[str, Any] | None = None, **settings: str) -> Cloud:
            return await stack.enter_async_context(running(tmp_path, settings, standin(does or {})))

        yield begin
