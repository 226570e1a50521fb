"""What a process is asked about itself, and answers the same way whichever system it is."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

from bench.load import stubs

EVERY = 0.01
"""Seconds between two looks at how late the event loop is."""


def resident() -> float:
    """This process's memory in MB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 1e6


class Meter:
    """Measures from :meth:`reset` to :meth:`figures`."""

    def __init__(self) -> None:
        self._lags: list[float] = []
        self.reset()

    def reset(self) -> None:
        """Begin again."""
        self._lags.clear()
        stubs.commits.clear()
        self._cpu, self._wall = time.process_time(), time.monotonic()

    async def watch(self) -> None:
        """Note how late the loop is, for ever."""
        while True:
            before = time.perf_counter()
            await asyncio.sleep(EVERY)
            self._lags.append(time.perf_counter() - before - EVERY)

    def figures(self) -> dict[str, Any]:
        """Loop lag in ms, the share of a core used, memory in MB, threads, commits."""
        lags = sorted(self._lags) or [0.0]
        wall = time.monotonic() - self._wall
        return {
            "lag_p50_ms": 1000 * lags[len(lags) // 2],
            "lag_p99_ms": 1000 * lags[int(len(lags) * 0.99)],
            "lag_max_ms": 1000 * lags[-1],
            "cpu_s": time.process_time() - self._cpu,
            "wall_s": wall,
            "rss_mb": resident(),
            "threads": len(os.listdir("/proc/self/task")),
            "tasks": len(asyncio.all_tasks()),
            "commits": list(stubs.commits),
        }

    async def answer(self) -> None:
        """Answer ``reset`` and ``figures`` on stdin until it closes."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        watching = asyncio.create_task(self.watch())
        try:
            while word := (await reader.readline()).strip():
                told = self.figures() if word == b"figures" else {}
                if word == b"reset":
                    self.reset()
                print(json.dumps(told), flush=True)
        finally:
            watching.cancel()
