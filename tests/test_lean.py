"""A package that is imported lean is the same package, with less of it imported."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

MAKER = {
    "__init__": """
        from ._client import Client
        from ._errors import Wrong
        from .clouds import *
        from .other import Other as Renamed
        from .tool import tool
        __all__ = ["Client", "Wrong"]
        for name in __all__:
            globals()[name].__module__ = "maker"
        def __getattr__(name):
            if name == "own":
                return "own"
            raise AttributeError(name)
    """,
    "_client": "class Client: pass",
    "_errors": "class Wrong(Exception): pass",
    "clouds/__init__": "from ._aws import Aws\nfrom ._gcp import Gcp",
    "clouds/_aws": "class Aws: pass",
    "clouds/_gcp": "class Gcp: pass",
    "other": "class Other: pass",
    "tool": "def tool(): pass",
    "types/__init__": """
        from __future__ import annotations
        from typing import TypeAlias
        from .one import One as One
        from .two import Two, Three
        Many: TypeAlias = list[One]
        __all__ = ["One", "Two", "Three"]
    """,
    "types/one": "class One: pass",
    "types/two": "class Two: pass\nclass Three: pass",
}


def maker(folder: Path, **changed: str) -> None:
    """Write a package as SDKs are made."""
    write(folder, {**MAKER, **changed})


def write(folder: Path, files: Mapping[str, str]) -> None:
    """Write a package."""
    for name, text in files.items():
        file = folder / "maker" / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = text.strip("\n").splitlines()
        indent = len(lines[0]) - len(lines[0].lstrip())
        file.write_text("\n".join(line[indent:] for line in lines) + "\n")


def told(folder: Path, program: str) -> str:
    """What a program prints, in a process of its own that finds the package."""
    program = (
        "import sys\nfrom tipring import lean\n"
        "here = lambda: sorted(name for name in sys.modules if name.startswith('maker'))\n"
        + program
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env={"PATH": os.environ["PATH"]},  # bytecode is kept
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_what_a_package_only_passes_on_is_imported_when_it_is_asked_for(tmp_path: Path) -> None:
    maker(tmp_path)
    program = """
lean.load("maker", "maker.types")
print(here())
from maker.types import Two
print(Two is sys.modules["maker.types.two"].Two, "maker.types.one" in sys.modules)
"""
    # tool.py and tool() share a name, so which of them it is may not depend on who asks first.
    loaded = ["maker", "maker._client", "maker._errors", "maker.tool", "maker.types"]
    assert told(tmp_path, program).splitlines() == [str(loaded), "True False"]


def test_every_name_leads_where_it_always_did(tmp_path: Path) -> None:
    maker(tmp_path)
    names = """
import maker, maker.types
found = [maker.Client, maker.Wrong, maker.Aws, maker.Gcp, maker.Renamed, maker.tool, maker.own]
found += [maker.types.One, maker.types.Three, maker.types.Many]
print([str(one) for one in found if one is not maker.tool], maker.tool.__name__)
print({"Aws", "Renamed", "Client"} <= set(dir(maker)), hasattr(maker, "nobody"))
from maker.types import *
print(One, Three)
"""
    whole = told(tmp_path, names)
    assert "maker.clouds._aws.Aws" in whole and "list[maker.types.one.One]" in whole
    assert told(tmp_path, 'lean.load("maker", "maker.types")\n' + names) == whole


def test_a_package_that_cannot_be_imported_lean_is_imported_whole(tmp_path: Path) -> None:
    # It relies on a module that its import has brought, and does not say so.
    relies = "from ._aws import Aws\nimport sys\nsys.modules['maker.clouds._aws']"
    maker(tmp_path, **{"clouds/__init__": relies, "_client": "from .clouds import Aws as Client"})
    program = 'lean.load("maker")\nprint(here())\nprint(sys.modules["maker"].Client)'
    loaded, client = told(tmp_path, program).splitlines()
    assert "maker.other" in loaded and client == "<class 'maker.Aws'>"


def test_a_package_that_somebody_has_imported_stays_as_it_is(tmp_path: Path) -> None:
    maker(tmp_path)
    program = 'import maker\nbefore = here()\nlean.load("maker")\nprint(here() == before)'
    assert told(tmp_path, program) == "True"


def test_after_it_imports_are_the_usual_ones_again(tmp_path: Path) -> None:
    maker(tmp_path)
    program = """
path = list(sys.meta_path)
lean.load("maker")
import maker.types
print(sys.meta_path == path, "maker.types.one" in sys.modules)
"""
    assert told(tmp_path, program) == "True True"


def test_a_package_that_is_not_there_is_told_as_ever(tmp_path: Path) -> None:
    program = """
try:
    lean.load("maker")
except ImportError as error:
    print(error)
