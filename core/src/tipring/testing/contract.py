"""What a plugin has to keep, as tests its author inherits.

Three lines in a test file are the whole use::

    from tipring.testing import TurnContract

    class TestMine(TurnContract):
        plugin = "turn.mine"

Any test runner that knows ``test_`` methods will do, and ``tipring plugins test turn.mine`` runs
the same rules without one. The plugin has to be installed. Every broken rule says which it was,
what was seen, and what mends it; a rule that cannot be checked without more knowledge is skipped
with a sentence on what to give. The kit registers nothing with pytest.
"""

from __future__ import annotations

import functools
import inspect
import json
import os
import re
import subprocess
import sys
import unittest
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from pydantic import SecretStr, ValidationError

from tipring.config import Value
from tipring.discovery import HOST, said
from tipring.errors import TipringError
from tipring.plugins import Plugins
from tipring.providers import Call, Provider, Settings
from tipring.selection import Part
from tipring.settings import describe, secret_env, settle

DECLARE_MS = 50
"""Milliseconds of CPU that importing a plugin and taking its declaration may cost."""

_SOUNDS_SECRET = re.compile(r"(^|_)(key|token|password|secret|credentials?)$")


class ContractBroken(AssertionError):
    """A rule of the contract that a plugin does not keep.

    Args:
        what: What was seen.
        fix: What mends it.
    """

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what, fix)
        self.rule = ""
        self.what = what
        self.fix = fix

    def __str__(self) -> str:
        rule = f'the rule "{self.rule}" is broken: ' if self.rule else ""
        return f"{rule}{self.what}\n  fix:  {self.fix}"


def name_of(method: str) -> str:
    """The rule in words, from the name of its method."""
    return method.removeprefix("test_").replace("_", " ")


def rule(method: Callable[[Any], None]) -> Callable[[Any], None]:
    """Make a method a rule: whatever goes wrong in it is told as that rule, broken."""

    @functools.wraps(method)
    def checked(self: Any) -> None:
        broken: ContractBroken
        try:
            method(self)
            return
        except ContractBroken as error:
            broken = error
        except unittest.SkipTest:
            raise
        except TipringError as error:
            broken = ContractBroken(f"{error.where}: {error.what}", error.fix or "see above")
        except Exception as error:
            broken = ContractBroken(
                f"it raised {said(error)}", "handle it, or raise it where the host expects it"
            )
            broken.__cause__ = error
        broken.rule = name_of(method.__name__)
        raise broken

    return checked


@dataclass(frozen=True, kw_only=True)
class Finding:
    """How one rule fared.

    Attributes:
        rule: The rule, in words.
        state: ``kept``, ``broken`` or ``skipped``.
        what: What was seen, or why it was skipped.
        fix: What mends it.
    """

    rule: str
    state: str
    what: str = ""
    fix: str = ""


class PluginContract:
    """What holds for every plugin, observers among them.

    Attributes:
        plugin: ``KIND.NAME``, as ``tipring plugins`` shows it.
        settings: As they would stand in ``tipring.toml``, where the defaults are not enough.
        secrets: Environment variables of secrets. One that is required and not given is made up:
            enough to build, and to see whether it leaks.
        language: The language of the calls, a BCP 47 tag.
    """

    plugin: ClassVar[str] = ""
    settings: ClassVar[Mapping[str, Any]] = {}
    secrets: ClassVar[Mapping[str, str]] = {}
    language: ClassVar[str] = "en"

    @rule
    def test_declares_quickly_and_imports_nothing_heavy(self) -> None:
        """In a fresh interpreter: at most 50 ms of CPU, and no model, SDK or Pipecat."""
        seen = self._probe("declare")
        if seen["heavy"]:
            raise ContractBroken(
                "declaring imports " + ", ".join(seen["heavy"]),
                "move these imports into build(), or under if TYPE_CHECKING:",
            )
        if seen["declare_ms"] > DECLARE_MS:
            # Best of three: the first may have had to write bytecode.
            again = [self._probe(f"declare {n}")["declare_ms"] for n in (2, 3)]
            if (best := min(seen["declare_ms"], *again)) > DECLARE_MS:
                raise ContractBroken(
                    f"declaring takes {best:.0f} ms of CPU, and {DECLARE_MS} are allowed",
                    "declare only; load and compute in build()",
                )

    @rule
    def test_says_for_which_tipring_it_was_written(self) -> None:
        """A requirement on tipring with an upper bound, so that no later host is a surprise."""
        kind, _, name = self.plugin.partition(".")
        found = _installed().find(kind, name)
        if found.dist == HOST:
            return
        needs = [Requirement(text) for text in found.requires]
        ours = [need for need in needs if canonicalize_name(need.name) == HOST]
        bounded = any(
            spec.operator in ("<", "<=", "~=", "==") for n in ours for spec in n.specifier
        )
        if not bounded:
            raise ContractBroken(
                f"{found.dist} does not say up to which tipring it works",
                'write "tipring>=0.1,<0.2" among the dependencies in pyproject.toml',
            )

    def _probe(self, stage: str) -> dict[str, Any]:
        kind, _, name = self.plugin.partition(".")
        order = {
            "stage": stage.split()[0],
            "again": stage,  # a word in the key of the cache, so that a second look is one
            "kind": kind,
            "name": name,
            "settings": dict(self.settings),
            "environ": self._environ() if kind != "observer" else {},
            "language": self.language,
        }
        written = json.dumps(order, sort_keys=True, default=str)
        return probe(written, os.pathsep.join(path for path in sys.path if path))

    def _environ(self) -> dict[str, str]:
        return {}


