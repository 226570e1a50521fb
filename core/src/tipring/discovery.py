"""Which plugins are installed, read from entry points without importing any of them.

What is imported here is what ``tipring plugins`` waits for, so it is little: 200 distributions are
listed in less time than pydantic takes to load.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any, Self

from tipring.errors import ConfigError, PluginError, did_you_mean
from tipring.written import KINDS, NAME

GROUPS = (*KINDS, "observer")
"""The kinds of plugin; the entry point groups are ``tipring.KIND``."""

HOST = "tipring"
"""The distribution of the host itself."""

_OURS = {
    "stt": ("deepgram", "moonshine"),
    "turn": ("smart", "flux"),
    "llm": ("gateway", "receptionist"),
    "tts": ("elevenlabs", "hibari"),
}


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


class Installed:
    """What is installed.

    Args:
        found: The plugins there are.
        problems: What went wrong in finding them.
    """

    def __init__(self, found: Iterable[Found], *, problems: Iterable[PluginError] = ()) -> None:
        self._found = tuple(sorted(found, key=lambda one: (one.kind, one.name, one.dist)))
        self.problems = tuple(problems)

    @classmethod
    def look(cls, path: Iterable[str] | None = None) -> Self:
        """Find what is installed, importing nothing.

        Args:
            path: Where to look; without it, ``sys.path``.
        """
        found, problems = discover(path)
        return cls(found, problems=problems)

    def found(self, kind: str) -> tuple[Found, ...]:
        """What is installed of a kind, by name."""
        return tuple(one for one in self._found if one.kind == kind)

    def find(self, kind: str, name: str, *, dist: str | None = None) -> Found:
        """The one plugin of this kind and name.

        Args:
            kind: Its kind.
            name: Its name.
            dist: Only look in this distribution.

        Raises:
            ConfigError: There is none.
            PluginError: There are two.
        """
        same = [one for one in self.found(kind) if one.name == name and dist in (None, one.dist)]
        if not same:
            raise self._unknown(kind, name)
        if len(same) > 1:
            raise PluginError(
                f"{kind}.{name}",
                "two distributions offer it: " + " and ".join(one.source for one in same),
                f"uninstall one of them: pip uninstall {same[-1].dist}",
            )
        return same[0]

    def obstacle(self, one: Found) -> PluginError | None:
        """What is known to be in a plugin's way without importing it, if anything."""
        try:
            self.find(one.kind, one.name)
            check_host(one)
        except PluginError as error:
            return error
        return None

    def _unknown(self, kind: str, name: str) -> ConfigError:
        known = [one.name for one in self.found(kind)]
        elsewhere = [one for one in self._found if one.name == name]
        what = f'no {kind} plugin "{name}" is installed'
        if name in _OURS.get(kind, ()):
            fix = f"pip install tipring-{kind}-{name}"
        elif elsewhere:
            what += f"; it is a plugin of another kind: {elsewhere[0].kind}"
            fix = "installed are: " + (", ".join(known) or f"none of kind {kind}")
        else:
            what += did_you_mean(name, [*known, *_OURS.get(kind, ())])
            fix = "installed are: " + (", ".join(known) or f"none of kind {kind}")
        return ConfigError(f"{kind}.{name}", what, fix)


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
    if one.dist == HOST:
        return
    running = _running()
    for text in one.requires:
        if not _OF_HOST.match(text):
            continue  # the installer's business
        excludes = _excludes(text, running)
        if excludes:
            raise one.refuse(
                f"it was written for {HOST}{excludes}, and this is {HOST} {running}",
                f"pip install --upgrade {one.dist}, or install a {HOST} that it was written for",
            )


_OF_HOST = re.compile(rf"\s*{HOST}(?![A-Za-z0-9._-])", re.I)
_PLAIN = re.compile(r"\s*(>=|<=|!=|==|<|>)\s*(\d+(?:\.\d+)*)\s*")


@functools.cache
def _running() -> str:
    return metadata.version(HOST)


@functools.cache
def _excludes(text: str, running: str) -> str:
    """The versions that a requirement on the host asks for, if the running one is not of them."""
    wanted = text[len(HOST) + text.lower().index(HOST) :].strip()
    told = [_PLAIN.fullmatch(part) for part in wanted.split(",")]
    plain = re.fullmatch(r"\d+(\.\d+)*", running)
    if plain and all(told):
        # The requirement that nearly every plugin has, without loading what reads them all.
        fits = all(_fits(running, *match.groups()) for match in told if match)
        return "" if fits else wanted.replace(" ", "")
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        need = Requirement(text)
    except InvalidRequirement:
        return ""
    if need.marker is not None and not need.marker.evaluate({"extra": ""}):
        return ""
    return "" if need.specifier.contains(running, prereleases=True) else str(need.specifier)


def _fits(running: str, operator: str, version: str) -> bool:
    here, there = (tuple(map(int, text.split("."))) for text in (running, version))
    size = max(len(here), len(there))
    here, there = (one + (0,) * (size - len(one)) for one in (here, there))
    match operator:
        case ">=":
            return here >= there
        case "<=":
            return here <= there
        case "<":
            return here < there
        case ">":
            return here > there
        case "==":
            return here == there
    return here != there


def said(error: BaseException) -> str:
    """An exception in a line of its own words, whatever it is."""
    try:
        text = " ".join(str(error).split())
    except Exception:
        text = ""
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__


def a(thing: Any) -> str:
    """Say what kind of thing it is: ``an int``, ``the class Acme``, ``an async function``."""
    import inspect

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
    plain = re.sub(r"[-_.]+", "-", name).lower()
    if plain in seen:
        return []  # the first on the path is the one that would be imported
    seen.add(plain)
    # dist.requires would read and parse the same file again.
    requires = tuple(told.get_all("Requires-Dist") or dist.requires or ())
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
                    requires=requires,
                )
            )
    return found
