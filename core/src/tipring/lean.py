"""Imports a package without all that its maker offers.

Some packages name everything that is in them: whoever wants one type of ``anthropic.types`` imports
two thousand modules, for a second and more of a core before the host is ready, and nothing in them
lets one ask for less. Here the names that a package only passes on are imported when they are asked
for. A name is the same object as ever, only later. What a package's own code uses is imported at
once, as it stands there; and a package that cannot be imported like this is imported as always.
"""

from __future__ import annotations

import ast
import importlib
import logging
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

log = logging.getLogger(__name__)

_finders = threading.Lock()


def load(package: str, *needs: str) -> None:
    """Import a package and those of its modules that a call needs.

    Changes nothing in one that somebody has imported already.

    Args:
        package: Its name: an SDK's, say.
        needs: Modules in it that it would import with the first request, on the event loop.

    Raises:
        ImportError: It, or one of the modules, is not there.
    """
    if package not in sys.modules:
        finder = _Finder(package)
        # A new list each time: other threads may be on their way through the old one.
        with _finders:
            sys.meta_path = [finder, *sys.meta_path]
        try:
            for name in (package, *needs):
                importlib.import_module(name)
        except Exception as error:
            log.info("%s is imported whole: %s", package, type(error).__name__)
            for name in [name for name in sys.modules if _inside(name, package)]:
                del sys.modules[name]
        finally:
            with _finders:
                sys.meta_path = [one for one in sys.meta_path if one is not finder]
    for name in (package, *needs):
        importlib.import_module(name)


def _inside(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


class _Finder:
    """Finds a package's modules as ever, and opens the packages among them lean."""

    def __init__(self, package: str) -> None:
        self._package = package

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not _inside(name, self._package):
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec and spec.submodule_search_locations and type(spec.loader) is SourceFileLoader:
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


class _Loader(SourceFileLoader):
    """Runs a package's own code without what only passes names on."""

    def exec_module(self, module: ModuleType) -> None:
        tree = ast.parse(self.get_data(self.path), self.path)
        later = dict(_passed_on(tree, Path(self.path)))
        if not later:
            super().exec_module(module)
            return
        places = {name: place for places in later.values() for name, place in places.items()}
        tree.body = [statement for statement in tree.body if statement not in later]
        exec(compile(tree, self.path, "exec", dont_inherit=True), module.__dict__)
        own: Callable[[str], Any] | None = module.__dict__.get("__getattr__")

        def asked(name: str) -> Any:
            if name in places:
                return module.__dict__.setdefault(name, _found(places[name], module))
            if own is not None:
                return own(name)
            raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")

        vars(module).update(
            __getattr__=asked, __dir__=lambda: sorted(module.__dict__.keys() | places.keys())
        )


# A module, relative, and what the name is there; or what an alias stands for.
_Place: TypeAlias = tuple[str, str] | ast.expr


def _found(place: _Place, module: ModuleType) -> Any:
    if isinstance(place, tuple):
        source, name = place
        return getattr(importlib.import_module(source, module.__name__), name)
    code = compile(ast.Expression(place), module.__name__, "eval", dont_inherit=True)
    names = {name: getattr(module, name) for name in code.co_names if hasattr(module, name)}
    return eval(code, module.__dict__, names)


def _passed_on(tree: ast.Module, path: Path) -> Iterator[tuple[ast.stmt, dict[str, _Place]]]:
    """The imports and aliases of a package whose names nothing else in its file speaks of.

    Args:
        tree: The file.
        path: Where it is.

    Yields:
        The statement, and by name where it leads.
    """
    passing: dict[ast.stmt, dict[str, _Place]] = {}
    for one in tree.body:
        if isinstance(one, ast.ImportFrom) and one.level:
            passing[one] = _imported(one, path)
        elif isinstance(one, ast.AnnAssign) and ast.unparse(one.annotation) == "TypeAlias":
            passing[one] = _aliased(one)
    spoken = {
        word for one in tree.body if one not in passing and not _is_all(one) for word in _words(one)
    }
    if "__all__" in spoken:
        spoken |= {word for one in tree.body if _is_all(one) for word in _words(one)}
    # What is bound twice, by a module of the package's own maybe, is what was bound last.
    bound = Counter(name for places in passing.values() for name in places)
    bound.update(one.name.partition(".")[0] for one in path.parent.iterdir())
    spoken |= {name for name, times in bound.items() if times > 1}
    for one, places in reversed(passing.items()):
        if places and spoken.isdisjoint(places):
            yield one, places
        else:
            spoken.update(_words(one))


def _imported(statement: ast.ImportFrom, path: Path) -> dict[str, _Place]:
    """What an import binds; nothing if nobody can say, or if it is modules."""
    if not statement.module:
        return {}
    source = "." * statement.level + statement.module
    if statement.names[0].name != "*":
        return {one.asname or one.name: (source, one.name) for one in statement.names}
    there = path.parents[statement.level - 1].joinpath(*statement.module.split("."), "__init__.py")
    if not there.is_file():
        return {}
    tree = ast.parse(there.read_bytes(), str(there))
    later = dict(_passed_on(tree, there))
    if not all(one in later or _is_future(one) for one in tree.body):
        return {}
    names = {name for places in later.values() for name in places}
    return {name: (source, name) for name in names if not name.startswith("_")}


def _aliased(statement: ast.AnnAssign) -> dict[str, _Place]:
    if not isinstance(statement.target, ast.Name) or statement.value is None:
        return {}
    return {statement.target.id: statement.value}


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
