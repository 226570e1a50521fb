"""One level: so many calls in a fresh process, and what came of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import statistics
import sys
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from typing import Any

from bench.load.phones import TICK, Crowd, Heard, Speech

LAG = 20.0
"""ms of loop lag, at the 99th percentile, up to which a load is held: one frame of the phone's."""
SLOWER = 1.5
"""How many times its one-call value the 95th percentile of the commit may be."""
MISSED = 0.02
"""Share of turns without a commit up to which a load is held."""
ANSWERED = 4.0
"""Seconds within which a turn is committed, or it is missed."""
SETTLED = 2.0
"""Seconds from the last caller's greeting until it is measured."""
OVER = 2
"""After so many loads in a row that are not held, greater ones are not tried."""


@dataclass(frozen=True, kw_only=True)
class Level:
    """What one system did with so many calls.

    Attributes:
        system: ``tipring`` or ``stock``.
        calls: How many at once.
        lag_p99_ms: How late the event loop was.
        commit_p50_ms: From the caller's last sample on the wire to the commit of the turn.
        commit_p95_ms: Likewise.
        answer_p50_ms: From there to the agent's first sample at the phone, the stubs' delays
            included.
        answer_p95_ms: Likewise.
        turns: How many turns the callers ended.
        missed: How many of them were not committed in time.
        cpu_a_call: Per cent of a core.
        cpu: Per cent of a core, in all.
        rss_mb: Memory while the calls are held.
        ready_mb: Memory before the first call.
        threads: How many there were.
        late_frames: Share of the phones' frames that left late; above 0.01 the level says little.
        broken: Calls that failed, or that the host closed.
        failed: Why nothing was measured, if nothing was: the load is then not held.
    """

    system: str
    calls: int
    lag_p99_ms: float
    commit_p50_ms: float
    commit_p95_ms: float
    answer_p50_ms: float
    answer_p95_ms: float
    turns: int
    missed: int
    cpu_a_call: float
    cpu: float
    rss_mb: float
    ready_mb: float
    threads: int
    late_frames: float
    broken: int
    failed: str = ""

    def as_json(self) -> dict[str, Any]:
        """For ``results.json``."""
        return {k: round(v, 4) if isinstance(v, float) else v for k, v in asdict(self).items()}


def holds(level: Level, one: Level) -> bool:
    """Whether this load is held, given the same system's one call."""
    return (
        not level.failed
        and level.lag_p99_ms <= LAG
        and level.commit_p95_ms <= SLOWER * one.commit_p95_ms
        and level.missed <= MISSED * level.turns
        and not level.broken
    )


def held(levels: list[Level], yardstick: Level | None = None) -> int:
    """The largest load up to which every measured load is held.

    Args:
        levels: One system's.
        yardstick: Whose 95th percentile counts; the first of the levels, if it is not given.
    """
    most = 0
    for level in sorted(levels, key=lambda level: level.calls):
        if not holds(level, yardstick or levels[0]):
            break
        most = level.calls
    return most


class Process:
    """A host that is measured, and its answers."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self._process = process
        self.url = url
        self.pid = process.pid

    async def ask(self, word: str) -> dict[str, Any]:
        """``reset`` or ``figures``."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(word.encode() + b"\n")
        async with asyncio.timeout(60):
            line = await self._process.stdout.readline()
        if not line:
            raise ConnectionError("the host that is measured has died")
        told: dict[str, Any] = json.loads(line)
        return told


@contextlib.asynccontextmanager
async def hosted(system: str, *, core: int | None) -> AsyncIterator[Process]:
    """Start a system's process on a core of its own, until the block ends."""
    words = [sys.executable, "-m", "bench.load.host", system]
    if core is not None:
        words += ["--core", str(core)]
    path = [os.getcwd(), os.environ.get("PYTHONPATH")]
    process = await asyncio.create_subprocess_exec(
        *words,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 24,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))},
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        async with asyncio.timeout(120):
            line = await process.stdout.readline()
        if not line:
            raise ConnectionError(f"{system} did not start")
        yield Process(process, json.loads(line)["url"])
    finally:
        process.stdin.close()
        try:
            async with asyncio.timeout(10):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


async def measure(
    system: str, calls: int, *, speech: Speech, seconds: float, core: int | None
) -> Level:
    """Hold so many calls for so many seconds, each in a phase of its own.

    A host that does not start, answers no more or dies under its load gives a level that is not
    held, and says why.

    Args:
        system: Whose process.
        calls: How many.
        speech: What the callers say.
        seconds: For how long it is measured, once all calls are there; twice as long for one
            call, which has few turns and is the yardstick of all others.
        core: Where the process runs; None for anywhere.
    """
    try:
        async with hosted(system, core=core) as host:
            return await _measured(host, system, calls, speech, seconds * (2 if calls == 1 else 1))
    except (OSError, TimeoutError, ValueError) as error:
        return failed(system, calls, f"{type(error).__name__}: {error}".rstrip(": "))


