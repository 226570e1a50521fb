"""Hold the calls: every system a process, every call with each of them, several at once."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.turns.caller import Caller, Take
from bench.turns.calls import Call
from bench.turns.truth import Voice

READY_WITHIN = 180.0

SYSTEMS: dict[str, tuple[str, str]] = {
    "tipring smart": ("tipring", "smart"),
    "tipring flux": ("tipring", "flux"),
    "tipring vad": ("tipring", "vad"),
    "pipecat": ("stock", "default"),
    "pipecat vad 0.8": ("stock", "vad08"),
    "livekit": ("livekit_agent", "default"),
    "oracle": ("knows", ""),
}
"""Each system's module, and its variant."""

QUICK = ("tipring smart", "tipring flux", "tipring vad", "pipecat", "oracle")
"""The systems of the quick run, which needs nothing that the product does not."""

TRACK_2 = ("tipring smart", "tipring vad", "pipecat", "pipecat vad 0.8")
"""The systems that the embedded set can be put into."""


@dataclass
class System:
    """A system's process.

    Attributes:
        name: As in SYSTEMS.
        voice: How the agent sounds.
        url: Where it answers.
        lags: The worst lag of its loop in each second, in seconds.
    """

    name: str
    voice: Voice
    url: str = ""
    lags: list[float] = field(default_factory=list)
    callers: dict[str, Caller] = field(default_factory=dict)
    process: asyncio.subprocess.Process | None = None
    reading: asyncio.Task[None] | None = None
    ready: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self, folder: Path, track: int, logs: Path) -> None:
        """Start it and wait until it answers.

        Raises:
            RuntimeError: It did not come up.
        """
        module, variant = SYSTEMS[self.name]
        log = logs / f"{self.name.replace(' ', '-')}.log"
        python = os.environ.get("BENCH_LIVEKIT_PYTHON") if module == "livekit_agent" else None
        words = [python or sys.executable, "-m", f"bench.turns.systems.{module}"]
        words += ["--calls", str(folder), "--variant", variant, "--track", str(track)]
        words += ["--notes", str(log.with_suffix(".jsonl"))]
        with log.open("wb") as errors:
            self.process = await asyncio.create_subprocess_exec(
                *words,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
                start_new_session=True,
            )
        self.reading = asyncio.create_task(self._read())
        waiting = asyncio.create_task(self.ready.wait())
        done, _ = await asyncio.wait(
            {waiting, self.reading}, timeout=READY_WITHIN, return_when=asyncio.FIRST_COMPLETED
        )
        if waiting not in done:
            waiting.cancel()
            tail = log.read_text(errors="replace").strip().splitlines()[-3:]
            raise RuntimeError(f"{self.name} did not come up: {' | '.join(tail)}")

    async def _read(self) -> None:
        assert self.process is not None and self.process.stdout is not None
        while line := await self.process.stdout.readline():
            try:
                told: dict[str, Any] = json.loads(line)
            except ValueError:
                continue
            if "ready" in told:
                self.url = told["ready"]
                self.ready.set()
            elif "lag" in told:
                self.lags.append(told["lag"])
            elif "asked" in told and (caller := self.callers.get(told["asked"])):
                caller.asked(told["at"], told["turns"])
            elif "used" in told and (caller := self.callers.get(told["used"])):
                caller.take.used.append(told)

    def tell(self, what: dict[str, Any]) -> None:
        """Tell its stubs something."""
        assert self.process is not None and self.process.stdin is not None
        self.process.stdin.write((json.dumps(what) + "\n").encode())

    async def warm_up(self, call: Call) -> None:
        """Hold the begin of a call, so that what is loaded at a first call is not measured."""
        short = dataclasses.replace(call, anchors=call.anchors[:1])
        await Caller(short, self.name, self.tell, self.voice).play(self.url)

    async def hold(self, call: Call) -> Take:
        """Hold one call with it."""
        caller = Caller(call, self.name, self.tell, self.voice)
        self.callers[call.id] = caller
        return await caller.play(self.url)

    async def stop(self) -> None:
        """Let it go."""
        if self.process is None:
            return
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            async with asyncio.timeout(10):
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
        if self.reading is not None:
            await self.reading


@dataclass
class Run:
    """What came out.

    Attributes:
        takes: Every call with every system.
        seconds: How long it took.
        lags: The worst lag of each second, by system, and ``phones`` for the callers' own loop.
        load: The machine's load average at begin and end.
        absent: Systems that did not come up, and why.
    """

    takes: list[Take] = field(default_factory=list)
    seconds: float = 0.0
    lags: dict[str, list[float]] = field(default_factory=dict)
    load: list[float] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)


async def hold_all(
    calls: list[Call],
    folder: Path,
    *,
    systems: list[str],
    lanes: int,
    track: int = 1,
    seed: int = 1,
    logs: Path,
    told: Callable[[int, int, Take], None] = lambda *_: None,
) -> Run:
    """Hold every call with every system, interleaved call by call.

    Args:
        calls: What to play.
        folder: Where they lie.
        systems: Names in SYSTEMS.
        lanes: How many calls at once.
        track: 1 for the stubs, 2 for the embedded set.
        seed: Of the order of the systems within a call.
        logs: A folder for what the systems write.
        told: Told of each take.
    """
    run = Run(load=[os.getloadavg()[0]])
    up: dict[str, System] = {}
    await asyncio.to_thread(logs.mkdir, parents=True, exist_ok=True)
    try:
        voice = Voice(folder / "voice")
        for name in systems:
            system = System(name, voice)
            up[name] = system
            try:
                await system.start(folder, track, logs)
            except (RuntimeError, OSError) as error:
                run.absent[name] = str(error)
                await system.stop()
                del up[name]
        await asyncio.gather(*(system.warm_up(calls[0]) for system in up.values()))
        for system in up.values():
            system.lags.clear()
        began = time.monotonic()
        order = random.Random(seed)
        jobs: list[tuple[Call, System]] = []
        shuffled = list(calls)
        order.shuffle(shuffled)
        for call in shuffled:
            turn = list(up.values())
            order.shuffle(turn)
            jobs += [(call, system) for system in turn]
        total = len(jobs)
        jobs.reverse()
        lag = asyncio.create_task(_watch(run.lags.setdefault("phones", [])))

        async def lane(number: int) -> None:
            await asyncio.sleep(0.37 * number)  # not all at the same moment
            while jobs:
                call, system = jobs.pop()
                take = await system.hold(call)
                run.takes.append(take)
                told(len(run.takes), total, take)

        await asyncio.gather(*(lane(number) for number in range(lanes)))
        lag.cancel()
        run.seconds = time.monotonic() - began
        run.load.append(os.getloadavg()[0])
    finally:
        await asyncio.gather(*(system.stop() for system in up.values()))
    for name, system in up.items():
        run.lags[name] = system.lags
    return run


async def _watch(worst_of: list[float]) -> None:
    while True:
        worst = 0.0
        for _ in range(50):
            due = time.monotonic() + 0.02
            await asyncio.sleep(0.02)
            worst = max(worst, time.monotonic() - due)
        worst_of.append(worst)
