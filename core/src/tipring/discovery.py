"""Which plugins are installed, read from entry points without importing anything."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from tipring.config import NAME
from tipring.errors import PluginError
from tipring.providers import KINDS

GROUPS = (*KINDS, "observer")
"""The kinds of plugin; the entry point groups are ``tipring.KIND``."""


HOST = "tipring"
"""The distribution of the host itself."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """A plugin that is installed, known without importing it.

    Attributes:
        kind: ``stt``, ``turn``, ``llm``, ``tts`` or ``observer``.
        name: What the configuration calls it.
        dist: The distribution it came in.
        version: That distribution's version.
        module: What would be imported: a module, or ``module:object``.
        requires: The distribution's requirements, by which it says what host it was written for.
    """

    kind: str
    name: str
    dist: str
    version: str
    module: str
    requires: tuple[str, ...] = field(default=(), repr=False)

    @property
    def where(self) -> str:
        """``turn.smart``."""
        return f"{self.kind}.{self.name}"

    @property
    def source(self) -> str:
        """``tipring-turn-smart 0.1.0``."""
        return f"{self.dist} {self.version}"

    def refuse(self, what: str, fix: str) -> PluginError:
        """Say what is wrong with it."""
        return PluginError(self.where, f"{what} (from {self.source})", fix)


def discover(
    path: Iterable[str] | None = None,
) -> tuple[tuple[Found, ...], tuple[PluginError, ...]]:
    """Find every plugin, and what is wrong with those that cannot even be read.

    Args:
        path: Where to look; without it, ``sys.path``.
    """
    found: list[Found] = []
    problems: list[PluginError] = []
    seen: set[str] = set()
    dists = metadata.distributions() if path is None else metadata.distributions(path=list(path))
    for dist in dists:
        # Reading METADATA is what makes a scan slow, so only plugins are asked for theirs.
        try:
            if "tipring." in (dist.read_text("entry_points.txt") or ""):
                found += _entry_points(dist, seen, problems)
        except Exception as error:
            problems.append(
                PluginError(
                    f"{getattr(dist, '_path', 'a distribution')}",
                    f"its metadata cannot be read: {said(error)}",
                    "install that distribution again",
                )
            )
    return tuple(found), tuple(problems)


def check_host(one: Found) -> None:
    """Hold the running host against what a plugin says it was written for.

    Raises:
        PluginError: It was written for another.
    """
    running = metadata.version(HOST)
    for text in one.requires:
        try:
            need = Requirement(text)
        except InvalidRequirement:
            continue  # the installer's business unless it is about the host, and then unreadable
        if canonicalize_name(need.name) != HOST or one.dist == HOST:
            continue
        if need.marker is not None and not need.marker.evaluate({"extra": ""}):
            continue
        if not need.specifier.contains(running, prereleases=True):
            raise one.refuse(
                f"it was written for {HOST}{need.specifier}, and this is {HOST} {running}",
                f"pip install --upgrade {one.dist}, or install a {HOST} that it was written for",
            )


def said(error: BaseException) -> str:
    """An exception in a line of its own words, whatever it is."""
    try:
        text = " ".join(str(error).split())
    except Exception:
        text = ""
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__


def a(thing: Any) -> str:
    """Say what kind of thing it is: ``an int``, ``the class Acme``, ``an async function``."""
    if inspect.iscoroutinefunction(thing):
        return "an async function"
    if inspect.isclass(thing):
        return f"the class {thing.__name__}"
    noun = type(thing).__name__
    return f"an {noun}" if noun[0].lower() in "aeiou" else f"a {noun}"


def _entry_points(
    dist: metadata.Distribution, seen: set[str], problems: list[PluginError]
) -> list[Found]:
    points = [p for p in dist.entry_points if p.group.startswith("tipring.")]
    told = dist.metadata
    if "Name" not in told:
        raise ValueError("it has no name")
    name = told["Name"]
    if canonicalize_name(name) in seen:
        return []  # the first on the path is the one that would be imported
    seen.add(canonicalize_name(name))
    found: list[Found] = []
    for point in points:
        kind = point.group.removeprefix("tipring.")
        if kind not in GROUPS:
            known = ", ".join(f"tipring.{k}" for k in GROUPS)
            what = f"there is no entry point group {point.group}"
            problems.append(PluginError(name, what, f"the groups are: {known}"))
        elif not NAME.fullmatch(point.name):
            what = f'"{point.name}" cannot be a name'
            fix = "lower case letters, digits and underscores, starting with a letter"
            problems.append(PluginError(name, what, fix))
        else:
            found.append(
                Found(
                    kind=kind,
                    name=point.name,
                    dist=name,
                    version=told["Version"] if "Version" in told else "?",
                    module=re.sub(r"\s|\[.*", "", point.value),
                    requires=tuple(dist.requires or ()),
                )
            )
    return found
