"""``tipring.toml`` and the environment, read into one frozen object.

The environment wins over the file, and the file over the defaults. ``TIPRING_TURN=smart`` swaps a
provider, ``TIPRING_TURN__SMART__STOP_SECS=0.6`` tunes one, ``TIPRING_AGENT__GREETING=Hi`` sets a
value of the host's own. Secrets come from the environment only, each by its own variable.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from tipring.errors import ConfigError
from tipring.providers import KINDS, Settings
from tipring.sections import Agent, Ladder, Limits, Record, Server, Turns, Twilio, Use
from tipring.settings import Mistakes, Value, did_you_mean, secret_env, settle, tell

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

NAME = re.compile(r"[a-z][a-z0-9_]*")
"""What a provider may be called."""

_PREFIX = "TIPRING_"
_SHORT = {"STT": "stt", "TURN": "turn", "LLM": "llm", "TTS": "tts", "OBSERVERS": "observers"}
_SWITCHES = ("CONFIG", "STRICT", "TRACE_PLUGINS", "LOG", "CONTROL_TOKEN")

_Layers = dict[str, dict[str, Value]]
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
    where = _find(path, env)
    mistakes: list[ConfigError] = []
    layers: _Layers = {}
    if where is not None:
        _read_file(where, layers, mistakes)
    _read_environ(env, layers, mistakes)
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
    return Config(
        **made,  # type: ignore[arg-type]  # each section is made by its own class just above
        path=where,
        strict=switch(env, "TIPRING_STRICT"),
        environ=MappingProxyType(env),
        tables=MappingProxyType({name: MappingProxyType(v) for name, v in layers.items()}),
        sources=MappingProxyType(sources),
    )


def switch(environ: Mapping[str, str], name: str) -> bool:
    """Whether an environment variable is set, and not to ``0``, ``false``, ``no`` or ``off``."""
    return environ.get(name, "").strip().lower() not in ("", "0", "false", "no", "off")


def _find(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    if path is not None:
        asked, by = path, f"{path}"
    elif named := environ.get("TIPRING_CONFIG", ""):
        asked, by = Path(named), "$TIPRING_CONFIG"
    else:
        default = Path("tipring.toml")
        return default if default.is_file() else None
    if not asked.is_file():
        raise ConfigError(by, f'there is no file "{asked}"', "name a file that is there")
    return asked


def _read_file(path: Path, layers: _Layers, mistakes: list[ConfigError]) -> None:
    try:
        text = path.read_text(encoding="utf-8-sig")
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            f"{path}", f"it is not TOML: {error}", "mend that line; text needs quotes around it"
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}", "it is not UTF-8 text", "save it as UTF-8") from None
    except OSError as error:
        raise ConfigError(
            f"{path}", f"it cannot be read: {error.strerror}", "make it readable"
        ) from None
    lines = _lines(text)

    def source(dotted: str) -> str:
        line = lines.get(dotted)
        return f"{path} line {line}" if line else f"{path}"

    for table, content in document.items():
        if table in SECTIONS and isinstance(content, dict):
            for key, value in content.items():
                _put(layers, table, key, value, source(f"{table}.{key}"))
        elif table in KINDS and isinstance(content, dict):
            for name, inner in content.items():
                at = source(f"{table}.{name}")
                if not isinstance(inner, dict):
                    mistakes.append(_not_a_provider(at, table, name))
                elif not NAME.fullmatch(name):
                    mistakes.append(_bad_name(f"{at}, [{table}.{name}]", name))
                else:
                    layers.setdefault(f"{table}.{name}", {})
                    for key, value in inner.items():
                        _put(layers, f"{table}.{name}", key, value, source(f"{table}.{name}.{key}"))
        else:
            mistakes.append(_no_such_table(source(table), table, content))


def _put(layers: _Layers, table: str, key: str, value: Any, source: str) -> None:
    layers.setdefault(table, {})[key] = Value(value=value, source=source)


def _no_such_table(where: str, table: str, content: Any) -> ConfigError:
    known = [*SECTIONS, *KINDS]
    if not isinstance(content, dict) and table in known:
        example = f"[{table}]" if table in SECTIONS else f"[{table}.NAME]"
        what = f'"{table}" is a table, not a value'
        if table in KINDS:
            return ConfigError(
                where, what, f'to choose a provider, write [use] and under it {table} = "NAME"'
            )
        return ConfigError(where, what, f"write {example} on a line of its own")
    what = f"there is no table [{table}]" if isinstance(content, dict) else f'"{table}" is unknown'
    return ConfigError(
        where, what + did_you_mean(table, known), "the tables are: " + ", ".join(known)
    )


def _not_a_provider(where: str, kind: str, key: str) -> ConfigError:
    if kind == "turn" and key in Turns.model_fields:
        fix = f"{key} is a rule of the host's: write it under [turns]"
    else:
        fix = f"write it under [{kind}.NAME], NAME being a provider in use"
    return ConfigError(f"{where}, [{kind}] {key}", f"[{kind}] holds one table a provider", fix)


def _bad_name(where: str, name: str) -> ConfigError:
    return ConfigError(
        where,
        f'"{name}" cannot be a name',
        "a name is lower case letters, digits and underscores, and starts with a letter",
    )


def _misnamed(use: Use, sources: Mapping[str, str]) -> Iterator[ConfigError]:
    for key in Use.model_fields:
        names: tuple[str, ...] = getattr(use, key)
        source = sources.get(f"use.{key}", "default")
        where = source if source.startswith("$") else f"{source}, [use] {key}"
        for at, name in enumerate(names):
            if not NAME.fullmatch(name):
                yield _bad_name(where, name)
            elif name in names[:at]:
                yield ConfigError(where, f'"{name}" is named twice', "name it once")


def _read_environ(environ: Mapping[str, str], layers: _Layers, mistakes: list[ConfigError]) -> None:
    for variable in sorted(environ):
        if not variable.startswith(_PREFIX):
            continue
        rest, value = variable.removeprefix(_PREFIX), environ[variable]
        if "__" in rest:
            _read_dotted(variable, rest, value, layers, mistakes)
        elif rest not in _SHORT and rest not in _SWITCHES:
            # Only a near miss is a mistake: orchestrators invent TIPRING_* names of their own.
            if near := did_you_mean(rest, [*_SHORT, *_SWITCHES]):
                near = near.replace('"', f'"{_PREFIX}', 1)
                mistakes.append(
                    ConfigError(f"${variable}", f"there is no such variable{near}", "rename it")
                )
    for rest, key in _SHORT.items():
        # Empty is unset: a compose file passes on variables that nobody filled in.
        if value := environ.get(_PREFIX + rest, "").strip():
            _put(layers, "use", key, value, f"${_PREFIX}{rest}")


def _read_dotted(
    variable: str, rest: str, value: str, layers: _Layers, mistakes: list[ConfigError]
) -> None:
    head, *tail = rest.lower().split("__")
    if head in SECTIONS and len(tail) == 1:
        _put(layers, head, tail[0], value, f"${variable}")
    elif head in KINDS and len(tail) == 2 and NAME.fullmatch(tail[0]):
        _put(layers, f"{head}.{tail[0]}", tail[1], value, f"${variable}")
    elif head in SECTIONS:
        mistakes.append(
            ConfigError(
                f"${variable}", "a section's value has two parts", f"{_PREFIX}{head.upper()}__KEY"
            )
        )
    elif head in KINDS:
        mistakes.append(
            ConfigError(
                f"${variable}",
                "a provider's setting has three parts; a list or a table is given as JSON",
                f"{_PREFIX}{head.upper()}__NAME__KEY",
            )
        )
    else:
        known = [*SECTIONS, *KINDS]
        mistakes.append(
            ConfigError(
                f"${variable}",
                f'there is no table "{head}"{did_you_mean(head, known)}',
                "the tables are: " + ", ".join(known),
            )
        )


_HEADER = re.compile(r"\s*\[\s*([A-Za-z0-9_.-]+)\s*\]")
_KEY = re.compile(r"\s*([A-Za-z0-9_.-]+)\s*=")


def _lines(text: str) -> dict[str, int]:
    """The line on which each bare key and table stands; what it cannot tell is left out."""
    found: dict[str, int] = {}
    table = ""
    quote = ""
    for number, line in enumerate(text.splitlines(), 1):
        if not quote:
            if header := _HEADER.match(line):
                table = header[1]
                found.setdefault(table, number)
            elif key := _KEY.match(line):
                found.setdefault(f"{table}.{key[1]}" if table else key[1], number)
        for mark in re.findall(r'"""|\'\'\'', line):
            quote = "" if quote == mark else quote or mark
    return found
