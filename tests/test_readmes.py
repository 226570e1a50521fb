"""Each plugin's page: what it is, how it is installed and chosen, every setting, and its limits."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
from tipring.plugins import Plugins

PLUGINS = Path(__file__).parents[1] / "plugins"


@pytest.mark.parametrize("folder", sorted(one.name for one in PLUGINS.iterdir() if one.is_dir()))
def test_a_plugins_page_tells_what_one_needs(folder: str) -> None:
    project = tomllib.loads((PLUGINS / folder / "pyproject.toml").read_text())["project"]
    page = (PLUGINS / folder / "README.md").read_text()
    assert page.startswith(f"# {project['name']}\n")
    assert f"```sh\npip install {project['name']}\n```" in page
    assert "\n## Limits\n\n- " in page
    ((kind, names),) = [
        (group.removeprefix("tipring."), points)
        for group, points in project["entry-points"].items()
        if group.startswith("tipring.")
    ]
    (name,) = names
    config = tomllib.loads(re.findall(r"```toml\n(.*?)```", page, flags=re.S)[0])
    assert kind in config["use"] and kind in config
    provider = Plugins.discover().load(kind, name)
    rows = re.findall(r"^\|([^|]+)\|([^|]*)\|", page, flags=re.M)
    shown = {one: default for cell, default in rows for one in re.findall(r"`(\w+)`", cell)}
    for setting, field in provider.settings.model_fields.items():
        if isinstance(field.json_schema_extra, dict):  # a secret, which has a variable
            assert f"`{field.json_schema_extra['secret_env']}`" in page.replace("$", "")
            continue
        assert setting in shown, f"{setting} is not on the page"
        value = re.fullmatch(r"`(.*)`", shown[setting].strip())
        if isinstance(field.default, bool | int | float):
            assert value and json.loads(value[1]) == field.default, setting
        elif value and isinstance(field.default, str):
            assert value[1] == json.dumps(field.default), setting