"""
    assert told(tmp_path, program) == "No module named 'maker'"


WHOLE = """
import sys
from tipring import lean
lean.load(*sys.argv[1:])
packages = [one for name, one in sys.modules.items() if name.partition(".")[0] == sys.argv[1]]
later = [one for one in packages if getattr(one, "__getattr__", None)]
before = len(packages)
names = [getattr(one, name) for one in later for name in dir(one)]
print(before, len(names))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("package", "needs", "most", "least"),
    [
        ("anthropic", ["anthropic.resources.messages.messages"], 1000, 2000),
        ("openai", ["openai.resources.chat.completions.completions"], 200, 800),
        ("fastapi", [], 10, 20),
    ],
)
def test_of_the_packages_a_host_uses_little_is_imported_and_every_name_is_there(
    package: str, needs: list[str], most: int, least: int
) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", WHOLE, package, *needs],
        capture_output=True,
        text=True,
        check=True,
    )
    imported, names = map(int, done.stdout.split())
    assert imported < most
    assert names > least


WORKER = {
    "__init__": "from .work import work, Worker, Odd",
    "heavy": "class Heavy: name = 'heavy'\nclass Light: name = 'light'",
    "other": "class Other: name = 'other'",
    "work": """
        from dataclasses import dataclass
        from typing import Optional
        import colorsys
        from . import parts
        from .heavy import Heavy, Light
        from .other import Other
        from .parts import Part
        from .shadow import Shadow
        Either = Heavy | Light
        def work(given: Optional[Heavy] = None) -> "Either":
            def inside(other: Light = Light()):
                return [Heavy.name, other.name, colorsys.rgb_to_hsv(0, 0, 0)]
            return inside() if given is None else given
        def shadow(Shadow=0):
            return Shadow
        class Worker(Part):
            kind = Other.name
            def __getattr__(self, name):
                match Heavy():
                    case Heavy(name="heavy"):
                        return Either
        @dataclass
        class Odd:
            light: Light | None = None
            def odd(self):
                global Part
                Part = Heavy
    """,
    "parts": "class Part: pass",
    "shadow": "class Shadow: pass",
}
LATE = 'lean.load("maker", later=["maker", "colorsys"])\n'


def worker(folder: Path, **changed: str) -> None:
    """Write a package whose functions have use for more than its classes have."""
    write(folder, {**WORKER, **changed})


def test_what_only_functions_speak_of_is_imported_when_they_do(tmp_path: Path) -> None:
    worker(tmp_path)
    program = f"""
import typing
{LATE}
print(here(), "colorsys" in sys.modules)
import maker
print(maker.work(), maker.Worker.kind, maker.Worker().any)
print(here(), "colorsys" in sys.modules)
print(typing.get_type_hints(maker.work), typing.get_type_hints(maker.Odd), maker.Odd())
"""
    soon, does, then, hints = told(tmp_path, program).splitlines()
    # What a class is made with is there at once, and what a function binds anew.
    assert soon == "['maker', 'maker.other', 'maker.parts', 'maker.shadow', 'maker.work'] False"
    either = "maker.heavy.Heavy | maker.heavy.Light"
    assert does == f"['heavy', 'light', (0.0, 0.0, 0)] other {either}"
    assert then.startswith("['maker', 'maker.heavy', 'maker.other'") and then.endswith("True")
    assert hints == (
        f"{{'given': typing.Optional[maker.heavy.Heavy], 'return': {either}}}"
        " {'light': maker.heavy.Light | None} Odd(light=None)"
    )


def test_what_was_found_out_is_kept_until_the_file_changes(tmp_path: Path) -> None:
    worker(tmp_path)
    kept = f"""
import ast
read, parse = [], ast.parse
ast.parse = lambda text, path: read.append(path.rpartition("/")[2]) or parse(text, path)
{LATE}
print(sorted(read), sys.modules["maker"].work()[0])
"""
    files = sorted(f"{name}.py" for name in WORKER if name != "heavy")
    assert told(tmp_path, kept) == f"{files} heavy"
    assert told(tmp_path, kept) == "[] heavy"
    new = "def work(): return ['new', Heavy]\nclass Worker: pass\nclass Odd: pass"
    write(tmp_path, {"work": f"from .heavy import Heavy\n{new}"})
    assert told(tmp_path, kept) == "['work.py'] new"


def test_where_nothing_can_be_kept_only_packages_are_looked_through(tmp_path: Path) -> None:
    worker(tmp_path)
    program = """
sys.dont_write_bytecode = True
lean.load("maker", "maker.work", later=["maker"])
print("maker.heavy" in here())
"""
    assert told(tmp_path, program) == "True"
    assert not list(tmp_path.rglob("*.opt-lean*"))


def test_a_package_does_without_what_it_can_do_without(tmp_path: Path) -> None:
    optional = "try:\n    from .heavy import Heavy\nexcept ImportError:\n    Heavy = None"
    worker(tmp_path, __init__=optional)
    program = (
        'lean.load("maker", without=["maker.heavy"])\nprint(here(), sys.modules["maker"].Heavy)'
    )
    assert told(tmp_path, program) == "['maker'] None"


def test_a_first_use_brings_what_a_call_would_wait_for(tmp_path: Path) -> None:
    worker(tmp_path)
    program = """
lean.load("maker", later=["maker"], first=lambda: sys.modules["maker"].work())
print("maker.heavy" in here())
"""
    assert told(tmp_path, program) == "True"


def test_a_package_whose_first_use_fails_is_imported_whole(tmp_path: Path) -> None:
    worker(tmp_path)
    program = (
        'lean.load("maker", later=["maker"], first=lambda: 1 / 0)\nprint("maker.heavy" in here())'
    )
    assert told(tmp_path, program) == "True"
