"""tipring, as it is shipped, with the bench's stubs for plugins."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bench.turns import plugin
from bench.turns.systems.door import SID, App, Receive, Scope, Send, arguments, serve
from bench.turns.truth import Desk

if TYPE_CHECKING:
    from tipring.host import Host
    from tipring.journal import Event

TURN = {"smart": "smart", "vad": "vad", "flux": "bench_flux"}


def _config(variant: str, track: int) -> str:
    stt, tts = ("bench_oracle", "bench_voice") if track == 1 else ("moonshine", "hibari")
    return f"""
[use]
stt = "{stt}"
turn = "{TURN[variant]}"
llm = "bench_lines"
tts = "{tts}"
[limits]
max_calls = 100
"""


async def main() -> None:
    """Load the host and answer."""
    from tipring.memory import begin_start, keep_little

    keep_little()
    begin_start()
    given = arguments()
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    from loguru import logger

    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    desk = await asyncio.to_thread(Desk.open, given.calls)
    plugin.DESK.append(desk)
    with tempfile.TemporaryDirectory() as folder:
        plugin.install(Path(folder))
        sys.path.insert(0, folder)
        toml = Path(folder) / "tipring.toml"
        toml.write_text(_config(given.variant, given.track), encoding="utf-8")
        from tipring import config
        from tipring.host import Host
        from tipring.selection import Selection

        class OneGreetingACall(Host):
            """A host whose greeting is the call's."""

            @property
            def selection(self) -> Selection:
                chosen = super().selection
                agent = chosen.config.agent.model_copy(
                    update={"greeting": desk.truth(SID.get()).call.agent[0]}
                )
                return dataclasses.replace(
                    chosen, config=dataclasses.replace(chosen.config, agent=agent)
                )

        # Nothing of it is scored; whoever wonders about a call finds its decisions there.
        notes = await asyncio.to_thread(given.notes.open, "w", encoding="utf-8")

        def note(sid: str, event: Event) -> None:
            line = {"call": desk.truth(sid).call.id, "at": round(event.at, 3), "what": event.name}
            notes.write(json.dumps({**line, **event.detail}, default=str) + "\n")

        host = OneGreetingACall(config.load(toml, {}), on_event=note)
        if given.variant == "flux":
            from bench.turns.flux import FluxOfTheTruth

            async with FluxOfTheTruth(desk) as flux:
                plugin.FLUX.append(flux.url)
                await _answer(host, desk)
        else:
            await _answer(host, desk)
        notes.close()


async def _answer(host: Host, desk: Desk) -> None:
    from tipring.memory import end_start

    await host.load()
    end_start()
    for problem in host.problems:
        print(f"{problem.where}: {problem.what}", file=sys.stderr)
    await serve(_Local(host), desk)
    await host.close(within=1.0)


class _Local:
    """Makes the app when the first request says at which address it is reached."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._app: App | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._app is None:
            from tipring.server import audio_app

            name, port = scope["server"]
            self._app = audio_app(self._host, None, f"http://{name}:{port}")
        await self._app(scope, receive, send)


if __name__ == "__main__":
    asyncio.run(main())