class ProviderContract(PluginContract):
    """What holds for all four kinds of provider."""

    @rule
    def test_every_setting_is_described(self) -> None:
        """``tipring plugins show`` is all the user has."""
        for one in describe(self._provider().settings):
            if not one.description.strip():
                raise ContractBroken(
                    f'the setting "{one.name}" has no description',
                    f'{one.name}: ... = Field(..., description="What it does, in a sentence.")',
                )

    @rule
    def test_unknown_settings_are_refused(self) -> None:
        """A typing error in the file must be an error, not a default."""
        settings = self._provider().settings
        try:
            settings.model_validate({"contract_no_such_setting": 1})
        except ValidationError as error:
            if any(one["type"] == "extra_forbidden" for one in error.errors()):
                return
        raise ContractBroken(
            f"{settings.__name__} takes a setting that it does not know",
            'leave extra="forbid" alone, which tipring.providers.Settings brings',
        )

    @rule
    def test_settings_cannot_be_changed_afterwards(self) -> None:
        """Many calls share one settings object."""
        settings = self._settings()
        for name in type(settings).model_fields:
            try:
                setattr(settings, name, getattr(settings, name))
            except ValidationError:
                return
            raise ContractBroken(
                f"{type(settings).__name__}.{name} can be set after validation",
                "leave frozen=True alone, which tipring.providers.Settings brings",
            )

    @rule
    def test_secrets_never_appear_in_repr_log_or_error(self) -> None:
        """What a build prints, logs, raises and shows of itself holds no secret."""
        for name, field in self._provider().settings.model_fields.items():
            hidden = "SecretStr" in str(field.annotation)
            if secret_env(field) and not hidden:
                raise ContractBroken(
                    f'the secret "{name}" is plain text wherever settings are shown',
                    f"annotate it: {name}: SecretStr = secret(...)",
                )
            if not secret_env(field) and (hidden or _SOUNDS_SECRET.search(name)):
                raise ContractBroken(
                    f'"{name}" seems to be a secret that may stand in the file',
                    f'{name}: SecretStr = secret("{name.upper()}", "What it is.")',
                )
        secrets = self._secret_values()
        seen = self._probe("build")
        for place in ("log", "repr", "error"):
            if any(value in seen[place] for value in secrets):
                raise ContractBroken(
                    f"a secret stands in what build() {_PLACES[place]}",
                    "pass get_secret_value() to the client only, and keep the SecretStr elsewhere",
                )

    @rule
    def test_build_opens_no_socket(self) -> None:
        """The pipeline connects; a build at boot must not need the network."""
        seen = self._built()
        if seen["sockets"]:
            raise ContractBroken(
                "build() " + "; ".join(seen["sockets"][:3]),
                "connect when the pipeline starts (a service's start(), a rung's stream())",
            )

    @rule
    def test_builds_again_and_again_without_leaking(self) -> None:
        """A build a call: a new object each, and no thread or open file more."""
        seen = self._built()
        if seen["same"]:
            raise ContractBroken(
                "two builds gave the same object, so two calls would share it",
                "make a new one in build(); share only what holds nothing of a call",
            )
        for what, advice in (
            ("threads", "share one executor in the process, or start it when the call starts"),
            ("files", "open in the process once (functools.cache), or when the call starts"),
        ):
            if seen[what] >= seen["builds"]:
                raise ContractBroken(
                    f"{seen['builds']} more builds left {seen[what]} more {what} open", advice
                )

    def _provider(self) -> Provider[Any]:
        kind, _, name = self.plugin.partition(".")
        return _installed().load(kind, name)

    def _environ(self) -> dict[str, str]:
        """The secrets, those that were not given made up."""
        fields = self._provider().settings.model_fields
        names = {env for field in fields.values() if (env := secret_env(field))}
        return {name: f"contract-made-up-{name.lower()}" for name in names} | dict(self.secrets)

    def _secret_values(self) -> list[str]:
        settings = self._settings()
        held = [getattr(settings, name) for name in type(settings).model_fields]
        return [v.get_secret_value() for v in held if isinstance(v, SecretStr)]

    def _settings(self, **more: Any) -> Settings:
        written = {**self.settings, **more}
        values = {key: Value(value=value, source="the test") for key, value in written.items()}
        of: type[Settings] = self._provider().settings
        return settle(of, values, self._environ(), self.plugin)

    def _part(self, **more: Any) -> Part:
        """One use of the plugin, as the host would make it."""
        kind, _, name = self.plugin.partition(".")
        return Part(
            kind=kind,
            name=name,
            provider=self._provider(),
            settings=self._settings(**more),
            dist=_installed().find(kind, name).source,
        )

    def _call(self, **more: Any) -> Call:
        return Call(id="contract", language=self.language, **more)

    def _built(self) -> dict[str, Any]:
        seen = self._probe("build")
        if seen["error"]:
            raise ContractBroken(
                seen["error"], "give the settings it needs: settings = {...}, secrets = {...}"
            )
        return seen


