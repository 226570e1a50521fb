"""Every hook is held to account: it is asked, documented, traced, and used by a plugin here."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest
from tipring import hookspecs
from tipring.discovery import GROUPS
from tipring.plugins import Plugins
from tipring.providers import Call

from tests.fakedists import HEAD, Site, plugin, site

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "plugins" / "hooks.md"
HOOKS = {name: hook for name, hook in vars(hookspecs).items() if hasattr(hook, "tipring_spec")}
KINDS = {hook: hook.removeprefix("register_").replace("observe_call", "observer") for hook in HOOKS}

OBSERVER = (
    HEAD
    + """
from pipecat.observers.base_observer import BaseObserver
@hookimpl
def observe_call(call):
    made = BaseObserver()
    made.of = call
    yield made
"""
)


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path) as made:
        yield made


def test_every_kind_of_plugin_has_its_hook_and_every_hook_its_kind() -> None:
    assert sorted(KINDS.values()) == sorted(GROUPS)


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_is_asked_and_its_answer_arrives_and_is_traced(
    hook: str, installed: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    kind = KINDS[hook]
    installed.add(kind, "acme", OBSERVER if kind == "observer" else plugin(kind, "acme"))
    path = [str(installed.folder)]
    plugins = Plugins.discover(path, environ={"TIPRING_TRACE_PLUGINS": "1"})
    if kind == "observer":
        call = Call(id="CA1")
        (watching,) = plugins.observers(["acme"], call)
        assert getattr(watching, "of", None) is call
    else:
        provider = plugins.load(kind, "acme")
        assert (provider.kind, provider.name) == (kind, "acme")
    told = [line for line in capsys.readouterr().err.splitlines() if f" {hook} " in line]
    assert len(told) == 1 and f"{kind}.acme (fake-{kind}-acme 1.0)" in told[0]


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_is_documented_with_its_signature_its_group_and_its_meaning(hook: str) -> None:
    signature = inspect.signature(HOOKS[hook])
    arguments = ", ".join(signature.parameters)
    text = PAGE.read_text().split(f"### `{hook}({arguments})`\n")[1].split("###")[0]
    assert f"Gives `{signature.return_annotation}`." in text
    assert f"Entry point group `tipring.{KINDS[hook]}`." in text
    first = inspect.cleandoc(HOOKS[hook].__doc__ or "").partition(".")[0]
    assert len(first.split()) >= 4 and first in text


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_is_used_by_a_plugin_in_this_repository(hook: str) -> None:
    places = [*ROOT.glob("plugins/*/src"), *ROOT.glob("examples/*/src")]
    code = [path.read_text() for place in places for path in place.rglob("__init__.py")]
    assert [text for text in code if f"@hookimpl\ndef {hook}(" in text]
