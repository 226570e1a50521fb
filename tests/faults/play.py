"""Play the table, or a part of it: ``python -m tests.faults.play [--events] [PART OF A NAME ...]``.

Prints one line of JSON a row: its name, and what its caller heard. ``--part 0/2`` plays every
second row, from the first.
"""

# ruff: noqa: E402, I001
from __future__ import annotations

# The clock comes first: whoever reads the time while being imported reads this one.
from tests.faults.clock import CLOCK, jumping, run

CLOCK.install()

import argparse
import asyncio
import contextlib
import json
import os
import sys
import tempfile
from dataclasses import asdict

from loguru import logger

from tests.faults.call import answering, hold, voice
from tests.faults.lines import SAID
from tests.faults.table import Row, alone, rows

AT_ONCE = 12
"""Calls side by side: they share the moments in which the clock jumps."""


async def play(some: list[Row], *, events: bool) -> None:
    """Hold the calls of some rows side by side."""
    with tempfile.TemporaryDirectory() as name:
        os.environ["XDG_CACHE_HOME"] = name
        async with contextlib.AsyncExitStack() as stack:
            ready = [(row, await stack.enter_async_context(answering(row))) for row in some]
            with jumping():
                outcomes = await asyncio.gather(*(hold(at) for _, at in ready))
    for (row, at), outcome in zip(ready, outcomes, strict=True):
        if events:
            for event in at.events:
                print(f"{event.at:8.2f} {event.name} {dict(event.detail)}", file=sys.stderr)
        print(json.dumps({"row": row.name, **asdict(outcome)}), flush=True)


def main() -> None:
    """Play what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.play")
    parser.add_argument("--events", action="store_true")
    parser.add_argument("--part", default="0/1")
    parser.add_argument("names", nargs="*")
    asked = parser.parse_args()
    logger.remove()
    first, step = map(int, asked.part.split("/"))
    every = (*rows(), *alone())
    some = [one for one in every if not asked.names or any(n in one.name for n in asked.names)]
    some = some[first::step]
    for text in SAID:
        voice(text)
    for at in range(0, len(some), AT_ONCE):
        run(play(some[at : at + AT_ONCE], events=asked.events))


if __name__ == "__main__":
    main()