_PLACES = {"log": "prints or logs", "repr": "gives back, in its repr()", "error": "raises"}


def rules(contract: type[PluginContract]) -> Iterator[str]:
    """The names of a contract's methods, the general ones first."""
    seen: set[str] = set()
    for owner in reversed(contract.__mro__):
        for name, member in vars(owner).items():
            if name.startswith("test_") and inspect.isfunction(member) and name not in seen:
                seen.add(name)
                yield name


def examine(contract: type[PluginContract]) -> Iterator[Finding]:
    """Hold a plugin to its contract without a test runner, one rule after the other.

    Args:
        contract: A class as it would stand in a test file.
    """
    for name in rules(contract):
        try:
            getattr(contract(), name)()
        except ContractBroken as error:
            yield Finding(rule=name_of(name), state="broken", what=error.what, fix=error.fix)
        except unittest.SkipTest as error:
            yield Finding(rule=name_of(name), state="skipped", what=str(error))
        else:
            yield Finding(rule=name_of(name), state="kept")


@functools.cache
def probe(order: str, paths: str) -> dict[str, Any]:
    """Look at a plugin from a fresh interpreter.

    Args:
        order: What to look at, as JSON.
        paths: Where it looks for modules, as in ``PYTHONPATH``.

    Raises:
        ContractBroken: The interpreter was taken down, or did not answer in 120 s.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-m", "tipring.testing.contract_probe"],
            input=order,
            env={**os.environ, "PYTHONPATH": paths},
            capture_output=True,
            text=True,
            timeout=120,
        )
    except subprocess.TimeoutExpired:
        raise ContractBroken(
            "it did not declare and build in 120 s", "wait for nobody in build()"
        ) from None
    told, marked, answer = done.stdout.rpartition("\ncontract:")
    if not marked:
        last = (done.stderr.strip().splitlines() or ["without a word"])[-1]
        raise ContractBroken(f"it took the interpreter down: {last}", "mend what is told there")
    seen: dict[str, Any] = json.loads(answer)
    seen["log"] = told + done.stderr
    if seen["refused"]:
        raise ContractBroken(seen["refused"], seen["fix"])
    return seen


def _installed() -> Plugins:
    return _discovered(tuple(sys.path))


@functools.cache
def _discovered(path: tuple[str, ...]) -> Plugins:
    """One look a search path: a plugin is loaded once, and its refusal is remembered."""
    return Plugins.discover(path)
