"""``tipring.toml`` and the environment, read into one frozen object.

The environment wins over the file, and the file over the defaults. ``TIPRING_TURN=smart`` swaps a
provider, ``TIPRING_TURN__SMART__STOP_SECS=0.6`` tunes one, ``TIPRING_AGENT__GREETING=Hi`` sets a
value of the host's own. Secrets come from the environment only, each by its own variable.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from tipring.errors import ConfigError
from tipring.providers import Settings
from tipring.sections import Agent, Ladder, Limits, Record, Server, Turns, Twilio, Use
from tipring.settings import Mistakes, secret_env, settle, tell
from tipring.speech.phrasebook import in_its_language
from tipring.written import NAME, Value, bad_name, read

__all__ = ["NAME", "SECTIONS", "Config", "Mistakes", "Value", "load"]

SECTIONS: Mapping[str, type[Settings]] = MappingProxyType(
    {
        "use": Use,
        "agent": Agent,
        "ladder": Ladder,
        "turns": Turns,
        "limits": Limits,
        "server": Server,
        "twilio": Twilio,
        "record": Record,
    }
)
"""The host's own tables."""

S = TypeVar("S", bound=Settings)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Everything that was configured.

    Attributes:
        use: Which providers are used.
        agent: Who answers.
        ladder: How long a rung has.
        turns: The rules of who may speak.
        limits: How much one process takes on.
        server: Where the host listens.
        twilio: The telephone company.
        record: What is kept of a call.
        path: The file that was read, or None when there was none.
        strict: Whether a plugin's failure stops the boot (``TIPRING_STRICT=1``).
        environ: Where secrets come from. Never shown.
        tables: What was written for providers, by ``kind.name``.
        sources: Where each of the host's own values came from, by ``section.key``.
    """

    use: Use
    agent: Agent
    ladder: Ladder
    turns: Turns
    limits: Limits
    server: Server
    twilio: Twilio
    record: Record
    path: Path | None = None
    strict: bool = False
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    tables: Mapping[str, Mapping[str, Value]] = field(default_factory=dict, repr=False)
    sources: Mapping[str, str] = field(default_factory=dict, repr=False)

    def provider(self, kind: str, name: str) -> Mapping[str, Any]:
        """What was written in ``[kind.name]``, with the environment's overrides."""
        return {key: value.value for key, value in self.table(kind, name).items()}

    def table(self, kind: str, name: str) -> Mapping[str, Value]:
        """The same with sources: every value written for one provider."""
        return self.tables.get(f"{kind}.{name}", {})

    def names(self, kind: str) -> tuple[str, ...]:
        """The names in use for a kind, in order of preference."""
        names: tuple[str, ...] = getattr(self.use, kind)
        return names

    def source(self, section: str, key: str) -> str:
        """Where one of the host's own values came from."""
        return self.sources.get(f"{section}.{key}", "default")

    def values(self) -> Iterator[tuple[str, Value]]:
        """Every value of the host's own as ``section.key``; secrets are ``SecretStr``."""
        for section, settings in SECTIONS.items():
            for key in settings.model_fields:
                held = getattr(getattr(self, section), key)
                yield f"{section}.{key}", Value(value=held, source=self.source(section, key))


def load(path: Path | None = None, environ: Mapping[str, str] | None = None) -> Config:
    """Read the configuration.

    Args:
        path: The file. Without it ``TIPRING_CONFIG`` names it; without that it is
            ``tipring.toml`` in the working directory, if there is one.
        environ: The environment; without it, the process's.

    Raises:
        ConfigError: Something written cannot be. All mistakes are told at once.
    """
    env = dict(os.environ if environ is None else environ)
    written = read(path, env)
    layers = written.layers
    mistakes = list(written.mistakes)
    made: dict[str, Settings] = {}
    sources: dict[str, str] = {}
    for section, settings in SECTIONS.items():
        values = layers.pop(section, {})
        try:
            made[section] = settle(settings, values, env, section)
        except ConfigError as error:
            mistakes.append(error)
        for key, one in settings.model_fields.items():
            if key in values:
                sources[f"{section}.{key}"] = values[key].source
            elif env.get(secret_env(one) or " "):
                sources[f"{section}.{key}"] = f"${secret_env(one)}"
    use = made.get("use")
    if isinstance(use, Use):
        mistakes += _misnamed(use, sources)
    if mistakes:
        raise tell(mistakes)
    agent = made["agent"]
    if isinstance(agent, Agent):
        made["agent"] = in_its_language(agent)
    return Config(
        **made,  # type: ignore[arg-type]  # each section is made by its own class just above
        path=written.path,
        strict=switch(env, "TIPRING_STRICT"),
        environ=MappingProxyType(env),
        tables=MappingProxyType({name: MappingProxyType(v) for name, v in layers.items()}),
        sources=MappingProxyType(sources),
    )


def switch(environ: Mapping[str, str], name: str) -> bool:
    """Whether an environment variable is set, and not to ``0``, ``false``, ``no`` or ``off``."""
    return environ.get(name, "").strip().lower() not in ("", "0", "false", "no", "off")


def _misnamed(use: Use, sources: Mapping[str, str]) -> Iterator[ConfigError]:
    for key in Use.model_fields:
        names: tuple[str, ...] = getattr(use, key)
        source = sources.get(f"use.{key}", "default")
        where = source if source.startswith("$") else f"{source}, [use] {key}"
        for at, name in enumerate(names):
            if not NAME.fullmatch(name):
                yield bad_name(where, name)
            elif name in names[:at]:
                yield ConfigError(where, f'"{name}" is named twice', "name it once")
