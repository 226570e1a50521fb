"""``tipring serve``: answer the phone."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tipring.cli import configured

if TYPE_CHECKING:
    from tipring.journal import Event


def import_host() -> None:
    """Import what answers calls, and of what it is built on only what a phone call uses."""
    from tipring import lean

    # Pipecat's transport wants its word for a websocket, and would have the whole framework.
    lean.load("fastapi")
    # Its pictures, files from the web, amounts in words and messages to browsers are for others.
    others = ["PIL", "aiohttp", "num2words", "pipecat.processors.frameworks.rtvi.models"]
    lean.load("pipecat", "tipring.host", "tipring.server", later=others)


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where each call leaves its record. Off without it, or [record] dir.",
)
@click.option(
    "--events",
    is_flag=True,
    help="Print every event of every call as a line of JSON. It holds what was said.",
)
@click.option(
    "--allow-unsigned",
    is_flag=True,
    help="Believe requests that Twilio did not sign. For a network of your own.",
)
@click.pass_context
def command(ctx: click.Context, out: Path | None, events: bool, allow_unsigned: bool) -> None:
    """Answer the phone until Ctrl-C or SIGTERM, which end the calls in order."""
    from tipring import methods
    from tipring.cores import no_idle_threads
    from tipring.memory import begin_start, keep_little

    begin_start()
    methods.begin()
    config = configured(ctx)
    from tipring.cli.logs import attend

    attend(os.environ)
    keep_little()
    no_idle_threads()
    import_host()
    from tipring.host import Host
    from tipring.server import serve

    def show(call: str, event: Event) -> None:
        told = {"call": call, "at": round(event.at, 3), "event": event.name, **event.detail}
        print(json.dumps(told, ensure_ascii=False, default=str), flush=True)

    host = Host(config, record_to=out, on_event=show if events else None)
    asyncio.run(serve(host, allow_unsigned=allow_unsigned))
