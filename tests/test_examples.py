"""The examples are plugins like anybody's; tests/test_wheels.py has them on the line."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.installed import install
from tests.patient_loop import command

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[1] / "examples"
DISTS = ("tipring-turn-energy", "tipring-observer-summary")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder in which both are installed."""
    folder = tmp_path / "site"
    folder.mkdir()
    for dist in DISTS:
        install(EXAMPLES / dist, folder)
    return folder


def run(site: Path, *module: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*module),
        cwd=cwd or site.parent,
        env={
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", ""),
            "PYTHONPATH": str(site),
            "CALL_SUMMARIES": str(site.parent / "summaries"),
        },
        capture_output=True,
        text=True,
        timeout=110,
    )


@pytest.mark.parametrize("dist", DISTS)
def test_an_example_keeps_its_contract(dist: str, site: Path) -> None:
    done = run(site, "pytest", "-q", "-p", "no:cacheprovider", cwd=EXAMPLES / dist)
    assert done.returncode == 0, done.stdout[-3000:]
