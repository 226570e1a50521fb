"""The parts of the documentation that the code knows better are what the code says."""

from __future__ import annotations

import importlib.util
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
from tipring.config import load

DOCS = Path(__file__).parent.parent / "docs"


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", ["configuration.md", "plugins/hooks.md"])
def test_what_is_generated_is_current(page: str) -> None:
    path = DOCS / page
    assert path.read_text() == generator().render(path), "run: python docs/generate.py"


def test_the_example_of_the_configuration_is_one(tmp_path: Path) -> None:
    text = (DOCS / "configuration.md").read_text()
    example = text.split("```toml\n")[1].split("```")[0]
    assert tomllib.loads(example)
    path = tmp_path / "tipring.toml"
    path.write_text(example)
    assert load(path, {}).use.turn == ("flux", "smart")
