"""Print the versions that the tests run with, as pip's constraints: pyproject.toml has them."""

from __future__ import annotations

import tomllib
from pathlib import Path

if __name__ == "__main__":
    written = tomllib.loads(Path("pyproject.toml").read_text())
    print("\n".join(written["tool"]["uv"]["constraint-dependencies"]))
