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
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, TypeAlias

log = logging.getLogger(__name__)

_FORM = 1  # of what is kept; another one for another way to read a file
_HERE = "__lean__"  # the name by which a function knows its module

_finders = threading.Lock()

# Where a name leads: a module, and what the name is there, or nothing for the module itself; or
# what an alias stands for.
_Place: TypeAlias = tuple[str, str] | str
# A file's time and size; where names lead; and its code without them.
_Kept: TypeAlias = tuple[tuple[int, int], dict[str, _Place], CodeType | None]


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
            for name in [name for name in sys.modules if _inside(name, (package, *needs))]:
                del sys.modules[name]
        finally:
            with _finders:
                sys.meta_path = [one for one in sys.meta_path if one is not finder]
        finder.keep()
    for name in (package, *needs):
        importlib.import_module(name)


def _inside(name: str, packages: Iterable[str]) -> bool:
    return any(name == one or name.startswith(f"{one}.") for one in packages)


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
        if not _inside(name, [self._package]):
            return None
        if _inside(name, self._without):
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
    ) -> tuple[dict[str, _Place], CodeType | None]:
        """Where a module's late names lead, and its code without them."""
        stats = loader.path_stats(loader.path)
        stamp = int(stats["mtime"]), int(stats["size"])
        kept = self._kept.get(spec.name)
        if kept is None or kept[0] != stamp:
            tree = ast.parse(loader.get_data(loader.path), loader.path)
            places = _Names(tree, spec, loader.path, self._later).late()
            code = compile(tree, loader.path, "exec", dont_inherit=True) if places else None
            kept = self._kept[spec.name] = stamp, places, code
            self._changed = True
        return kept[1], kept[2]


class _Loader(SourceFileLoader):
    """Runs a module's own code without what can come late."""

    def __init__(self, name: str, path: str, places: Mapping[str, _Place], code: CodeType) -> None:
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

        names.update({_HERE: module, "__getattr__": asked})
        exec(self._code, names)
        if names["__getattr__"] is not asked:
            own, names["__getattr__"] = names["__getattr__"], asked
        names["__dir__"] = lambda: sorted(names.keys() | places.keys())


def _found(place: _Place, module: ModuleType) -> Any:
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


