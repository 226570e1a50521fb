"""``tipring call``: an emulated telephone calls the host."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tipring.errors import ConfigError, TipringError
from tipring.journal import Event

if TYPE_CHECKING:
    from tipring.cli.show import Show
    from tipring.testing import CallerTurn, Clip, Phone, Script

# Lower and a little slower than the agent, so that the two are told apart in the recording.
_CALLER_PITCH = 0.93


@click.command()
@click.option("--wav", type=click.Path(path_type=Path, exists=True, dir_okay=False), multiple=True,
              help="A recording to say; again for the next turn of the same call.")  # fmt: skip
@click.option("--say", multiple=True, help="A text to say; again for the next turn.")
@click.option("--script", type=click.Path(path_type=Path, exists=True, dir_okay=False),
              help="A caller's script; docs/emulated-phone.md has its lines.")  # fmt: skip
@click.option("--scenario", multiple=True, is_flag=False, flag_value="", metavar="[NAME]",
              help="A shipped script, drawn as a timeline; again for another call, `all` for"
              " every one. Without a name: lists them.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path, file_okay=False),
              help="Where the call leaves its record.")  # fmt: skip
@click.option("--url", help="A host that is running; without it one is started for the call.")
@click.option("--calls", type=click.IntRange(1, 200), default=1, help="So many calls at once.")
@click.option("--json", "as_json", is_flag=True, help="Print what happened as JSON, at the end.")
@click.pass_context
def command(
    ctx: click.Context,
    wav: Sequence[Path],
    say: Sequence[str],
    script: Path | None,
    scenario: Sequence[str],
    out: Path | None,
    url: str | None,
    calls: int,
    as_json: bool,
) -> None:
    """Hold a call with the emulated phone.

    Without --wav, --say, --script or --scenario the caller books an appointment. Exit code 0: every
    turn was answered, none was cut into, the phone had nothing to complain of, and what the script
    expects did hold.
    """
    from tipring.cli.logs import attend
    from tipring.cli.show import Show, Silent

    attend(os.environ)
    if url and out:
        raise click.UsageError("--out is the host's: give it to tipring serve")
    if (bool(wav) + bool(say) + bool(scenario) + (script is not None)) > 1:
        raise click.UsageError("give one of --wav, --say, --script and --scenario")
    if "" in scenario:
        _list()
        return
    scripts = _scenarios(scenario) if scenario else [_script(wav, say, script)] * calls
    show = Silent() if as_json else Show(len(scripts), draw=bool(scenario))
    try:
        ok = asyncio.run(
            _hold(scripts, config=ctx.find_object(Path), out=out, url=url, calls=calls, show=show)
        )
    except KeyboardInterrupt:
        ok = False
    if not ok:
        ctx.exit(1)


def _list() -> None:
    from tipring.testing import scenarios

    names = scenarios.names()
    wide = max(map(len, names))
    for name in names:
        print(f"{name:{wide}}  {scenarios.scenario(name).summary}")


def _scenarios(names: Sequence[str]) -> list[Script]:
    from tipring.testing import ScriptError, scenarios

    try:
        return [
            scenarios.scenario(one)
            for name in names
            for one in (scenarios.names() if name == "all" else [name])
        ]
    except ScriptError:
        _list()
        print()
        raise


def _script(wav: Sequence[Path], say: Sequence[str], path: Path | None) -> Script:
    from tipring.testing import Script, scenarios

    if path is not None:
        return Script.load(path)
    said = [f'"{text}"' for text in say] or [str(file.resolve()) for file in wav]
    if said:
        lines = ["wait", *(line for one in said for line in (f"say {one}", "wait"))]
        return Script.parse("\n".join(lines), name="the command line")
    return scenarios.scenario("booking")


async def _hold(
    scripts: Sequence[Script],
    *,
    config: Path | None,
    out: Path | None,
    url: str | None,
    calls: int,
    show: Show,
) -> bool:
    from tipring.cli.show import Held
    from tipring.testing.hosted import hosted

    scripts = await asyncio.to_thread(_rendered, scripts)
    ours = url is None
    events: dict[str, list[Event]] = {}

    def told(event: Mapping[str, Any]) -> None:
        detail = {key: value for key, value in event.items() if key not in ("call", "at", "event")}
        noted = Event(at=event["at"], name=event["event"], detail=detail)
        events.setdefault(event["call"], []).append(noted)
        show.event(event)

    async with contextlib.AsyncExitStack() as stack:
        token, control = os.environ.get("TWILIO_AUTH_TOKEN", ""), None
        if url is None:
            environ = {"TIPRING_LIMITS__MAX_CALLS": str(len(scripts))} if len(scripts) > 1 else {}
            arguments = ["--out", str(out)] if out else []
            show.starting()
            host = await stack.enter_async_context(
                hosted(config=config, environ=environ, arguments=arguments, on_event=told)
            )
            url, token, control = host.url, host.auth_token, host.control_url
        at_once = asyncio.Semaphore(calls)
        held = await asyncio.gather(*(_one(script, url, token, at_once) for script in scripts))
        if control:
            show.figures(len(scripts), await _stats(control))
    # The host has stopped: all that it noted has come.
    return show.summary(
        [
            Held.judged(script, turns, wrong, phone, _of(phone, events) if ours else None)
            for script, (turns, wrong, phone) in zip(scripts, held, strict=True)
        ]
    )


def _rendered(scripts: Sequence[Script]) -> list[Script]:
    """With the sound of every line; a text that several of them say is rendered once."""
    known: dict[str, Clip] = {}
    speak = _voice()

    def voice(text: str) -> Clip:
        if text not in known:
            known[text] = speak(text)
        return known[text]

    return [script.render(voice) for script in scripts]


def _of(phone: Phone | None, events: Mapping[str, Sequence[Event]]) -> Sequence[Event]:
    return () if phone is None else events.get(phone.call_sid, ())


async def _one(
    script: Script, url: str, token: str, at_once: asyncio.Semaphore
) -> tuple[list[CallerTurn], list[str], Phone | None]:
    """Hold one call: its turns, what was wrong with it, and the phone."""
    from tipring.testing import CallFailed, run

    wrong: list[str] = []
    turns: list[CallerTurn] = []

    try:
        async with at_once, _dialled(url, token) as phone:
            await run(phone, script, on_turn=turns.append)
    except (CallFailed, OSError) as error:
        return turns, [str(error)], None
    except TipringError as error:
        wrong.append(str(error))
    wrong += [f"the phone complains ({one.code}): {one.what}" for one in phone.errors]
    for turn in turns:
        if turn.cut_ins:
            wrong.append(f"turn {turn.number} was cut into")
        if turn.kind == "over" and turn.cleared is not None:
            wrong.append(f"turn {turn.number} was meant to pass, and stopped the agent")
        if turn.kind != "over" and turn.answer is None and turn is not turns[-1]:
            wrong.append(f"turn {turn.number} was not answered")
    return turns, wrong, phone


@contextlib.asynccontextmanager
async def _dialled(url: str, token: str) -> AsyncIterator[Phone]:
    from tipring.testing import Phone

    async with await Phone.dial(url, auth_token=token) as phone:
        yield phone


def _voice() -> Any:
    """The caller's voice: that of a speech plugin that needs no key."""
    from tipring.plugins import Plugins
    from tipring.providers import Call

    call = Call(id="rehearsal")

    def speak(text: str) -> Clip:
        import numpy as np
        import soxr  # type: ignore[import-untyped, unused-ignore]

        from tipring.testing import Clip

        try:
            provider: Any = Plugins.discover().load("tts", "hibari")
        except ConfigError:
            raise ConfigError(
                "tipring call",
                "the caller has no voice: the plugin hibari is not installed",
                "pip install tipring-tts-hibari, or say recordings with --wav",
            ) from None
        pcm = provider.render(provider.settings(), call, text)
        samples = np.frombuffer(pcm, dtype=np.int16)
        lower = soxr.resample(samples, call.audio_out_rate * _CALLER_PITCH, call.audio_out_rate)
        return Clip.from_samples(lower, call.audio_out_rate, text=text)

    return speak


async def _stats(control: str) -> Mapping[str, Any]:
    import httpx

    headers = {}
    if token := os.environ.get("TIPRING_CONTROL_TOKEN"):
        headers["authorization"] = f"Bearer {token}"
    async with httpx.AsyncClient(timeout=5.0) as client:
        figures: Mapping[str, Any] = (await client.get(f"{control}/stats", headers=headers)).json()
        return figures
