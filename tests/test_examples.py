"""The examples are plugins like anybody's: installed beside tipring, chosen, and on the line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tipring import hookspecs

from tests.installed import install

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[1] / "examples"
PLUGINS = {"turn.energy": "tipring-turn-energy", "observer.summary": "tipring-observer-summary"}

CONFIG = """
[use]
stt = "moonshine"
turn = "energy"
llm = "receptionist"
tts = "hibari"
observers = "summary"

[turn.energy]
pause = 0.7
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder in which both are installed, and a config that chooses them."""
    folder = tmp_path / "site"
    folder.mkdir()
    for dist in PLUGINS.values():
        install(EXAMPLES / dist, folder)
    (tmp_path / "tipring.toml").write_text(CONFIG)
    return folder


def run(site: Path, *command: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command],
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


@pytest.mark.parametrize("dist", PLUGINS.values())
def test_an_example_keeps_its_contract(dist: str, site: Path) -> None:
    done = run(site, "pytest", "-q", "-p", "no:cacheprovider", cwd=EXAMPLES / dist)
    assert done.returncode == 0, done.stdout[-3000:]


def test_the_examples_are_chosen_in_the_config(site: Path) -> None:
    done = run(site, "tipring", "plugins", "--json")
    assert done.returncode == 0, done.stderr
    rows = {f"{row['kind']}.{row['name']}": row for row in json.loads(done.stdout)["plugins"]}
    for plugin, dist in PLUGINS.items():
        assert (rows[plugin]["dist"], rows[plugin]["use"]) == (dist, "yes")
    shown = run(site, "tipring", "plugins", "show", "turn.energy")
    assert "Seconds of quiet after which the caller is done." in shown.stdout


def test_the_examples_hold_an_emulated_call(site: Path) -> None:
    say = "Hello, I would like to book a cleaning on Tuesday."
    done = run(site, "tipring", "call", "--say", say, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    events = json.loads(done.stdout)["events"]
    committed = [event for event in events if event["event"] == "turn.committed"]
    assert committed and {event["by"] for event in committed} == {"energy"}
    (summary,) = (site.parent / "summaries").glob("*.json")
    told = json.loads(summary.read_text())
    assert told["turns"]["caller"] >= 1 and told["turns"]["agent"] >= 2
    assert told["talk"]["caller"] > 1 and told["talk"]["agent"] > 1


def test_every_hook_is_used_by_a_plugin_in_this_repository() -> None:
    root = EXAMPLES.parent
    places = [
        *root.glob("plugins/*/src"),
        *root.glob("examples/*/src"),
        root / "core/src/tipring/turns",
    ]
    code = "\n".join(path.read_text() for place in places for path in place.rglob("*.py"))
    hooks = [name for name, thing in vars(hookspecs).items() if hasattr(thing, "tipring_spec")]
    assert len(hooks) == 5
    assert [name for name in hooks if f"@hookimpl\ndef {name}(" not in code] == []
