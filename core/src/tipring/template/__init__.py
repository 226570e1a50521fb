"""A plugin to begin with: what ``tipring plugins new`` writes.

The files lie in ``files/``, one folder a kind and ``every/`` for all; ``$name`` and the like stand
for what differs. What is written works and keeps its contract as it is, so that every later change
is made to something that is green.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from tipring.config import NAME
from tipring.discovery import GROUPS
from tipring.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

BOUND = "tipring>=0.1,<0.2"
"""What a new plugin says of the host it was written for."""

_SUFFIX = ".tmpl"


def write(kind: str, name: str, folder: Path) -> list[Path]:
    """Write a whole distribution and give its files, in order.

    Args:
        kind: ``stt``, ``turn``, ``llm``, ``tts`` or ``observer``.
        name: What the configuration will call it.
        folder: Where the distribution's own folder is made.

    Raises:
        ConfigError: The kind or the name cannot be, or the folder is there already.
    """
    if kind not in GROUPS:
        what = f'there is no kind "{kind}"{did_you_mean(kind, GROUPS)}'
        raise ConfigError("plugins new", what, "the kinds are: " + ", ".join(GROUPS))
    if not NAME.fullmatch(name):
        raise ConfigError(
            "plugins new",
            f'"{name}" cannot be a name',
            "lower case letters, digits and underscores, starting with a letter",
        )
    dist = f"tipring-{kind}-{name}".replace("_", "-")
    root = folder / dist
    if root.exists():
        raise ConfigError(str(root), "it is there already", "remove it, or say another --dir")
    words = {
        "kind": kind,
        "name": name,
        "dist": dist,
        "module": f"tipring_{kind}_{name}",
        "Class": "".join(part.capitalize() for part in name.split("_")),
        "Contract": f"{kind.capitalize()}Contract",
        "ENV": name.upper(),
        "bound": BOUND,
        "use": "observers" if kind == "observer" else kind,
        "env": "OBSERVERS" if kind == "observer" else kind.upper(),
    }
    written: list[Path] = []
    for source in ("every", kind):
        _copy(files("tipring.template") / "files" / source, root, words, written)
    return sorted(written)


def _copy(source: Traversable, target: Path, words: dict[str, str], written: list[Path]) -> None:
    for entry in source.iterdir():
        path = target / Template(entry.name.removesuffix(_SUFFIX)).substitute(words)
        if entry.is_dir():
            _copy(entry, path, words, written)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        text = Template(entry.read_text(encoding="utf-8")).substitute(words)
        path.write_text(text, encoding="utf-8")
        written.append(path)