async def _measured(
    host: Process, system: str, calls: int, speech: Speech, seconds: float
) -> Level:
    cycle = len(speech.frames) * TICK
    ready = (await host.ask("figures"))["rss_mb"]
    crowd = Crowd(host.url, speech)
    # What only the first call of a process pays is no matter of load.
    await crowd.dial(1, over=0.0)
    await asyncio.sleep(speech.turn)
    await crowd.hang_up()
    await crowd.dial(calls, over=max(cycle, 0.2 * calls))
    await asyncio.sleep(SETTLED)
    await host.ask("reset")
    began = asyncio.get_running_loop().time()
    await asyncio.sleep(seconds)
    until = asyncio.get_running_loop().time()
    figures = await host.ask("figures")
    await asyncio.sleep(ANSWERED)
    late = (await host.ask("figures"))["commits"]
    heard = await crowd.hang_up()
    return _level(system, calls, figures, late, heard, began, until, ready, crowd.failed)


def failed(system: str, calls: int, why: str) -> Level:
    """The level of a load under which nothing could be measured."""
    return Level(
        system=system, calls=calls, lag_p99_ms=0, commit_p50_ms=0, commit_p95_ms=0,
        answer_p50_ms=0, answer_p95_ms=0, turns=0, missed=0, cpu_a_call=0, cpu=0, rss_mb=0,
        ready_mb=0, threads=0, late_frames=0, broken=calls, failed=why,
    )  # fmt: skip


def beyond(levels: list[Level]) -> bool:
    """Whether so many loads in a row were too much that a greater one will be.

    By the loop's lag, the missed turns and the broken calls, which no yardstick changes.
    """
    last = levels[-OVER:]
    return len(last) == OVER and not any(holds(level, level) for level in last)


def _level(
    system: str,
    calls: int,
    figures: dict[str, Any],
    commits: list[tuple[str, float]],
    heard: list[Heard],
    began: float,
    until: float,
    ready: float,
    failed: int,
) -> Level:
    waits: list[float] = []
    answers: list[float] = []
    turns = 0
    for phone in heard:
        mine = sorted(at for call, at in commits if call == phone.call)
        for end, answer in zip(phone.ends, phone.answers, strict=True):
            if not began <= end <= until:
                continue
            turns += 1
            # Up to 0.2 s before its end a turn may be over: the last sample is not voiced.
            after = [at - end for at in mine if -0.2 <= at - end <= ANSWERED]
            waits += after[:1]
            if answer is not None and answer - end <= ANSWERED + 2:
                answers.append(answer - end)
    frames = sum((until - began) / 0.02 for _ in heard) or 1.0
    cpu = 100 * figures["cpu_s"] / figures["wall_s"]
    return Level(
        system=system,
        calls=calls,
        lag_p99_ms=figures["lag_p99_ms"],
        commit_p50_ms=percentile(waits, 50),
        commit_p95_ms=percentile(waits, 95),
        answer_p50_ms=percentile(answers, 50),
        answer_p95_ms=percentile(answers, 95),
        turns=turns,
        missed=turns - len(waits),
        cpu_a_call=cpu / calls,
        cpu=cpu,
        rss_mb=figures["rss_mb"],
        ready_mb=ready,
        threads=figures["threads"],
        late_frames=sum(phone.late for phone in heard) / frames,
        broken=failed + sum(phone.closed for phone in heard),
    )


def percentile(seconds: list[float], which: int) -> float:
    """In ms; 0 of nothing."""
    if len(seconds) < 2:
        return 1000 * sum(seconds)
    return 1000 * statistics.quantiles(seconds, n=100, method="inclusive")[which - 1]


@dataclass(frozen=True, kw_only=True)
class After:
    """What a process holds on to after so many calls, when all of them are over.

    Attributes:
        calls: How many there have been.
        rss_mb: Its memory.
        tasks: What still runs on its event loop.
    """

    calls: int
    rss_mb: float
    tasks: int


async def sequence(
    system: str, calls: int, *, at_once: int, speech: Speech, core: int | None
) -> list[After]:
    """Hold many short calls in one process, a few at a time: one turn each.

    Returns:
        What was left after each few of them.
    """
    left: list[After] = []
    async with hosted(system, core=core) as host:
        idle = (await host.ask("figures"))["tasks"]
        done = 0
        while done < calls:
            crowd = Crowd(host.url, speech)
            count = min(at_once, calls - done)
            await crowd.dial(count, over=1.0)
            await asyncio.sleep(speech.turn)
            await crowd.hang_up()
            done += count
            left.append(await _settled(host, done, idle))
    return left


async def _settled(host: Process, done: int, idle: int) -> After:
    """The figures when the calls are over: while they end, memory is theirs."""
    until = asyncio.get_running_loop().time() + 5.0
    while True:
        figures = await host.ask("figures")
        if figures["tasks"] <= idle or asyncio.get_running_loop().time() > until:
            return After(calls=done, rss_mb=figures["rss_mb"], tasks=figures["tasks"] - idle)
        await asyncio.sleep(0.1)


def grown(left: list[After]) -> float:
    """By what share memory grew from the second fifth of the calls to the last."""
    fifth = max(1, len(left) // 5)
    early = statistics.median(one.rss_mb for one in left[fifth : 2 * fifth])
    late = statistics.median(one.rss_mb for one in left[-fifth:])
    return late / early - 1