class _Names(ast.NodeTransformer):
    """The names of a module: which of them can come late.

    Args:
        tree: The file; :meth:`late` changes it.
        spec: Which module it is.
        path: The file.
        later: Modules that may come late.
    """

    def __init__(self, tree: ast.Module, spec: ModuleSpec, path: str, later: Sequence[str]) -> None:
        self._tree, self._path, self._later = tree, Path(path), later
        self._parent = spec.parent or ""
        self._is_package = spec.submodule_search_locations is not None
        self._postponed = any(
            isinstance(one, ast.ImportFrom) and one.module == "__future__" for one in tree.body
        )
        self._spoken: set[str] = set()
        self._late: dict[str, _Place] = {}
        self._depth = 0

    def late(self) -> dict[str, _Place]:
        """Take out of the tree what can come late; where its names lead."""
        bound = {one: places for one in self._tree.body if (places := self._bound(one))}
        self._hear([one for one in self._tree.body if one not in bound])
        if "__all__" in self._spoken:
            for one in filter(_is_all, self._tree.body):
                self._spoken.update(_words(one))
        # What is bound twice, by a module of the package's own maybe, is what was bound last.
        times = Counter(_brought(self._tree.body))
        times.update(name for places in bound.values() for name in places if name not in times)
        if self._is_package:
            times.update(one.name.partition(".")[0] for one in self._path.parent.iterdir())
        self._spoken.update(name for name in times if times[name] > 1)
        aliases: dict[str, ast.stmt] = {}
        for one, places in reversed(bound.items()):
            names = {name: place for name, place in places.items() if name not in self._spoken}
            if not isinstance(one, ast.ImportFrom | ast.Import):
                aliases |= dict.fromkeys(names, one)
                if not names:  # it speaks in turn
                    self._spoken.update(_words(one))
            elif one.names[0].name == "*" and len(names) < len(places):
                names = {}
            self._late |= names
        for name, one in aliases.items():
            if self._late.keys().isdisjoint(word for word in _words(one) if word != name):
                del self._late[name]
        if self._late:
            self._tree.body = [one for one in self._tree.body if self._left(one, bound.get(one))]
            self.visit(self._tree)
            ast.fix_missing_locations(self._tree)
        return self._late

    def _bound(self, one: ast.stmt) -> dict[str, _Place]:
        """What a statement binds that may come late."""
        if isinstance(one, ast.ImportFrom) and one.module != "__future__":
            return self._imported(one)
        if isinstance(one, ast.Import):
            return {
                name.asname or name.name: (name.name, "")
                for name in one.names
                if _inside(name.name, self._later) and (name.asname or "." not in name.name)
            }
        match one:
            case ast.AnnAssign(
                target=ast.Name(id=name), annotation=kind, value=ast.expr() as value
            ):
                return {name: ast.unparse(value)} if ast.unparse(kind) == "TypeAlias" else {}
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if _is_type(value):
                return {name: ast.unparse(value)}
        return {}

    def _imported(self, one: ast.ImportFrom) -> dict[str, _Place]:
        if not one.module:
            return {}
        source = importlib.util.resolve_name("." * one.level + one.module, self._parent)
        if not (self._is_package and one.level) and not _inside(source, self._later):
            return {}
        if one.names[0].name != "*":
            return {name.asname or name.name: (source, name.name) for name in one.names}
        folder = self._path.parents[one.level - 1].joinpath(*one.module.split("."))
        if not (file := folder / "__init__.py").is_file():
            return {}
        spec = ModuleSpec(source, None, is_package=True)
        names = _Names(ast.parse(file.read_bytes()), spec, str(file), self._later)
        places = names.late()
        if any(not _is_future(left) and not _is_all(left) for left in names._tree.body):
            return {}
        return {name: (source, name) for name in places if not name.startswith("_")}

    def _left(self, one: ast.stmt, places: Mapping[str, _Place] | None) -> bool:
        """Whether something of a statement stays; what goes is taken out of it."""
        if not places or self._late.keys().isdisjoint(places):
            return True
        if not isinstance(one, ast.ImportFrom | ast.Import) or one.names[0].name == "*":
            return False
        one.names = [name for name in one.names if (name.asname or name.name) not in self._late]
        return bool(one.names)

    def _hear(self, body: Iterable[ast.stmt]) -> None:
        """Note which names a body speaks of when it is run, and which its functions rebind."""
        for one in body:
            if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef):
                # Its annotations are for readers, who will find what they look for.
                now = (*one.decorator_list, *one.args.defaults, *one.args.kw_defaults)
                self._spoken.update(word for part in now if part for word in _words(part))
                self._spoken.update(_rebound(one))
            elif isinstance(one, ast.ClassDef):
                for part in (*one.decorator_list, *one.bases, *one.keywords):
                    self._spoken.update(_words(part))
                self._spoken.add(one.name)
                self._hear(one.body)
            elif isinstance(one, ast.If) and _is_checking(one.test):
                self._hear(one.orelse)
            elif not _is_all(one):
                self._spoken.update(_words(one))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """Inside a function, a late name is asked of the module."""
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        """As of any function."""
        return self._function(node)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        self._depth += 1
        self.generic_visit(node)
        self._depth -= 1
        if not self._postponed:
            for one in ast.walk(node.args):
                if isinstance(one, ast.arg):
                    one.annotation = self._quoted(one.annotation)
            node.returns = self._quoted(node.returns)
        return node

    def _quoted(self, annotation: ast.expr | None) -> ast.expr | None:
        """An annotation that speaks of late names, in quotes."""
        if annotation is None or _HERE not in _words(annotation):
            return annotation
        return ast.copy_location(ast.Constant(ast.unparse(annotation)), annotation)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        """The name itself."""
        if not self._depth or node.id not in self._late:
            return node
        here = ast.copy_location(ast.Name(_HERE, ast.Load()), node)
        return ast.copy_location(ast.Attribute(here, node.id, node.ctx), node)


def _is_all(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Assign) and any(
        isinstance(target, ast.Name) and target.id == "__all__" for target in statement.targets
    )


def _is_future(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.ImportFrom) and statement.module == "__future__"


def _is_checking(test: ast.expr) -> bool:
    return ast.unparse(test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def _is_type(value: ast.expr) -> bool:
    """Whether a value looks like a type made of types: ``A | B`` or ``list[A]``."""
    parts = (ast.Name, ast.Load, ast.BinOp, ast.BitOr, ast.Subscript, ast.Tuple, ast.List)
    return isinstance(value, ast.BinOp | ast.Subscript) and all(
        isinstance(node, parts) for node in ast.walk(value)
    )


def _words(part: ast.AST) -> Iterator[str]:
    """Every name in a part, and every string, which may be one."""
    for node in ast.walk(part):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.alias):
            yield node.asname or node.name


def _rebound(function: ast.AST) -> Iterator[str]:
    """Names that mean something else somewhere in a function, or for a function."""
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.alias):
            yield node.asname or node.name.partition(".")[0]
        elif isinstance(node, ast.Global | ast.Nonlocal):
            yield from node.names
        elif isinstance(
            node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.ExceptHandler
        ):
            yield node.name or ""
        elif isinstance(node, ast.MatchAs | ast.MatchStar):
            yield node.name or ""
        elif isinstance(node, ast.MatchMapping):
            yield node.rest or ""


def _brought(body: Iterable[ast.stmt]) -> Iterator[str]:
    """What the imports of a body bind."""
    for one in body:
        if isinstance(one, ast.Import | ast.ImportFrom):
            yield from (name.asname or name.name.partition(".")[0] for name in one.names)
