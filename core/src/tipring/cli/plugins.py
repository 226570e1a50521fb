"""``tipring plugins``: what is installed and what is in use."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tipring.cli import configured
from tipring.cli.table import columns
from tipring.config import Config
from tipring.discovery import GROUPS, Found
from tipring.errors import ConfigError, PluginError
from tipring.plugins import Plugins
from tipring.providers import KINDS, Llm, Provider, Turn
from tipring.settings import Setting, describe

if TYPE_CHECKING:
    from tipring.testing import Finding, PluginContract


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


@command.command()
@click.argument("kind", type=click.Choice(GROUPS))
@click.argument("name")
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="Where its folder is made; without it, here.",
)
def new(kind: str, name: str, folder: Path) -> None:
    """Write a plugin to begin with, as a whole distribution that works."""
    from tipring.template import write

    written = write(kind, name, folder)
    root = folder / written[0].relative_to(folder).parts[0]
    for path in written:
        click.echo(path)
    click.echo(f"next: cd {root} && pip install -e . pytest && pytest")


@command.command()
@click.argument("which", metavar="KIND.NAME|DISTRIBUTION")
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
@click.pass_context
def test(ctx: click.Context, which: str, as_json: bool) -> None:
    """Hold an installed plugin, or all of a distribution, to its contract.

    Its settings are those of the configuration; a secret that is not set is made up.
    """
    from tipring.cli.logs import attend
    from tipring.testing import examine

    config = configured(ctx)
    attend(os.environ)
    told: list[dict[str, Any]] = []
    states: list[str] = []
    for one in _meant(Plugins.discover(), which):
        if not as_json:
            click.echo(f"{one.where}   {one.source}")
        for finding in examine(_contract(config, one)):
            states.append(finding.state)
            told.append({"plugin": one.where} | asdict(finding))
            if not as_json:
                _tell_finding(finding)
    if as_json:
        click.echo(json.dumps(told, indent=2))
    else:
        count = [f"{states.count(state)} {state}" for state in ("kept", "broken", "skipped")]
        click.echo(f"{len(states)} rules: " + ", ".join(count))
    sys.exit(1 if "broken" in states else 0)


def _tell_finding(finding: Finding) -> None:
    word = {"kept": "ok", "broken": "FAIL", "skipped": "skip"}[finding.state]
    click.echo(f"  {word:4}  {finding.rule}" + (f": {finding.what}" if finding.what else ""))
    if finding.fix:
        click.echo(f"        fix:  {finding.fix}")


def _meant(plugins: Plugins, which: str) -> list[Found]:
    """The plugin of that name, or all of that distribution."""
    kind, dot, name = which.partition(".")
    if dot and kind in GROUPS:
        return [plugins.find(kind, name)]
    every = [one for kind in GROUPS for one in plugins.found(kind)]
    if of := [one for one in every if one.dist == which]:
        return of
    raise ConfigError(
        which,
        "there is no plugin and no distribution of this name",
        "tipring plugins lists what is installed; name it KIND.NAME, as in turn.smart",
    )


def _contract(config: Config, one: Found) -> type[PluginContract]:
    """The contract of its kind, with the settings of the configuration."""
    from tipring import testing

    bases: dict[str, type[PluginContract]] = {
        "stt": testing.SttContract,
        "turn": testing.TurnContract,
        "llm": testing.LlmContract,
        "tts": testing.TtsContract,
        "observer": testing.ObserverContract,
    }
    values: dict[str, Any] = {"plugin": one.where, "language": config.agent.language}
    if one.kind != "observer":
        table = config.table(one.kind, one.name)
        values["settings"] = {k: v.value for k, v in table.items() if k != "plugin"}
        values["secrets"] = dict(config.environ)
    return type("Contract", (bases[one.kind],), values)


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
