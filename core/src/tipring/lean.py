"""Imports a package without all that its maker offers.

Some packages name everything that is in them: whoever wants one type of ``anthropic.types`` imports
two thousand modules, for a second and more of a core before the host is ready, and nothing in them
lets one ask for less. Here the names that a package only passes on are imported when they are asked
for; and, of the modules that one names, those that only its functions speak of when they do: what
Python will call a lazy import. A name is the same object as ever, only later. What else a package's
own code uses is imported at once, as it stands there; and a package that cannot be imported like
this is imported as always.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import logging
import marshal
import os
import sys
import threading
import zlib
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, TypeAlias

from tipring.names import HERE, Names, Place, inside

log = logging.getLogger(__name__)

_FORM = 1  # of what is kept; another one for another way to read a file
_finders = threading.Lock()

# A file's time and size; where names lead; and its code without them.
_Kept: TypeAlias = tuple[tuple[int, int], dict[str, Place], CodeType | None]


def load(
    package: str,
    *needs: str,
    later: Sequence[str] = (),
    without: Sequence[str] = (),
    first: Callable[[], None] | None = None,
) -> None:
    """Import a package and those of its modules that a call needs.

    Changes nothing in one that somebody has imported already. What was found out about its files is
    kept beside their bytecode.

    Args:
        package: Its name: an SDK's, say.
        needs: Modules whose import brings modules of the package.
        later: Modules, its own or not, that its functions may import when they need them.
        without: Modules of its own that it can do without, and is to.
        first: Uses it as a call will, so that what comes late comes now.

    Raises:
        ImportError: It, or one of the modules, is not there.
    """
    if package not in sys.modules:
        finder = _Finder(package, later, without)
        # A new list each time: other threads may be on their way through the old one.
        with _finders:
            sys.meta_path = [finder, *sys.meta_path]
        try:
            for name in (package, *needs):
                importlib.import_module(name)
            if first is not None:
                first()
        except Exception as error:
            log.info("%s is imported whole: %s", package, type(error).__name__)
            for name in [name for name in sys.modules if inside(name, (package, *needs))]:
                del sys.modules[name]
        finally:
            with _finders:
                sys.meta_path = [one for one in sys.meta_path if one is not finder]
        finder.keep()
    for name in (package, *needs):
        importlib.import_module(name)


class _Finder:
    """Finds a package's modules as ever, and has them opened lean."""

    def __init__(self, package: str, later: Sequence[str], without: Sequence[str]) -> None:
        self._package, self._later, self._without = package, later, without
        self._kept: dict[str, _Kept] = {}
        self._file = ""
        self._keeps = self._searches = self._changed = False

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not inside(name, [self._package]):
            return None
        if inside(name, self._without):
            raise ModuleNotFoundError(f"{name} is done without", name=name)
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or type(spec.loader) is not SourceFileLoader:
            return spec
        if not self._file:
            self._recall(spec.loader)
        # To look through all of a package takes longer than to import it: only if that is kept.
        if spec.submodule_search_locations or self._searches:
            places, code = self._read(spec, spec.loader)
            if places and code:
                spec.loader = _Loader(name, spec.loader.path, places, code)
                spec.cached = self._file
        return spec

    def _recall(self, loader: SourceFileLoader) -> None:
        """Have at hand what an earlier process has kept."""
        form = zlib.crc32(repr((_FORM, self._package, self._later)).encode())
        self._file = importlib.util.cache_from_source(loader.path, optimization=f"lean{form:08x}")
        try:
            self._kept = marshal.loads(loader.get_data(self._file))
        except (OSError, EOFError, ValueError, TypeError):
            log.debug("%s is looked through", self._package)
        folder = next(one for one in Path(self._file).parents if one.is_dir())
        self._keeps = not sys.dont_write_bytecode and os.access(folder, os.W_OK)
        self._searches = bool(self._later) and (self._keeps or bool(self._kept))
        self._loader = loader

    def keep(self) -> None:
        """Keep what was found out, if it is new and bytecode is kept here."""
        if self._changed and self._keeps:
            self._loader.set_data(self._file, marshal.dumps(self._kept))

    def _read(
        self, spec: ModuleSpec, loader: SourceFileLoader
    ) -> tuple[dict[str, Place], CodeType | None]:
        """Where a module's late names lead, and its code without them."""
        stats = loader.path_stats(loader.path)
        stamp = int(stats["mtime"]), int(stats["size"])
        kept = self._kept.get(spec.name)
        if kept is None or kept[0] != stamp:
            tree = ast.parse(loader.get_data(loader.path), loader.path)
            places = Names(tree, spec, loader.path, self._later).late()
            code = compile(tree, loader.path, "exec", dont_inherit=True) if places else None
            kept = self._kept[spec.name] = stamp, places, code
            self._changed = True
        return kept[1], kept[2]


class _Loader(SourceFileLoader):
    """Runs a module's own code without what can come late."""

    def __init__(self, name: str, path: str, places: Mapping[str, Place], code: CodeType) -> None:
        super().__init__(name, path)
        self._places, self._code = places, code

    def exec_module(self, module: ModuleType) -> None:
        names, places = vars(module), self._places
        own: Callable[[str], Any] | None = None

        def asked(name: str) -> Any:
            if name in places:
                return names.setdefault(name, _found(places[name], module))
            if own is not None:
                return own(name)
            raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")

        names.update({HERE: module, "__getattr__": asked})
        exec(self._code, names)
        if names["__getattr__"] is not asked:
            own, names["__getattr__"] = names["__getattr__"], asked
        names["__dir__"] = lambda: sorted(names.keys() | places.keys())


def _found(place: Place, module: ModuleType) -> Any:
    if isinstance(place, str):
        code = compile(place, module.__name__, "eval", dont_inherit=True)
        names = {name: getattr(module, name) for name in code.co_names if hasattr(module, name)}
        return eval(code, vars(module), names)
    source, name = place
    found = importlib.import_module(source)
    if not name:
        return found
    try:
        return getattr(found, name)
    except AttributeError:
        return importlib.import_module(f"{source}.{name}")
