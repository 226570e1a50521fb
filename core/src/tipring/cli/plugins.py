"""``tipring plugins``: what is installed and what is in use."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import Any

import click

from tipring.cli import configured
from tipring.cli.table import columns
from tipring.config import Config
from tipring.discovery import GROUPS, Found
from tipring.errors import ConfigError, PluginError
from tipring.plugins import Plugins
from tipring.providers import KINDS, Llm, Provider, Turn
from tipring.settings import Setting, describe


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """Show what is installed and what is in use. Imports none of it."""
    if ctx.invoked_subcommand is not None:
        return
    config = configured(ctx)
    plugins = Plugins.discover()
    rows = [_row(config, plugins, one) for kind in GROUPS for one in plugins.found(kind)]
    rows += _missing(config, plugins)
    rows.sort(key=lambda row: GROUPS.index(row["kind"]))
    if as_json:
        problems = [_problem(error) for error in plugins.problems]
        click.echo(json.dumps({"plugins": rows, "problems": problems}, indent=2))
        return
    lines = [("KIND", "NAME", "FROM", "IN USE")]
    shown = ""
    for row in rows:
        source = f"{row['dist']} {row['version']}" if row["dist"] else "not installed"
        lines.append(("" if row["kind"] == shown else row["kind"], row["name"], source, row["use"]))
        shown = row["kind"]
    click.echo(columns(lines))
    told = [row["problem"] for row in rows if row["problem"]]
    told += [_problem(error) for error in plugins.problems]
    for problem in told:
        click.echo(f"FAIL  {problem['where']}: {problem['what']}\n      fix:  {problem['fix']}")


@command.command()
@click.argument("which", metavar="KIND.NAME")
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
@click.pass_context
def show(ctx: click.Context, which: str, as_json: bool) -> None:
    """Show the settings of one plugin, for example turn.smart. Imports that one."""
    from tipring.cli.logs import attend

    kind, _, name = which.partition(".")
    if kind not in KINDS or not name:
        raise click.UsageError(
            f'"{which}" is not KIND.NAME: the kinds are {", ".join(KINDS)}, as in turn.smart'
        )
    config = configured(ctx)
    attend(os.environ)
    plugins = Plugins.discover()
    name = str(config.provider(kind, name).get("plugin", name))
    found = plugins.find(kind, name)
    provider = plugins.load(kind, name)
    cost = plugins.cost(kind, name) or 0.0
    settings = describe(provider.settings)
    if as_json:
        told: dict[str, Any] = {"kind": kind, "name": name, "dist": found.dist}
        told |= {"version": found.version, "module": found.module, "summary": provider.summary}
        told |= {"remarks": _remarks(provider), "import_ms": round(cost * 1000, 1)}
        told["settings"] = [
            asdict(one) | ({"set": _is_set(config, one)} if one.secret_env else {})
            for one in settings
        ]
        click.echo(json.dumps(told, indent=2))
        return
    remarks = "".join(f"   {remark}" for remark in _remarks(provider))
    click.echo(f"{kind}.{name}   {found.source}{remarks}   imported in {cost * 1000:.0f} ms")
    if provider.summary:
        click.echo(f"  {provider.summary}")
    if not settings:
        click.echo("  nothing to set")
    rows = [("  " + one.name, *_facts(config, one), one.description) for one in settings]
    if rows:
        click.echo(columns(rows))


def _facts(config: Config, one: Setting) -> tuple[str, str]:
    if one.secret_env:
        state = "set" if _is_set(config, one) else "not set"
        return "secret" + ("" if one.required else ", optional"), f"${one.secret_env} ({state})"
    kind = f"{one.type} {one.range}".rstrip()
    return kind, "required" if one.required else f"= {one.default}" if one.default else "unset"


def _is_set(config: Config, one: Setting) -> bool:
    return bool(config.environ.get(one.secret_env))


def _remarks(provider: Provider[Any]) -> list[str]:
    remarks = []
    if isinstance(provider, Turn) and provider.transcribes:
        remarks.append("replaces stt")
    if isinstance(provider, Llm) and provider.label:
        remarks.append(provider.label)
    return remarks


def _row(config: Config, plugins: Plugins, one: Found) -> dict[str, Any]:
    obstacle = plugins.obstacle(one)
    return {
        "kind": one.kind,
        "name": one.name,
        "dist": one.dist,
        "version": one.version,
        "module": one.module,
        "use": _use(config, one.kind, one.name) + (", broken" if obstacle else ""),
        "problem": _problem(obstacle) if obstacle else None,
    }


def _use(config: Config, kind: str, plugin: str) -> str:
    """How a plugin is used: as what, or as whose fallback."""
    if kind == "observer":
        return "yes" if plugin in config.use.observers else "no"
    uses = []
    for at, name in enumerate(config.names(kind)):
        if config.provider(kind, name).get("plugin", name) == plugin:
            how = f"rung {at + 1}" if kind == "llm" else "fallback" if at else "yes"
            uses.append(how if name == plugin else f"{how} as {name}")
    return ", ".join(uses) or ("last resort" if (kind, plugin) == ("turn", "vad") else "no")


def _missing(config: Config, plugins: Plugins) -> list[dict[str, Any]]:
    """What is in use and not installed."""
    rows = []
    for kind in GROUPS:
        names = config.use.observers if kind == "observer" else config.names(kind)
        for name in names:
            plugin = str(config.provider(kind, name).get("plugin", name))
            try:
                plugins.find(kind, plugin)
            except ConfigError as error:
                row = {"kind": kind, "name": plugin, "dist": "", "version": "", "module": ""}
                use = _use(config, kind, plugin)
                rows.append(row | {"use": use, "problem": _problem(error)})
            except PluginError:
                continue  # two of one name: told beside each of them
    return rows


def _problem(error: ConfigError | PluginError) -> dict[str, str]:
    return {"where": error.where, "what": error.what, "fix": error.fix}
