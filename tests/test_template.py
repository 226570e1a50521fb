"""What ``tipring plugins new`` writes works as it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.installed import install
from tests.patient_loop import command

pytestmark = pytest.mark.slow

KINDS = ("stt", "turn", "llm", "tts", "observer")


def run(*module: str, cwd: Path, site: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a Python module as a command, next to what is installed in ``site``."""
    env = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    return subprocess.run(
        command(*module),
        cwd=cwd,
        env=env | ({"PYTHONPATH": str(site)} if site else {}),
        capture_output=True,
        text=True,
        timeout=110,
    )


def new(kind: str, folder: Path, name: str = "acme") -> Path:
    done = run("tipring", "plugins", "new", kind, name, "--dir", str(folder), cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / f"tipring-{kind}-{name}".replace("_", "-")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "site").mkdir()
    return tmp_path / "site"


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_plugin_is_a_whole_distribution(kind: str, tmp_path: Path) -> None:
    root = new(kind, tmp_path, "acme_two")
    files = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    package = f"src/tipring_{kind}_acme_two"
    body = {"stt": "service", "turn": "strategy", "llm": "rung", "tts": "service"}
    assert files == {
        ".github/workflows/test.yml",
        ".gitignore",
        "README.md",
        "pyproject.toml",
        f"{package}/__init__.py",
        f"{package}/{body.get(kind, kind)}.py",
        f"{package}/py.typed",
        "tests/test_contract.py",
    }
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    assert project["dependencies"] == ["tipring>=0.1,<0.2"]
    assert project["entry-points"] == {f"tipring.{kind}": {"acme_two": f"tipring_{kind}_acme_two"}}
    assert not [path for path in root.rglob("*") if path.is_file() and "${" in _rest(path)]


def _rest(path: Path) -> str:
    """What is written, but for the expressions of the CI file's own."""
    return path.read_text().replace("${{ matrix.python }}", "")


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_plugin_keeps_its_contract_as_generated(
    kind: str, tmp_path: Path, site: Path
) -> None:
    root = new(kind, tmp_path)
    install(root, site)
    done = run("pytest", "-q", "-W", "error::pytest.PytestCollectionWarning", cwd=root, site=site)
    assert done.returncode == 0, done.stdout[-3000:]
    assert " passed" in done.stdout and "failed" not in done.stdout


@pytest.mark.timeout(400)  # types of Pipecat and all, where nothing is known of them yet
def test_the_code_of_a_new_plugin_passes_the_linter_and_the_type_checker(tmp_path: Path) -> None:
    root = Path(__file__).parents[1]
    paths = [str(new(kind, tmp_path) / "src") for kind in KINDS]
    config = str(root / "pyproject.toml")
    ruff = run("ruff", "check", "--config", config, *paths, cwd=tmp_path)
    assert ruff.returncode == 0, ruff.stdout
    tidy = run("ruff", "format", "--check", "--config", config, *paths, cwd=tmp_path)
    assert tidy.returncode == 0, tidy.stdout
    # From here, and with the settings of here: what is known of Pipecat's types is not found again.
    strict = subprocess.run(
        [sys.executable, "-m", "mypy", *paths],
        cwd=root,
        env={**os.environ, "MYPYPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert strict.returncode == 0, strict.stdout
    assert "no issues found in 10 source files" in strict.stdout


def test_an_installed_plugin_is_held_to_its_contract_by_a_command(
    tmp_path: Path, site: Path
) -> None:
    install(new("llm", tmp_path), site)
    done = run("tipring", "plugins", "test", "tipring-llm-acme", cwd=tmp_path, site=site)
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    assert lines[0] == "llm.acme   tipring-llm-acme 0.1.0"
    assert "  ok    build opens no socket" in lines
    assert any(line.startswith("  skip  surfaces an answer that ends early: ") for line in lines)
    assert "0 broken" in lines[-1]


def test_a_broken_rule_is_told_with_its_mend_and_fails_the_command(
    tmp_path: Path, site: Path
) -> None:
    root = new("observer", tmp_path)
    module = root / "src" / "tipring_observer_acme" / "__init__.py"
    future = "from __future__ import annotations\n"
    module.write_text(module.read_text().replace(future, future + "import pipecat\n"))
    install(root, site)
    done = run("tipring", "plugins", "test", "observer.acme", "--json", cwd=tmp_path, site=site)
    assert done.returncode == 1
    broken = [one for one in json.loads(done.stdout) if one["state"] == "broken"]
    assert broken[0]["what"] == "declaring imports pipecat"
    assert "build()" in broken[0]["fix"]


def test_what_cannot_be_made_is_refused_with_a_sentence(tmp_path: Path) -> None:
    new("turn", tmp_path)
    for arguments, said in (
        (("turn", "acme"), "it is there already"),
        (("turn", "Acme-Two"), "cannot be a name"),
    ):
        done = run("tipring", "plugins", "new", *arguments, "--dir", ".", cwd=tmp_path)
        assert (done.returncode, said in done.stderr) == (2, True)
    done = run("tipring", "plugins", "test", "tipring-nothing", cwd=tmp_path)
    assert done.returncode == 2 and "tipring plugins lists" in done.stderr
