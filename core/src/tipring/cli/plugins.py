"""``tipring plugins``: what is installed and what is in use.

The list is what people wait for, so it loads next to nothing; each subcommand imports its own.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tipring.cli import configured
from tipring.cli.table import columns
from tipring.discovery import GROUPS, Found, Installed
from tipring.errors import ConfigError, PluginError
from tipring.written import KINDS, Written, read

if TYPE_CHECKING:
    from tipring.config import Config
    from tipring.providers import Provider
    from tipring.settings import Setting
    from tipring.testing import Finding, PluginContract


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """Show what is installed and what is in use. Imports none of it."""
    if ctx.invoked_subcommand is not None:
        return
    path = ctx.find_object(Path)
    written = read(path)
    names = written.names()
    if names is None:
        configured(ctx)  # tells what is wrong with it
        names = written.names() or {}
    installed = Installed.look()
    uses = _uses(written, names)
    rows = [_row(uses, installed, one) for kind in GROUPS for one in installed.found(kind)]
    rows += _missing(uses, installed)
    rows.sort(key=lambda row: GROUPS.index(row["kind"]))
    if as_json:
        problems = [_problem(error) for error in installed.problems]
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
    told += [_problem(error) for error in installed.problems]
    for problem in told:
        click.echo(f"FAIL  {problem['where']}: {problem['what']}\n      fix:  {problem['fix']}")


@command.command()
@click.argument("which", metavar="KIND.NAME")
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
@click.pass_context
def show(ctx: click.Context, which: str, as_json: bool) -> None:
    """Show the settings of one plugin, for example turn.smart. Imports that one."""
    from tipring.cli.logs import attend
    from tipring.plugins import Plugins
    from tipring.settings import describe

    kind, _, name = which.partition(".")
    if kind not in GROUPS or not name:
        raise click.UsageError(
            f'"{which}" is not KIND.NAME: the kinds are {", ".join(GROUPS)}, as in turn.smart'
        )
    config = configured(ctx)
    attend(os.environ)
    plugins = Plugins.discover()
    settings: tuple[Setting, ...] = ()
    summary, remarks = "", []
    if kind == "observer":
        plugins.watch(name)  # it declares nothing: it is asked once a call
    else:
        name = str(config.provider(kind, name).get("plugin", name))
        provider = plugins.load(kind, name)
        settings = describe(provider.settings)
        summary, remarks = provider.summary, _remarks(provider)
    found = plugins.find(kind, name)
    cost = plugins.cost(kind, name) or 0.0
    if as_json:
        told: dict[str, Any] = {"kind": kind, "name": name, "dist": found.dist}
        told |= {"version": found.version, "module": found.module, "summary": summary}
        told |= {"remarks": remarks, "import_ms": round(cost * 1000, 1)}
        told["settings"] = [
            asdict(one) | ({"set": _is_set(config, one)} if one.secret_env else {})
            for one in settings
        ]
        click.echo(json.dumps(told, indent=2))
        return
    header = [f"{kind}.{name}", found.source, *remarks, f"imported in {cost * 1000:.0f} ms"]
    click.echo("   ".join(header))
    if summary:
        click.echo(f"  {summary}")
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
    for one in _meant(Installed.look(), which):
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


def _meant(installed: Installed, which: str) -> list[Found]:
    """The plugin of that name, or all of that distribution."""
    kind, dot, name = which.partition(".")
    if dot and kind in GROUPS:
        return [installed.find(kind, name)]
    every = [one for kind in GROUPS for one in installed.found(kind)]
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
    from tipring.providers import Llm, Turn

    remarks = []
    if isinstance(provider, Turn) and provider.transcribes:
        remarks.append("replaces stt")
    if isinstance(provider, Llm) and provider.label:
        remarks.append(provider.label)
    return remarks


def _uses(
    written: Written, names: Mapping[str, tuple[str, ...]]
) -> dict[tuple[str, str], list[str]]:
    """How each plugin in use is used, by kind and name: as what, or as whose fallback."""
    uses: dict[tuple[str, str], list[str]] = {}
    for kind in KINDS:
        for at, name in enumerate(names[kind]):
            plugin = written.plugin(kind, name)
            how = f"rung {at + 1}" if kind == "llm" else "fallback" if at else "yes"
            use = how if name == plugin else f"{how} as {name}"
            uses.setdefault((kind, plugin), []).append(use)
    return uses | {("observer", name): ["yes"] for name in names["observers"]}


def _row(
    uses: Mapping[tuple[str, str], list[str]], installed: Installed, one: Found
) -> dict[str, Any]:
    obstacle = installed.obstacle(one)
    last = "last resort" if (one.kind, one.name) == ("turn", "vad") else "no"
    use = ", ".join(uses.get((one.kind, one.name), [last]))
    return {
        "kind": one.kind,
        "name": one.name,
        "dist": one.dist,
        "version": one.version,
        "module": one.module,
        "use": use + (", broken" if obstacle else ""),
        "problem": _problem(obstacle) if obstacle else None,
    }


def _missing(
    uses: Mapping[tuple[str, str], list[str]], installed: Installed
) -> list[dict[str, Any]]:
    """What is in use and not installed."""
    rows = []
    for (kind, plugin), use in uses.items():
        try:
            installed.find(kind, plugin)
        except ConfigError as error:
            row = {"kind": kind, "name": plugin, "dist": "", "version": "", "module": ""}
            rows.append(row | {"use": ", ".join(use), "problem": _problem(error)})
        except PluginError:
            continue  # two of one name: told beside each of them
    return rows


def _problem(error: ConfigError | PluginError) -> dict[str, str]:
    return {"where": error.where, "what": error.what, "fix": error.fix}
