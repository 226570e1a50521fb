"""How late the event loop is: what every call in this process would hear."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import sys
import time
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path

_EVERY = 0.02  # a phone's frame
_lags: deque[float] = deque(maxlen=3000)  # the last minute


@contextlib.asynccontextmanager
async def watched() -> AsyncIterator[None]:
    """Measure the loop while the block runs."""
    task = asyncio.create_task(_measure())
    try:
        yield
    finally:
        task.cancel()


def figures() -> dict[str, float]:
    """The last minute's lag in ms (median, 99th percentile, worst), and memory in MB."""
    lags = sorted(_lags) or [0.0]
    return {
        "loop_lag_p50_ms": round(1000 * lags[len(lags) // 2], 1),
        "loop_lag_p99_ms": round(1000 * lags[int(len(lags) * 0.99)], 1),
        "loop_lag_max_ms": round(1000 * lags[-1], 1),
        "rss_mb": round(_resident(), 1),
    }


async def _measure() -> None:
    while True:
        before = time.perf_counter()
        await asyncio.sleep(_EVERY)
        _lags.append(time.perf_counter() - before - _EVERY)


def _resident() -> float:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize() / 1e6
    except OSError:  # no /proc: the peak is the nearest that every system tells
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (1e6 if sys.platform == "darwin" else 1e3)
