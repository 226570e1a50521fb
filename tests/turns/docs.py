"""Puts the scenes of the table into docs/turn-taking.md: ``python -m tests.turns.docs``."""

from __future__ import annotations

import re
from pathlib import Path

from tests.turns.scenes import Scene, scenes

PAGE = Path(__file__).parents[2] / "docs" / "turn-taking.md"

_PLACE = re.compile(r"(<!-- scene: (.+?) -->\n)(?:\n```\n.*?\n```\n)?", re.DOTALL)


def shown(scene: Scene) -> str:
    """A scene as it stands on the page."""
    said = [f"agent answers: {' / '.join(scene.replies)}"] if len(scene.replies) > 1 else []
    return "\n".join(
        [*said, *scene.script.strip().splitlines(), "->", *scene.expect.strip().splitlines()]
    )


def with_scenes(page: str) -> str:
    """The page with every scene that it names."""
    table = {scene.name: scene for scene in scenes()}
    return _PLACE.sub(lambda found: f"{found[1]}\n```\n{shown(table[found[2]])}\n```\n", page)


if __name__ == "__main__":
    PAGE.write_text(with_scenes(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
