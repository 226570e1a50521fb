"""``tipring config``: every value and where it comes from."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import click
from pydantic import SecretStr

from tipring.cli import configured
from tipring.cli.table import columns
from tipring.config import SECTIONS, Config, Value
from tipring.errors import PluginError
from tipring.plugins import Plugins
from tipring.providers import KINDS, Settings
from tipring.settings import secret_env, settle, toml

_PRIVATE = {"key", "token", "secret", "password", "passphrase", "credential", "credentials", "auth"}
_STARS = "********"


@click.command()
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """Show every value and where it comes from. Secrets are stars."""
    from tipring.cli.logs import attend

    config = configured(ctx)
    attend(os.environ)
    with contextlib.redirect_stdout(sys.stderr):  # whatever a plugin prints is no result
        values = [*_host(config), *_providers(config, Plugins.discover())]
    if as_json:
        shown = {name: {"value": one.value, "source": one.source} for name, one in values}
        click.echo(json.dumps(shown, indent=2, default=str))
        return
    file = f"{config.path}" if config.path else "no file; defaults and environment only"
    click.echo(file)
    click.echo(columns([(name, one.source, _shown(one)) for name, one in values]))


def _host(config: Config) -> Iterator[tuple[str, Value]]:
    for name, value in config.values():
        section, _, key = name.partition(".")
        yield name, _veiled(SECTIONS[section], key, value)


def _providers(config: Config, plugins: Plugins) -> Iterator[tuple[str, Value]]:
    """The settings of everything in use, and what was written for the rest."""
    done = set()
    for kind in KINDS:
        for name in config.names(kind):
            done.add(f"{kind}.{name}")
            table = dict(config.table(kind, name))
            alias = table.pop("plugin", None)
            if alias:
                yield f"{kind}.{name}.plugin", alias
            try:
                provider = plugins.load(kind, str(alias.value) if alias else name)
                settings = settle(provider.settings, table, config.environ, f"{kind}.{name}")
            except PluginError as error:
                click.echo(f"{error}", err=True)
                yield from _written(f"{kind}.{name}", table)
                continue
            for key in provider.settings.model_fields:
                source = table[key].source if key in table else "default"
                value = Value(value=getattr(settings, key), source=source)
                yield f"{kind}.{name}.{key}", _veiled(provider.settings, key, value)
    for where, written in config.tables.items():
        if where not in done:
            for name, value in _written(where, written):
                yield name, Value(value=value.value, source=f"{value.source}, not in use")


def _veiled(settings: type[Settings], key: str, value: Value) -> Value:
    env = secret_env(settings.model_fields[key])
    if not env:
        held = _STARS if isinstance(value.value, SecretStr) else value.value
        return Value(value=held, source=value.source)
    if value.value is None:
        return Value(value=None, source=f"${env} is not set")
    return Value(value=_STARS, source=f"${env}")


def _written(where: str, table: Mapping[str, Value]) -> Iterator[tuple[str, Value]]:
    """Values whose plugin is not known here: what is called like a secret is taken for one."""
    for key, value in table.items():
        private = _PRIVATE & set(key.lower().replace("-", "_").split("_"))
        held: Any = _STARS if private else value.value
        yield f"{where}.{key}", Value(value=held, source=value.source)


def _shown(value: Value) -> str:
    return "(none)" if value.value is None else toml(value.value)
