"""The methods of a dataclass are the same, compiled now or by an earlier start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import dataclasses, json, sys
from tipring import methods

compiled = []
sys.addaudithook(lambda event, told: event == "compile" and compiled.append(told[1]))
methods.begin()

@dataclasses.dataclass(frozen=True, order=True)
class Turn:
    text: str
    words: list = dataclasses.field(default_factory=list, compare=False)

@dataclasses.dataclass
class One:
    same: int = 0

@dataclasses.dataclass
class Other:
    same: int = 1

methods.end()
by_us = compiled.count("<string>")

@dataclasses.dataclass
class Later:
    own: int = 0

turn = Turn("yes")
try:
    turn.text = "no"
except dataclasses.FrozenInstanceError as error:
    refused = str(error)
print(json.dumps({
    "compiled": by_us,
    "afterwards": compiled.count("<string>") - by_us,
    "is": [repr(turn), turn < Turn("z"), hash(turn) == hash(Turn("yes", [1])), refused],
    "same": [One().same, Other().same, repr(Other()), One() == Other(), Later().own],
    "own": One.__init__.__code__ is not Other.__init__.__code__,
    "globals": Turn.__init__.__globals__ is globals(),
}))
"""
DOES = {
    "is": ["Turn(text='yes', words=[])", True, True, "cannot assign to field 'text'"],
    "same": [0, 1, "Other(same=1)", False, 0],
    "own": True,
    "globals": True,
}


def run(folder: Path, *flags: str) -> tuple[int, int]:
    """Make some dataclasses; how many of their methods were compiled, and of one afterwards."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [sys.executable, *flags, "-c", PROGRAM],
        env={**environ, "PYTHONPYCACHEPREFIX": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    told = json.loads(done.stdout)
    compiled, afterwards = told.pop("compiled"), told.pop("afterwards")
    assert told == DOES
    return compiled, afterwards


def kept(folder: Path) -> list[Path]:
    """Where they are kept."""
    return list(folder.rglob("*opt-methods*"))


def test_the_second_start_compiles_none(tmp_path: Path) -> None:
    first, afterwards = run(tmp_path)
    assert first > 5
    assert afterwards > 2
    assert len(kept(tmp_path)) == 1
    assert run(tmp_path) == (0, afterwards)


def test_what_is_kept_may_be_broken(tmp_path: Path) -> None:
    before = run(tmp_path)
    [file] = kept(tmp_path)
    file.write_bytes(file.read_bytes()[:100])
    assert run(tmp_path) == before
    assert run(tmp_path)[0] == 0


def test_nothing_is_kept_where_no_bytecode_is(tmp_path: Path) -> None:
    before = run(tmp_path, "-B")
    assert not kept(tmp_path)
    assert run(tmp_path, "-B") == before
