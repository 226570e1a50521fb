"""The wheels, installed into an environment that knows nothing of the workspace."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

# One environment for all of it, and in it a call in real time.
pytestmark = [pytest.mark.slow, pytest.mark.line, pytest.mark.timeout(400)]

ROOT = Path(__file__).parents[1]
EXAMPLES = {"turn.energy": "tipring-turn-energy", "observer.summary": "tipring-observer-summary"}
SOURCES = {
    path.parent.name: path.parent / "src"
    for path in (ROOT / "core" / "pyproject.toml", *ROOT.glob("plugins/*/pyproject.toml"))
}

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


NO_INDEX = (
    "No such file or directory: 'uv'",
    "Failed to fetch",
    "Network",
    "dns error",
    "timed out",
)
"""What is said where uv, or the way to an index, is missing: nothing about the wheels."""


class Fresh:
    """An environment with the wheels in it, and a folder that names the examples in its config.

    Args:
        folder: Where all of it is made.
    """

    def __init__(self, folder: Path) -> None:
        self.wheels = folder / "wheels"
        self.python = folder / "env" / "bin" / "python"
        self.home = folder / "home"
        self.home.mkdir()
        (self.home / "tipring.toml").write_text(CONFIG)

    def tipring(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        keep = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
        return subprocess.run(
            [str(self.python.with_name("tipring")), *arguments],
            cwd=self.home,
            env=keep | {"CALL_SUMMARIES": str(self.home / "summaries")},
            capture_output=True,
            text=True,
            timeout=200,
        )


def _uv(folder: Path, *arguments: str) -> str:
    """Run uv without the network, and with it where that does not do; what it says if it fails."""
    own = ROOT / ".uv" / "bin" / "uv"  # where make puts it
    uv = shutil.which("uv") or (str(own) if own.exists() else "uv")
    said = ""
    for offline in ("--offline", "--no-progress"):
        try:
            done = subprocess.run(
                [uv, *arguments, offline],
                cwd=folder,
                env={**os.environ, "UV_LINK_MODE": "hardlink", "UV_PYTHON_DOWNLOADS": "never"},
                capture_output=True,
                text=True,
                timeout=150,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            said = str(error)
            continue
        if done.returncode == 0:
            return ""
        said = done.stderr
    return said or "it said nothing"


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Fresh:
    folder = tmp_path_factory.mktemp("fresh")
    made = Fresh(folder)
    # The versions that this environment was tested with, so that no index has to be asked.
    pins = folder / "pins.txt"
    pins.write_text("".join(f"{one.name}=={one.version}\n" for one in metadata.distributions()))
    out = str(made.wheels)
    wheels = ("--find-links", out, "--constraint", str(pins))
    every = ("tipring[embedded,production]", *EXAMPLES.values())
    builds = [
        ("build", str(ROOT), "--all-packages", "--wheel", "--out-dir", out),
        *(
            ("build", str(ROOT / "examples" / dist), "--wheel", "--out-dir", out)
            for dist in EXAMPLES.values()
        ),
        ("venv", str(folder / "env"), "--python", sys.executable),
        ("pip", "install", "--python", str(made.python), *wheels, *every),
    ]
    for one in builds:
        if not (said := _uv(folder, *one)):
            continue
        if any(word in said for word in NO_INDEX):
            pytest.skip(f"uv {one[0]} has neither its cache nor an index: {said[-600:]}")
        pytest.fail(f"uv {' '.join(one)}: {said[-3000:]}")
    return made


def test_a_wheel_holds_every_file_of_its_source(fresh: Fresh) -> None:
    held: dict[str, set[str]] = {}
    for wheel in fresh.wheels.glob("*.whl"):
        names = zipfile.ZipFile(wheel).namelist()
        held[wheel.name.split("-")[0]] = {name for name in names if ".dist-info/" not in name}
    assert len(held) == len(SOURCES) + len(EXAMPLES) == 11
    for folder, source in SOURCES.items():
        files = {
            str(path.relative_to(source))
            for path in source.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
        assert held["tipring" if folder == "core" else f"tipring_{folder}"] == files


def test_nothing_of_the_workspace_is_in_the_environment(fresh: Fresh) -> None:
    program = "import sys, tipring; print(tipring.__file__, *sys.path, sep='\\n')"
    done = subprocess.run(
        [str(fresh.python), "-c", program],
        cwd=fresh.home,
        env={},
        capture_output=True,
        text=True,
        timeout=60,
    )
    lines = done.stdout.splitlines()
    assert Path(lines[0]).is_relative_to(fresh.python.parents[1])
    assert not [line for line in lines if Path(line).is_relative_to(ROOT)]


def test_the_plugins_are_listed_and_the_examples_are_in_use(fresh: Fresh) -> None:
    done = fresh.tipring("plugins", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["problems"] == [] and not [row for row in told["plugins"] if row["problem"]]
    rows = {f"{row['kind']}.{row['name']}": row for row in told["plugins"]}
    assert {row["dist"] for row in rows.values()} == {
        "tipring",
        *(f"tipring-{folder}".replace("_", "-") for folder in SOURCES if folder != "core"),
        *EXAMPLES.values(),
    }
    for plugin, dist in EXAMPLES.items():
        assert (rows[plugin]["dist"], rows[plugin]["use"]) == (dist, "yes")
    shown = fresh.tipring("plugins", "show", "turn.energy")
    assert "Seconds of quiet after which the caller is done." in shown.stdout


def test_a_check_finds_nothing_in_the_way(fresh: Fresh) -> None:
    done = fresh.tipring("check")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "calls will be answered with: moonshine + energy + receptionist + hibari" in done.stdout


def test_a_plugin_to_begin_with_is_in_the_wheel(fresh: Fresh) -> None:
    done = fresh.tipring("plugins", "new", "turn", "begun")
    assert done.returncode == 0, done.stderr
    assert (fresh.home / "tipring-turn-begun" / "tests" / "test_contract.py").is_file()


def test_the_examples_hold_an_emulated_call(fresh: Fresh) -> None:
    say = "Hello, I would like to book a cleaning on Tuesday."
    done = fresh.tipring("call", "--say", say, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    events = json.loads(done.stdout)["events"]
    committed = [event for event in events if event["event"] == "turn.committed"]
    assert committed and {event["by"] for event in committed} == {"energy"}
    (summary,) = (fresh.home / "summaries").glob("*.json")
    told = json.loads(summary.read_text())
    assert told["turns"]["caller"] >= 1 and told["turns"]["agent"] >= 2
    assert told["talk"]["caller"] > 1 and told["talk"]["agent"] > 1
