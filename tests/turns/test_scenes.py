"""Every row of the table, for every kind of detector."""

from __future__ import annotations

import pytest

from tests.fast_loop import run_fast
from tests.turns.docs import PAGE, with_scenes
from tests.turns.scenes import Scene, play, scenes

ROWS = [(scene, detector) for scene in scenes() for detector in scene.detectors]


@pytest.mark.parametrize(
    ("scene", "detector"), ROWS, ids=[f"{scene.name} [{detector}]" for scene, detector in ROWS]
)
def test_the_scene_goes_as_the_table_says(scene: Scene, detector: str) -> None:
    assert run_fast(play(scene, detector)) == []


def test_the_table_has_sixty_rows_and_no_name_twice() -> None:
    names = [scene.name for scene in scenes()]
    assert len(names) >= 60
    assert len(set(names)) == len(names)


def test_the_page_shows_the_table() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == with_scenes(page)
    assert page.count("<!-- scene: ") >= 10
