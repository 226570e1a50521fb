"""The page: figures, distributions, and a timeline of each call that one can listen to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.turns.scores import Marks


def write_page(out: Path, summary: dict[str, Any], marks: Sequence[Marks]) -> None:
    """Write ``index.html`` and the audio beside it."""
