"""What stands in ``tipring.toml`` and in the environment, before it is asked what it means.

Reading takes the standard library only, so that a command that just wants the names in use need
not wait for the classes that check every value.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tipring.errors import ConfigError, did_you_mean

KINDS = ("stt", "turn", "llm", "tts")
"""The four kinds of provider, in the order in which a call meets them."""

TABLES = ("use", "agent", "ladder", "turns", "limits", "server", "twilio", "record")
"""The host's own tables, each a class in :mod:`tipring.sections`."""

USE: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "stt": ("moonshine",),
        "turn": ("smart",),
        "llm": ("receptionist",),
        "tts": ("hibari",),
        "observers": (),
    }
)
"""Which providers are used when nothing is written."""

NAME = re.compile(r"[a-z][a-z0-9_]*")
"""What a provider may be called."""

_PREFIX = "TIPRING_"
_SHORT = {"STT": "stt", "TURN": "turn", "LLM": "llm", "TTS": "tts", "OBSERVERS": "observers"}
_SWITCHES = ("CONFIG", "STRICT", "TRACE_PLUGINS", "LOG", "CONTROL_TOKEN")


@dataclass(frozen=True, kw_only=True)
class Value:
    """A value and where it came from.

    Attributes:
        value: The value; a secret is a ``SecretStr`` and prints as stars.
        source: ``tipring.toml line 12``, ``$TIPRING_TURN`` or ``default``.
    """

    value: Any
    source: str


Layers = dict[str, dict[str, Value]]
"""Every value by table, ``use`` or ``turn.smart``, and key."""


@dataclass(frozen=True, kw_only=True)
class Written:
    """What was written, the environment laid over the file.

    Attributes:
        path: The file that was read, or None when there was none.
        layers: The values.
        mistakes: What could not be read as a value.
    """

    path: Path | None
    layers: Layers
    mistakes: tuple[ConfigError, ...]

    def names(self) -> Mapping[str, tuple[str, ...]] | None:
        """The names in use by key of ``[use]``; None when something is wrong with them."""
        names = dict(USE)
        for key, value in self.layers.get("use", {}).items():
            held = value.value
            if isinstance(held, str) and not held.strip().startswith(("[", "{")):
                held = [part.strip() for part in held.split(",") if part.strip()]
            if not isinstance(held, list) or key not in names or not (held or key == "observers"):
                return None
            fine = [name for name in held if isinstance(name, str) and NAME.fullmatch(name)]
            if len(set(fine)) < len(held):
                return None
            names[key] = tuple(fine)
        return None if self.mistakes else names

    def plugin(self, kind: str, name: str) -> str:
        """The plugin behind a name in use: its own, unless the table names another."""
        alias = self.layers.get(f"{kind}.{name}", {}).get("plugin")
        return str(alias.value) if alias else name


def read(path: Path | None = None, environ: Mapping[str, str] | None = None) -> Written:
    """Read the file and the environment.

    Args:
        path: The file. Without it ``TIPRING_CONFIG`` names it; without that it is
            ``tipring.toml`` in the working directory, if there is one.
        environ: The environment; without it, the process's.

    Raises:
        ConfigError: The file cannot be read at all.
    """
    env = os.environ if environ is None else environ
    where = _find(path, env)
    mistakes: list[ConfigError] = []
    layers: Layers = {}
    if where is not None:
        _read_file(where, layers, mistakes)
    _read_environ(env, layers, mistakes)
    return Written(path=where, layers=layers, mistakes=tuple(mistakes))


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


def _read_file(path: Path, layers: Layers, mistakes: list[ConfigError]) -> None:
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
        if table in TABLES and isinstance(content, dict):
            for key, value in content.items():
                _put(layers, table, key, value, source(f"{table}.{key}"))
        elif table in KINDS and isinstance(content, dict):
            for name, inner in content.items():
                at = source(f"{table}.{name}")
                if not isinstance(inner, dict):
                    mistakes.append(_not_a_provider(at, table, name))
                elif not NAME.fullmatch(name):
                    mistakes.append(bad_name(f"{at}, [{table}.{name}]", name))
                else:
                    layers.setdefault(f"{table}.{name}", {})
                    for key, value in inner.items():
                        _put(layers, f"{table}.{name}", key, value, source(f"{table}.{name}.{key}"))
        else:
            mistakes.append(_no_such_table(source(table), table, content))


def _put(layers: Layers, table: str, key: str, value: Any, source: str) -> None:
    layers.setdefault(table, {})[key] = Value(value=value, source=source)


def _no_such_table(where: str, table: str, content: Any) -> ConfigError:
    known = [*TABLES, *KINDS]
    if not isinstance(content, dict) and table in known:
        example = f"[{table}]" if table in TABLES else f"[{table}.NAME]"
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
    from tipring.sections import Turns  # only for who made the mistake

    if kind == "turn" and key in Turns.model_fields:
        fix = f"{key} is a rule of the host's: write it under [turns]"
    else:
        fix = f"write it under [{kind}.NAME], NAME being a provider in use"
    return ConfigError(f"{where}, [{kind}] {key}", f"[{kind}] holds one table a provider", fix)


def bad_name(where: str, name: str) -> ConfigError:
    """Say that a name cannot be one."""
    return ConfigError(
        where,
        f'"{name}" cannot be a name',
        "a name is lower case letters, digits and underscores, and starts with a letter",
    )


def _read_environ(environ: Mapping[str, str], layers: Layers, mistakes: list[ConfigError]) -> None:
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
    variable: str, rest: str, value: str, layers: Layers, mistakes: list[ConfigError]
) -> None:
    head, *tail = rest.lower().split("__")
    if head in TABLES and len(tail) == 1:
        _put(layers, head, tail[0], value, f"${variable}")
    elif head in KINDS and len(tail) == 2 and NAME.fullmatch(tail[0]):
        _put(layers, f"{head}.{tail[0]}", tail[1], value, f"${variable}")
    elif head in TABLES:
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
        known = [*TABLES, *KINDS]
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
