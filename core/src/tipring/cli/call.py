"""``tipring call``: an emulated telephone calls the host."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tipring.errors import ConfigError, TipringError

if TYPE_CHECKING:
    from tipring.testing import CallerTurn, Clip, Phone, Script

# Lower and a little slower than the agent, so that the two are told apart in the recording.
_CALLER_PITCH = 0.93


@click.command()
@click.option("--wav", type=click.Path(path_type=Path, exists=True, dir_okay=False), multiple=True,
              help="A recording to say; again for the next turn of the same call.")  # fmt: skip
@click.option("--say", multiple=True, help="A text to say; again for the next turn.")
@click.option("--script", type=click.Path(path_type=Path, exists=True, dir_okay=False),
              help="A caller's script; docs/emulated-phone.md has its lines.")  # fmt: skip
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
    out: Path | None,
    url: str | None,
    calls: int,
    as_json: bool,
) -> None:
    """Hold a call with the emulated phone.

    Without --wav, --say or --script the caller books an appointment. Exit code 0: every turn was
    answered, none was cut into, and the phone had nothing to complain of.
    """
    from tipring.cli.logs import attend

    attend(os.environ)
    if url and out:
        raise click.UsageError("--out is the host's: give it to tipring serve")
    try:
        ok = asyncio.run(
            _hold(
                _script(wav, say, script),
                config=ctx.find_object(Path),
                out=out,
                url=url,
                calls=calls,
                show=_Silent() if as_json else _Show(),
            )
        )
    except KeyboardInterrupt:
        ok = False
    if not ok:
        ctx.exit(1)


def _script(wav: Sequence[Path], say: Sequence[str], path: Path | None) -> Script:
    from tipring.testing import Script

    if (bool(wav) + bool(say) + (path is not None)) > 1:
        raise click.UsageError("give one of --wav, --say and --script")
    if path is not None:
        return Script.load(path)
    said = [f'"{text}"' for text in say] or [str(file.resolve()) for file in wav]
    if said:
        lines = ["wait", *(line for one in said for line in (f"say {one}", "wait"))]
        return Script.parse("\n".join(lines), name="the command line")
    booking = resources.files("tipring.testing") / "scripts" / "booking.call"
    return Script.parse(booking.read_text(encoding="utf-8"), name="booking.call")


async def _hold(
    script: Script,
    *,
    config: Path | None,
    out: Path | None,
    url: str | None,
    calls: int,
    show: _Show,
) -> bool:
    from tipring.testing.hosted import hosted

    script = await asyncio.to_thread(script.render, _voice())
    async with contextlib.AsyncExitStack() as stack:
        token, control = os.environ.get("TWILIO_AUTH_TOKEN", ""), None
        if url is None:
            environ = {"TIPRING_LIMITS__MAX_CALLS": str(calls)} if calls > 1 else {}
            arguments = ["--out", str(out)] if out else []
            show.starting()
            host = await stack.enter_async_context(
                hosted(
                    config=config,
                    environ=environ,
                    arguments=arguments,
                    on_event=show.event if calls == 1 else show.quiet_event,
                )
            )
            url, token, control = host.url, host.auth_token, host.control_url
        results = await asyncio.gather(*(_one(script, url, token) for _ in range(calls)))
        if control:
            show.figures(calls, await _stats(control))
    return show.summary(results)


async def _one(
    script: Script, url: str, token: str
) -> tuple[list[CallerTurn], list[str], Phone | None]:
    """Hold one call: its turns, what was wrong with it, and the phone."""
    from tipring.testing import CallFailed, run

    wrong: list[str] = []
    turns: list[CallerTurn] = []

    try:
        async with _dialled(url, token) as phone:
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


class _Show:
    """Prints the conversation as it happens."""

    def __init__(self) -> None:
        self._silent_since: float | None = None
        self._committed = False
        self._record = ""
        self._parts = ""

    def starting(self) -> None:
        self._say("", "the host is starting")

    def event(self, event: Mapping[str, Any]) -> None:
        match event["event"]:
            case "call.began":
                parts = [event[kind] for kind in ("stt", "turn", "llm", "tts")]
                self._say("", f"the call begins: {' + '.join(parts)}")
            case "agent.said":
                self._say("agent", event["text"])
            case "speech.stopped":
                self._silent_since = event["at"]
            case "turn.held":
                self._say("", f"(waiting: {event['why']})")
            case "turn.committed":
                self._committed = True
                self._say("caller", f"{event['text']}   [{event['by']}: {event['why']}]")
            case "agent.started" if self._committed and self._silent_since is not None:
                self._committed = False
                late = event["at"] - self._silent_since
                self._say("", f"(answered after {late:.2f} s)")
            case "backchannel":
                self._say("caller", f"({event['text']} - the agent goes on)")
            case "interruption":
                self._say("", "(the caller interrupts)")
            case "detector.failed" | "rung.failed" | "problem":
                detail = {k: v for k, v in event.items() if k not in ("call", "at", "event")}
                self._say("", f"({event['event']}: {json.dumps(detail, ensure_ascii=False)})")
            case "call.ended":
                self._say("", f"the call is over: {event['reason']}")
            case "record.saved":
                self._record = event["folder"]

    def quiet_event(self, event: Mapping[str, Any]) -> None:
        """Of many calls at once nothing is printed but what goes wrong."""
        if event["event"] in ("detector.failed", "problem"):
            self.event(event)

    def figures(self, calls: int, figures: Mapping[str, Any]) -> None:
        print(f"\n{calls} call{'s at once' * (calls > 1)} in one process")
        for name, value in figures.items():
            print(f"  {name:16} {value}")

    def summary(self, results: Sequence[tuple[list[CallerTurn], list[str], Phone | None]]) -> bool:
        if len(results) == 1:
            print("\nAs the caller heard it, in seconds")
            print("  turn  from    to      answered after")
            for turn in results[0][0]:
                print(f"  {turn.number:4}  {turn.begin:6.2f}  {turn.end:6.2f}  {_told(turn)}")
        wrong = [f"{_which(results, at)}{one}" for at, r in enumerate(results) for one in r[1]]
        late = sum(phone.late_frames for _, _, phone in results if phone is not None)
        if late:
            print(f"\n{late} frames of the phone's were late: this machine is busy")
        if self._record:
            print(f"\nThe recording: {self._record}/timeline.html")
        for one in wrong:
            print(f"wrong: {one}", file=sys.stderr)
        if not wrong:
            turns = sum(len(turns) for turns, _, _ in results)
            print(f"\n{turns} turns, {len(results)} call{'s' * (len(results) > 1)}, nothing wrong")
        return not wrong

    def _say(self, who: str, what: str) -> None:
        print(f"{who:>7}  {what}" if who else f"         {what}", flush=True)


class _Silent(_Show):
    """Keeps everything, and prints it as one JSON document."""

    def __init__(self) -> None:
        super().__init__()
        self._events: list[Mapping[str, Any]] = []
        self._figures: Mapping[str, Any] = {}

    def event(self, event: Mapping[str, Any]) -> None:
        self._events.append(event)

    def quiet_event(self, event: Mapping[str, Any]) -> None:
        self._events.append(event)

    def figures(self, calls: int, figures: Mapping[str, Any]) -> None:
        self._figures = figures

    def summary(self, results: Sequence[tuple[list[CallerTurn], list[str], Phone | None]]) -> bool:
        told = [
            {
                "turns": [
                    {
                        "number": turn.number,
                        "kind": turn.kind,
                        "text": turn.text,
                        "begin": round(turn.begin, 3),
                        "end": round(turn.end, 3),
                        "latency": None if turn.latency is None else round(turn.latency, 3),
                        "cut_ins": [round(one, 3) for one in turn.cut_ins],
                    }
                    for turn in turns
                ],
                "wrong": wrong,
                "late_frames": phone.late_frames if phone else 0,
            }
            for turns, wrong, phone in results
        ]
        document = {"calls": told, "events": self._events, "host": self._figures}
        print(json.dumps(document, ensure_ascii=False, indent=1))
        return not any(wrong for _, wrong, _ in results)

    def _say(self, who: str, what: str) -> None:
        return


def _told(turn: CallerTurn) -> str:
    if turn.kind == "over":
        on = f", which spoke on for {turn.agent_spoke_on:.1f} s" if turn.agent_spoke_on else ""
        return f"said over the agent{on}: {turn.text}"
    pauses = "".join(f" (paused {one:.1f} s)" for one in turn.pauses)
    after = "  -  " if turn.latency is None else f"{turn.latency:5.2f}"
    return f"{after}  {turn.text}{pauses}"


def _which(results: Sequence[Any], at: int) -> str:
    return f"call {at + 1}: " if len(results) > 1 else ""
