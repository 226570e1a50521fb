"""Which of the names in a module can come late, and its code without them.

A name that an import binds, or an alias of such names, can wait where nothing speaks of it while
the module is run: a package may only pass it on, or only functions use it. Inside a function it is
then asked of the module, which has it fetched; in an annotation, too, in quotes.
"""

from __future__ import annotations

import ast
import importlib.util
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import TypeAlias, TypeGuard

Place: TypeAlias = tuple[str, str] | str
"""Where a name leads: a module, and what the name is there, or nothing for the module itself; or
what an alias stands for."""

HERE = "__lean__"
"""The name by which a function knows its module."""


def inside(name: str, packages: Iterable[str]) -> bool:
    """Whether a module is one of these, or in one of them."""
    return any(name == one or name.startswith(f"{one}.") for one in packages)


class Names(ast.NodeTransformer):
    """The names of a module.

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
        self._late: dict[str, Place] = {}
        self._depth = 0

    def late(self) -> dict[str, Place]:
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

    def _bound(self, one: ast.stmt) -> dict[str, Place]:
        """What a statement binds that may come late."""
        if isinstance(one, ast.ImportFrom) and one.module != "__future__":
            return self._imported(one)
        if isinstance(one, ast.Import):
            return {
                name.asname or name.name: (name.name, "")
                for name in one.names
                if inside(name.name, self._later) and (name.asname or "." not in name.name)
            }
        match one:
            case ast.AnnAssign(
                target=ast.Name(id=name), annotation=kind, value=ast.expr() as value
            ):
                return {name: ast.unparse(value)} if ast.unparse(kind) == "TypeAlias" else {}
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if _is_type(value):
                return {name: ast.unparse(value)}
        return {}

    def _imported(self, one: ast.ImportFrom) -> dict[str, Place]:
        if not one.module:
            return {}
        source = importlib.util.resolve_name("." * one.level + one.module, self._parent)
        if not (self._is_package and one.level) and not inside(source, self._later):
            return {}
        if one.names[0].name != "*":
            return {name.asname or name.name: (source, name.name) for name in one.names}
        folder = self._path.parents[one.level - 1].joinpath(*one.module.split("."))
        if not (file := folder / "__init__.py").is_file():
            return {}
        spec = ModuleSpec(source, None, is_package=True)
        names = Names(ast.parse(file.read_bytes()), spec, str(file), self._later)
        places = names.late()
        if any(not _is_future(left) and not _is_all(left) for left in names._tree.body):
            return {}
        return {name: (source, name) for name in places if not name.startswith("_")}

    def _left(self, one: ast.stmt, places: Mapping[str, Place] | None) -> bool:
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
                fields = [part for part in one.body if _is_field(part, one)]
                self._hear(part for part in one.body if part not in fields)
                self._spoken.update(
                    word for part in fields if part.value for word in _words(part.value)
                )
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
        for one in ast.walk(node.args):
            if isinstance(one, ast.arg):
                one.annotation = self._quoted(one.annotation)
        node.returns = self._quoted(node.returns)
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        """A dataclass does not look what its annotations mean."""
        self.generic_visit(node)
        self._depth += 1
        for one in node.body:
            if _is_field(one, node):
                one.annotation = self._quoted(self.visit(one.annotation)) or one.annotation
        self._depth -= 1
        return node

    def _quoted(self, annotation: ast.expr | None) -> ast.expr | None:
        """An annotation that speaks of late names, in quotes."""
        if annotation is None or self._postponed or HERE not in _words(annotation):
            return annotation
        return ast.copy_location(ast.Constant(ast.unparse(annotation)), annotation)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        """The name itself."""
        if not self._depth or node.id not in self._late:
            return node
        here = ast.copy_location(ast.Name(HERE, ast.Load()), node)
        return ast.copy_location(ast.Attribute(here, node.id, node.ctx), node)


def _is_all(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Assign) and any(
        isinstance(target, ast.Name) and target.id == "__all__" for target in statement.targets
    )


def _is_future(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.ImportFrom) and statement.module == "__future__"


def _is_field(statement: ast.stmt, of: ast.ClassDef) -> TypeGuard[ast.AnnAssign]:
    """Whether it is a field of a dataclass."""
    made = {ast.unparse(one).partition("(")[0] for one in of.decorator_list}
    return "dataclass" in made and isinstance(statement, ast.AnnAssign)


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
