"""What goes warns first, where it is used, and at least a minor version ahead."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tipring.deprecation import Going, renamed

PAGE = Path(__file__).parents[1] / "docs" / "plugins" / "stability.md"

LIBRARY = """
from tipring.deprecation import Going, renamed

class Stt:
    pass

def call(number=None):
    if number is not None:
        Going(since="0.2", gone="0.3", instead="id").warn("call(number=...)")

__getattr__ = renamed(__name__, {"Ears": Going(since="0.2", gone="0.3", instead="Stt")})
"""
USES = """from library import Ears
import library
assert library.Ears is Ears
library.call(number=1)
"""
TEST = """
import library
import tipring_stt_old

def test_it_goes_on_working():
    assert tipring_stt_old.Ears is library.Stt
"""


@pytest.mark.parametrize("gone", ["0.2", "0.1", "0.2.1", "1"])
def test_nothing_goes_in_the_version_that_first_warns(gone: str) -> None:
    with pytest.raises(ValueError, match=f"deprecated in 0.2, it cannot be gone in {gone}"):
        Going(since="0.2", gone=gone, instead="x")
    assert Going(since="0.9", gone="0.10", instead="x").gone == "0.10"


def test_an_authors_tests_show_the_warning_at_the_authors_line_and_can_make_it_an_error(
    tmp_path: Path,
) -> None:
    for name, source in (("library", LIBRARY), ("tipring_stt_old", USES), ("test_old", TEST)):
        (tmp_path / f"{name}.py").write_text(source)
    ini = tmp_path / "pyproject.toml"
    ini.write_text("[tool.pytest.ini_options]\n")
    shown = _pytest(tmp_path)
    assert shown.returncode == 0, shown.stdout
    for line, told in (
        (1, "library.Ears is deprecated since tipring 0.2 and gone in 0.3; use Stt"),
        (3, "library.Ears is deprecated since tipring 0.2 and gone in 0.3; use Stt"),
        (4, "call(number=...) is deprecated since tipring 0.2 and gone in 0.3; use id"),
    ):
        at = re.escape(f"{tmp_path / 'tipring_stt_old.py'}:{line}: DeprecationWarning: ")
        assert re.search(at + re.escape(told), shown.stdout), shown.stdout
    (asked,) = re.findall(r"`(filterwarnings = .*?)`", PAGE.read_text())
    ini.write_text(f"[tool.pytest.ini_options]\n{asked}\n")
    stopped = _pytest(tmp_path)
    assert stopped.returncode != 0
    assert "DeprecationWarning: library.Ears is deprecated" in stopped.stdout


def test_a_name_that_never_was_is_no_name() -> None:
    with pytest.raises(AttributeError, match=r"module 'x' has no attribute 'Eyes'"):
        renamed("x", {})("Eyes")


def _pytest(folder: Path) -> subprocess.CompletedProcess[str]:
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:asyncio"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options],
        cwd=folder,
        env={"PYTHONPATH": str(folder), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=110,
    )
