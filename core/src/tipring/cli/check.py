"""``tipring check``: what would answer a call, and what is in the way."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import click

from tipring.cli import configured
from tipring.config import Config, Mistakes
from tipring.errors import ConfigError
from tipring.plugins import Plugins
from tipring.providers import KINDS
from tipring.selection import Part, Problem, Selection, rehearse, select
from tipring.settings import mask, secrets_of
from tipring.timebox import Late, awithin

_ONLINE_SECS = 20.0


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a check found.

    Attributes:
        selection: What answers calls, or None when nothing can.
        problems: What is in the way.
        code: The exit code: 0 fine, 1 degraded, 2 nothing can answer.
    """

    selection: Selection | None = None
    problems: tuple[Problem, ...] = field(default=())
    code: int = 0


@click.command()
@click.option("--online", is_flag=True, help="Also ask the services whether they would work.")
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
@click.pass_context
def command(ctx: click.Context, online: bool, as_json: bool) -> None:
    """Say what would answer a call, and what is in the way, with its fix.

    Everything in use is built once, as at the start of the host. No call is made.
    """
    from tipring.cli.logs import attend

    attend(os.environ)
    config: Config | None = None
    try:
        config = configured(ctx)
        with contextlib.redirect_stdout(sys.stderr):  # whatever a plugin prints is no result
            report = asyncio.run(_check(config, online))
    except ConfigError as error:
        errors = error.errors if isinstance(error, Mistakes) else (error,)
        told = tuple(Problem(where=one.where, what=one.what, fix=one.fix) for one in errors)
        report = Report(problems=told, code=2)
    click.echo(_as_json(report) if as_json else "\n".join(_lines(config, report)))
    ctx.exit(report.code)


async def _check(config: Config, online: bool) -> Report:
    selection = await rehearse(select(config, Plugins.discover()))
    problems = selection.problems
    if online:
        for part in selection.parts:
            problems += await _ask(part)
        selection, unspoken = await _spoken(selection)
        # A voice that was told of is told of once.
        known = {one.where for one in problems}
        problems += tuple(one for one in unspoken if one.where not in known)
    return Report(selection=selection, problems=problems, code=1 if problems else 0)


async def _spoken(selection: Selection) -> tuple[Selection, tuple[Problem, ...]]:
    """Have the goodbye rendered, as the host does at its start: who cannot is not used first."""
    from tipring.providers import Call
    from tipring.speech.phrases import first_voice

    agent = selection.config.agent
    call = Call(id="rehearsal", language=agent.language)
    voices, _, failed = await first_voice(selection.tts, call=call, text=agent.goodbye)
    told = tuple(map(Problem.of, failed))
    return replace(selection, tts=voices), told


async def _ask(part: Part) -> tuple[Problem, ...]:
    """Ask the real service whether these settings would work."""
    online = part.provider.online
    if online is None:
        return ()
    outcome = await awithin(_ONLINE_SECS, lambda: online(part.settings))
    if isinstance(outcome.error, Late):
        told = [f"the service did not answer in {_ONLINE_SECS:g} s; look at the network"]
    elif outcome.error is not None:
        error = part.failed(outcome.error)
        return (
            Problem(
                where=error.where,
                what=error.what.replace("build", "online check", 1),
                fix=error.fix,
            ),
        )
    else:
        told = list(outcome.value or [])
    return tuple(_online_problem(part, mask(text, secrets_of(part.settings))) for text in told)


def _online_problem(part: Part, text: str) -> Problem:
    """Part what is wrong from its mend, which comes last: behind ``;``, a full stop or a colon."""
    text = " ".join(text.replace("\n", "; ").split()).rstrip(".")
    for mark in ("; ", ". ", ": "):
        what, found, fix = text.rpartition(mark)
        if found:
            fix = fix.removeprefix("fix:").strip()
            if fix[1:2].islower():  # as everywhere else, whether it stood in a sentence of its own
                fix = fix[0].lower() + fix[1:]
            return Problem(where=part.where, what=what, fix=fix)
    fix = f"tipring plugins show {part.kind}.{part.provider.name}"
    return Problem(where=part.where, what=text, fix=fix)


def _lines(config: Config | None, report: Report) -> Iterator[str]:
    selection = report.selection
    told: set[int] = set()
    for kind in KINDS if selection and config else ():
        assert selection is not None and config is not None
        parts = {part.name: part for part in getattr(selection, kind)}
        first = next(iter(parts), "")
        names = list(dict.fromkeys([*config.names(kind), *parts]))
        for at, name in enumerate(names):
            fails = [n for n, p in enumerate(report.problems) if p.where == f"{kind}.{name}"]
            for number in fails:
                told.add(number)
                yield _fail(f"{kind:<4}  {name}", report.problems[number])
            if name in parts and not fails:
                remark = _remark(selection, kind, first=name == first, only=at == 0)
                yield f"{click.style('ok', fg='green')}    {kind:<4}  {name}{remark}"
    for number, problem in enumerate(report.problems):
        if number not in told:
            yield _fail(problem.where, problem)
    for note in selection.notes if selection else ():
        yield f"note  {note}"
    count = len(report.problems)
    summary = "no problems" if not count else f"{count} problem{'s' if count > 1 else ''}"
    if selection is None:
        yield f"{summary}; no call can be answered"
    else:
        yield f"{summary}; calls will be answered with: {selection}"


def _remark(selection: Selection, kind: str, *, first: bool, only: bool) -> str:
    if kind == "llm":
        return ""
    if kind == "stt" and selection.transcribes:
        return " (not used)"
    if not first:
        return " (fallback)"
    return "" if only else " (will be used)"


def _fail(where: str, problem: Problem) -> str:
    fix = f"\n      fix:  {problem.fix}" if problem.fix else ""
    return f"{click.style('FAIL', fg='red')}  {where}: {problem.what}{fix}"


def _as_json(report: Report) -> str:
    selection = report.selection
    told: dict[str, Any] = {
        "exit": report.code,
        "answers": str(selection) if selection else None,
        "parts": [
            {"kind": part.kind, "name": part.name, "plugin": part.provider.name, "from": part.dist}
            for part in (selection.parts if selection else ())
        ],
        "observers": list(selection.observers) if selection else [],
        "problems": [asdict(problem) for problem in report.problems],
        "notes": list(selection.notes) if selection else [],
    }
    return json.dumps(told, indent=2)
