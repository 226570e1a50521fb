"""What docs/plugins/stability.md promises is what there is: who changes it does so on purpose."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tipring.discovery import GROUPS

PINNED = Path(__file__).with_name("public_api.txt")
PAGE = Path(__file__).parents[1] / "docs" / "plugins" / "stability.md"

NAMES: dict[str, tuple[str, ...]] = {
    "tipring.hookspecs": (
        "hookimpl",
        "observe_call",
        "register_llm",
        "register_stt",
        "register_tts",
        "register_turn",
    ),
    "tipring.providers": (
        "KINDS",
        "Call",
        "End",
        "Llm",
        "NoSettings",
        "Provider",
        "Rung",
        "RungEvent",
        "Settings",
        "Stt",
        "TextDelta",
        "ToolCall",
        "Tts",
        "Turn",
        "TurnPlan",
        "Usage",
        "secret",
    ),
    "tipring.errors": ("ConfigError", "PluginError", "TipringError"),
    "tipring.turns.vad": ("phone_vad",),
    "tipring.testing": (
        "ContractBroken",
        "Finding",
        "LlmContract",
        "ObserverContract",
        "Phone",
        "PluginContract",
        "ProviderContract",
        "Script",
        "SttContract",
        "TtsContract",
        "TurnContract",
        "examine",
    ),
}


def told(name: str, thing: Any) -> Iterator[str]:
    """A name in lines: its signature or value, its fields, its public members."""
    if inspect.isfunction(thing):
        yield f"{name}{_signature(thing)}"
    elif not inspect.isclass(thing):
        yield f"{name} = {_shown(thing)}"
    else:
        bases = ", ".join(base.__name__ for base in thing.__bases__ if base is not object)
        yield f"class {name}({bases})"
        if dataclasses.is_dataclass(thing):
            for field in dataclasses.fields(thing):
                missing = field.default is dataclasses.MISSING
                factory = field.default_factory is not dataclasses.MISSING
                default = " = ..." if factory else "" if missing else f" = {field.default!r}"
                yield f"    {field.name}: {field.type}{default}"
            frozen = getattr(thing, "__dataclass_params__").frozen  # noqa: B009 - private in types
            yield f"    frozen={frozen}"
        for member, value in sorted(vars(thing).items()):
            if member.startswith("_") and member != "__init__":
                continue
            if inspect.isfunction(value):
                if member == "__init__" and value.__module__ != thing.__module__:
                    continue  # typing's, of a protocol
                if member != "__init__" or not dataclasses.is_dataclass(thing):
                    word = "def"
                    if inspect.iscoroutinefunction(value):
                        word = "async def"
                    yield f"    {word} {member}{_signature(value)}"
            elif not dataclasses.is_dataclass(thing) and not callable(value):
                yield f"    {member} = {_shown(value)}"


def _signature(function: Any) -> str:
    """As it is written: the annotations of these modules are text."""
    signature = inspect.signature(function)
    bare = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in signature.parameters.values()
    ]
    names = str(signature.replace(parameters=bare, return_annotation=inspect.Signature.empty))
    types = ", ".join(
        f"{name}: {parameter.annotation}"
        for name, parameter in signature.parameters.items()
        if parameter.annotation is not inspect.Parameter.empty
    )
    gives = signature.return_annotation
    return f"{names} -> {gives}" + (f" with {types}" if types else "")


def _shown(value: Any) -> str:
    text = type(value).__name__ if isinstance(value, (property, classmethod)) else repr(value)
    return text.replace("typing.", "").replace("tipring.providers.", "").split(" object at ")[0]


def everything() -> str:
    lines: list[str] = []
    for module, names in NAMES.items():
        lines.append(f"# {module}")
        for name in names:
            lines += told(name, getattr(importlib.import_module(module), name))
        lines.append("")
    return "\n".join(lines)


def test_names_signatures_and_fields_are_those_that_are_pinned() -> None:
    assert everything() == PINNED.read_text(), (
        "what plugins rely on has changed. If that is meant: docs/plugins/stability.md says in"
        " which version it may; then run python -m tests.test_public_api"
    )


@pytest.mark.parametrize("name", NAMES["tipring.providers"])
def test_no_name_of_the_declarations_is_forgotten(name: str) -> None:
    assert hasattr(importlib.import_module("tipring.providers"), name)


def test_every_public_name_of_the_declarations_is_pinned() -> None:
    module = importlib.import_module("tipring.providers")
    own = {
        name
        for name, thing in vars(module).items()
        if not name.startswith("_") and getattr(thing, "__module__", "") == "tipring.providers"
    } - {"S"}
    assert own <= set(NAMES["tipring.providers"])


def test_what_a_declaration_gains_has_a_default() -> None:
    """A plugin written for an earlier version goes on working."""
    required = {"name", "settings", "build", "stop", "id", "text"}
    module = importlib.import_module("tipring.providers")
    for name in NAMES["tipring.providers"]:
        thing = getattr(module, name)
        if dataclasses.is_dataclass(thing):
            for field in dataclasses.fields(thing):
                bare = field.default is field.default_factory is dataclasses.MISSING
                assert not bare or field.name in required, f"{name}.{field.name}"


def test_the_page_names_every_module_and_group_that_is_promised() -> None:
    text = PAGE.read_text()
    for module in set(NAMES) - {"tipring.hookspecs"}:
        assert f"`{module}`" in text
    for group in GROUPS:
        assert f"`tipring.{group}`" in text or f"`.{group}`" in text


if __name__ == "__main__":
    PINNED.write_text(everything())
