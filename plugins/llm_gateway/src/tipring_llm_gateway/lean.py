"""Imports an SDK without the thousands of types of all that its maker sells.

An SDK's packages name everything that is in them: whoever wants one type of ``anthropic.types``
imports two thousand modules, for a second and more of a core before the host is ready, and nothing
in the SDKs asks for less. Here the names of such a package are imported when they are asked for. A
name is the same object as ever, only later. What a package's own code uses is imported at once, as
it stands there; and where an SDK cannot be imported like this, it is imported as always.
"""

from __future__ import annotations

import ast
import importlib
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

log = logging.getLogger(__name__)


def load(sdk: str, *needs: str) -> None:
    """Import an SDK and those of its modules that a call needs.

    Does nothing to an SDK that somebody has imported already.

    Args:
        sdk: Its package.
        needs: Modules in it that it would import with the first request, on the event loop.

    Raises:
        ImportError: It, or one of the modules, is not there.
    """
    if sdk not in sys.modules:
        finder = _Finder(sdk)
        # A new list each time: other threads may be on their way through the old one.
        sys.meta_path = [finder, *sys.meta_path]
        try:
            for name in (sdk, *needs):
                importlib.import_module(name)
        except Exception as error:
            log.info("%s is imported whole: %s", sdk, type(error).__name__)
            for name in [name for name in sys.modules if _inside(name, sdk)]:
                del sys.modules[name]
        finally:
            sys.meta_path = [one for one in sys.meta_path if one is not finder]
    for name in (sdk, *needs):
        importlib.import_module(name)


def _inside(name: str, sdk: str) -> bool:
    return name == sdk or name.startswith(f"{sdk}.")


class _Finder:
    """Finds an SDK's modules as ever, and opens its packages lean."""

    def __init__(self, sdk: str) -> None:
        self._sdk = sdk

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not _inside(name, self._sdk):
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec and spec.submodule_search_locations and type(spec.loader) is SourceFileLoader:
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


class _Loader(SourceFileLoader):
    """Runs a package's own code without those imports that only pass names on."""

    def exec_module(self, module: ModuleType) -> None:
        tree = ast.parse(self.get_data(self.path), self.path)
        later = dict(_passed_on(tree, Path(self.path)))
        if not later:
            super().exec_module(module)
            return
        names = {name: place for places in later.values() for name, place in places.items()}
        tree.body = [statement for statement in tree.body if statement not in later]
        exec(compile(tree, self.path, "exec", dont_inherit=True), module.__dict__)
        own: Callable[[str], Any] | None = module.__dict__.get("__getattr__")

        def asked(name: str) -> Any:
            if name in names:
                source, attribute = names[name]
                found = getattr(importlib.import_module(source, module.__name__), attribute)
                return module.__dict__.setdefault(name, found)
            if own is not None:
                return own(name)
            raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")

        vars(module).update(
            __getattr__=asked, __dir__=lambda: sorted(module.__dict__.keys() | names.keys())
        )


def _passed_on(
    tree: ast.Module, path: Path
) -> Iterator[tuple[ast.stmt, dict[str, tuple[str, str]]]]:
    """The imports of a package whose names nothing else in its file speaks of.

    Args:
        tree: The file.
        path: Where it is.

    Yields:
        The statement; and by name the module it is in, relative, and what it is called there.
    """
    imports = [one for one in tree.body if isinstance(one, ast.ImportFrom) and one.level]
    rest = [one for one in tree.body if one not in imports and not _is_all(one)]
    spoken = {word for one in rest for word in _words(one)}
    if "__all__" in spoken:
        spoken |= {word for one in tree.body if _is_all(one) for word in _words(one)}
    # A module of the package's own and a name in it share an attribute, which who comes last sets.
    taken = {one.name.partition(".")[0] for one in path.parent.iterdir()}
    for one in imports:
        names = _names(one, path)
        if names and spoken.isdisjoint(names) and taken.isdisjoint(names):
            source = "." * one.level + (one.module or "")
            yield one, {name: (source, called) for name, called in names.items()}


def _names(statement: ast.ImportFrom, path: Path) -> dict[str, str] | None:
    """What an import binds, and what that is called where it is from; None if nobody can say."""
    if not statement.module:
        return None  # modules, which can be opened lean themselves
    if statement.names[0].name != "*":
        return {alias.asname or alias.name: alias.name for alias in statement.names}
    source = path.parents[statement.level - 1].joinpath(*statement.module.split("."), "__init__.py")
    if not source.is_file():
        return None
    tree = ast.parse(source.read_bytes(), str(source))
    there = dict(_passed_on(tree, source))
    if not all(one in there or _is_future(one) for one in tree.body):
        return None
    names = [name for places in there.values() for name in places if not name.startswith("_")]
    return {name: name for name in names}


def _is_all(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Assign) and any(
        isinstance(target, ast.Name) and target.id == "__all__" for target in statement.targets
    )


def _is_future(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.ImportFrom) and statement.module == "__future__"


def _words(statement: ast.stmt) -> Iterator[str]:
    """Every name in a statement, and every string, which may be one."""
    for node in ast.walk(statement):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
