"""Distributions laid out as an installer leaves them, from their source and without a network."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path
from typing import Any


def install(source: Path, site: Path, *, editable: bool = False) -> None:
    """Put a distribution with a ``src`` layout into a folder that stands for site-packages.

    Args:
        source: The folder with its ``pyproject.toml``.
        site: Where to; to be on the path of whoever uses it.
        editable: Whether the code stays where it is; its ``src`` then has to be on the path too.
    """
    project: dict[str, Any] = tomllib.loads((source / "pyproject.toml").read_text())["project"]
    for package in (source / "src").iterdir():
        if package.name != "__pycache__" and not editable:
            shutil.copytree(package, site / package.name)
    info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    needs = [f"Requires-Dist: {need}" for need in project["dependencies"]]
    head = ["Metadata-Version: 2.1", f"Name: {project['name']}", f"Version: {project['version']}"]
    (info / "METADATA").write_text("\n".join([*head, *needs]) + "\n")
    lines = []
    for group, points in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {module}" for name, module in points.items()), ""]
    (info / "entry_points.txt").write_text("\n".join(lines))
