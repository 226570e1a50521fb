"""Random calls: what may happen on a telephone, in any order, and what must hold all the same.

``python -m tests.turns.fuzz COUNT [FIRST]`` plays so many seeds from FIRST on.
"""

from __future__ import annotations

import asyncio
import logging
import math
import multiprocessing
import random
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any

from loguru import logger
from tipring.journal import Event
from tipring.turns.aside import others_for
from tipring.turns.words import spoken

from tests.fast_loop import run_fast
from tests.scripted_rungs import Step, says
from tests.turns.detectors import DETECTORS
from tests.turns.stage import Stage

SORRY = "I'm sorry."
Act = Callable[[], Awaitable[None]]


@dataclass
class Plot:
    """What will happen, and what was said for sure."""

    rng: random.Random
    stage: Stage
    acts: list[tuple[float, int, Act]] = field(default_factory=list)
    finals: list[str] = field(default_factory=list)
    arriving: list[asyncio.Task[None]] = field(default_factory=list)
    _order: count[int] = field(default_factory=count)
    _word: count[int] = field(default_factory=count)

    def at(self, time: float, act: Act) -> None:
        self.acts.append((time, next(self._order), act))

    def word(self) -> str:
        """A word that is said once in the call."""
        n = next(self._word)
        return "w" + "".join("bcdfghjklmnpqrstvxz"[n // 19**i % 19] for i in range(2)) + "q"

    def fill(self, seconds: float) -> None:
        rng, time = self.rng, 0.3
        if rng.random() < 0.2:
            self.at(0.05, lambda: self.stage.greet("Hello, this is Tipring."))
        if rng.random() < 0.15:
            detector = rng.choice(DETECTORS)
            self.at(rng.uniform(0.3, seconds), lambda: self.stage.hand_over(detector))
        while time < seconds:
            kind = rng.random()
            if kind < 0.08:
                time = self.noise(time)
            else:
                time = self.utterance(time)
            time += rng.choice((0.0, 0.05, 0.3, 0.6, 1.0, 2.0, 4.0, 9.0))
        for _ in range(rng.choice((0, 0, 1, 3))):
            self.crossing(seconds)
        for _ in range(rng.choice((0, 1, 2))):
            self.over_the_agent(seconds)
        if rng.random() < 0.3:
            self.echo(seconds)

    def at_event(
        self, name: str, count: int, until: float, act: Callable[[], Coroutine[Any, Any, None]]
    ) -> None:
        """Do something when an event comes for the so many-th time, if that is before ``until``."""

        def follow(event: Event) -> None:
            nonlocal count
            count -= event.name == name
            if count == 0 and event.name == name and event.at < until:
                self.arriving.append(asyncio.create_task(act()))

        self.stage.journal.subscribe(follow)

    def crossing(self, until: float) -> None:
        """Words arrive just as something that the agent says is first heard."""
        rng, stage, text = self.rng, self.stage, self.text()
        left, after = rng.randint(1, 6), rng.choice((0.09, 0.1, 0.1, 0.1, 0.101, 0.11))

        async def arrive() -> None:
            await asyncio.sleep(after)
            self.finals.append(text)
            await stage.final(text)

        self.at_event("agent.said", left, until, arrive)

    def over_the_agent(self, until: float) -> None:
        """The caller says something to somebody else while the agent speaks."""
        rng, stage, text = self.rng, self.stage, self.aside()
        left, after, away = rng.randint(2, 6), rng.uniform(0.0, 1.2), rng.random() < 0.7
        words = text.split()
        heard = [n for n in range(1, len(words) + 1) if rng.random() < 0.6]
        pace, late = rng.uniform(0.15, 0.4), rng.choice((0.05, 0.2, 0.3, 0.9))

        async def speak() -> None:
            await asyncio.sleep(after)
            stage.away = away
            await stage.voice(True)
            for n in range(1, len(words) + 1):
                await asyncio.sleep(pace)
                if n in heard:
                    await stage.interim(" ".join(words[:n]))
            await asyncio.sleep(0.2)
            await stage.voice(False)
            stage.away = False
            await asyncio.sleep(late)
            self.finals.append(text)
            await stage.final(text)

        self.at_event("agent.started", left, until, speak)

    def echo(self, until: float) -> None:
        """The phone brings the agent's words back, and the caller may speak into them."""
        rng, stage, floor = self.rng, self.stage, self.stage.floor
        left, first, pace = rng.randint(1, 4), rng.uniform(0.2, 0.5), rng.uniform(0.15, 0.5)
        most, late = rng.randint(3, 20), rng.choice((0.05, 0.3, 0.8))
        own = [self.word() for _ in range(rng.choice((0, 0, rng.randint(3, 6))))]

        async def come_back() -> None:
            began = asyncio.get_running_loop().time()
            await asyncio.sleep(first)
            stage.away = True
            await stage.voice(True)
            said, steps = "", 0
            while floor.agent_audible and steps < most:
                said = " ".join(word for at, word in floor.agent_words if at > began)
                await stage.interim(said)
                await asyncio.sleep(pace)
                steps += 1
            stage.away = False
            for n in range(1, len(own) + 1):
                await stage.interim(" ".join([said, *own[:n]]))
                await asyncio.sleep(pace)
            await stage.voice(False)
            await asyncio.sleep(late)
            self.finals.append(" ".join(own))
            await stage.final(" ".join([said, *own]))

        self.at_event("agent.started", left, until, come_back)

    def noise(self, start: float) -> float:
        length = self.rng.uniform(0.1, 4.0)
        self.at(start, lambda: self.stage.voice(True))
        if self.rng.random() < 0.85:
            self.at(start + length, lambda: self.stage.voice(False))
        return start + length

    def utterance(self, start: float) -> float:
        rng, stage = self.rng, self.stage
        aside = rng.random() < 0.12
        text = self.aside() if aside else self.text()
        length = 0.15 + 0.25 * len(text.split()) * rng.uniform(0.5, 1.5)
        end = start + length
        quiet = rng.random() < 0.1
        flux = stage.detector == "flux"
        if aside and rng.random() < 0.7:
            self.at(start, lambda: self.turn(away=True))
            self.at(end + rng.choice((0.1, 0.1, 0.3, 1.0)), lambda: self.turn(away=False))
        if not quiet:
            self.at(start, lambda: stage.voice(True))
        if flux and rng.random() < 0.9:
            self.at(start + 0.1, stage.propose_start)
        words = text.split()
        for n in range(1, len(words) + 1):
            if rng.random() < 0.6:
                part = " ".join(words[:n])
                self.at(start + length * n / len(words), partial(stage.interim, part))
        verdict = rng.choices(
            ("complete", "unsure", "deaf", "raises", "hangs"), (60, 20, 10, 5, 5)
        )[0]

        async def set_verdict() -> None:
            stage.script.verdict = verdict

        self.at(end + 0.19, set_verdict)
        if not quiet and rng.random() < 0.97:
            self.at(end + 0.2, lambda: stage.voice(False))
        if rng.random() < 0.93:
            heard = end + rng.choice((0.05, 0.2, 0.2, 0.25, 0.3, 0.5, 0.9, 1.2))
            self.finals.append(text)
            self.at(heard, lambda: stage.final(text))
            if flux and verdict != "deaf":
                late = 0.0 if verdict == "complete" else 1.2
                self.at(heard + late, stage.propose_stop)
        return end

    def text(self) -> str:
        kind = self.rng.random()
        if kind < 0.12:
            return self.rng.choice(("mhm", "Yeah.", "okay", "Right."))
        if kind < 0.18:
            return self.rng.choice(("um", "Uh.", "hm"))
        if kind < 0.25:
            return self.rng.choice(("Hello?", "hi", "Hello"))
        words = [self.word() for _ in range(self.rng.randint(1, 5))]
        return " ".join(words) + self.rng.choice((".", ".", ".", "?", "", " and", " um"))

    def aside(self) -> str:
        """Words for somebody else, or what may be taken for some."""
        words = " ".join(self.word() for _ in range(self.rng.randint(1, 6)))
        begin = self.rng.choice(("", "", "", "honey, ", "can you ", "no, ", "um "))
        end = self.rng.choice(("", "", "", " I'm on the phone.", " mum"))
        return f"{begin}{words}{end}"

    async def turn(self, *, away: bool) -> None:
        """The caller turns away from the phone, or back."""
        self.stage.away = away

    async def play(self) -> None:
        loop = asyncio.get_running_loop()
        for time, _, act in sorted(self.acts, key=lambda act: act[:2]):
            if time > loop.time():
                await asyncio.sleep(time - loop.time())
            await act()


def answers(rng: random.Random) -> list[list[Step]]:
    scripts: list[list[Step]] = []
    for n in range(200):
        thinks = rng.choice((0.0, 0.05, 0.3, 0.3, 0.3, 0.8, 2.0, 6.0))
        if rng.random() < 0.06:
            scripts.append([thinks, OSError("down")])
        else:
            scripts.append([thinks, *says(f"Reply {n}." + " More." * rng.randint(0, 2))])
    return scripts


async def one_call(seed: int, *, trace: bool = False) -> list[str]:
    """Play one random call; what was wrong with it, in sentences."""
    rng = random.Random(seed)
    stage = Stage(rng.choice(DETECTORS), answers(rng), punctuates=rng.random() < 0.7)
    stage.script.chunk = 0.25
    stage.mouth.lag = rng.choice((None, 0.0, 0.05, 0.3, 1.5, math.inf))
    plot = Plot(rng=rng, stage=stage)
    plot.fill(rng.uniform(4, 25))
    wrong: list[str] = []
    async with stage.running():
        watching = asyncio.create_task(_watch(stage, wrong))
        await plot.play()
        await asyncio.sleep(8)
        stage.quiet = True
        await asyncio.sleep(32)
        watching.cancel()
        if stage.floor.turn_open:
            wrong.append("a turn is still open")
        if stage.floor.in_doubt:
            wrong.append("a stop is still in doubt")
    stops = len(stage.noted("clear"))
    if stops < len(stage.noted("interruption")):
        wrong.append(f"the phone was told of {stops} interruptions")
    if trace:
        for event in stage.events:
            print(f"{event.at:6.2f} {event.name} {dict(event.detail)}")
        print(stage.mouth.heard, stage.caller_said, sep="\n")
    wrong += _answers_wrong(stage) + _words_wrong(stage, plot.finals)
    return [f"seed {seed} ({stage.detector}): {what}" for what in wrong]


async def _watch(stage: Stage, wrong: list[str]) -> None:
    """A silence that nobody owns for half a second is one too many."""
    before = False
    while True:
        await asyncio.sleep(0.25)
        floor = stage.floor
        if floor.turn_open:
            owned = bool(stage.court.waits_for) or floor.in_doubt
        else:
            owned = floor.agent_audible or floor.leaving or stage.dead_air.deadline is not None
        if before and not owned:
            wrong.append(f"nobody owns the silence at {stage.journal.now():.2f} s")
            return
        before = not owned


def _answers_wrong(stage: Stage) -> list[str]:
    wrong = []
    said = [
        (at, text) for at, text in stage.mouth.heard if text.startswith("Reply") or text == SORRY
    ]
    turns = [e for e in stage.events if e.name in ("turn.started", "turn.committed")]
    ends = [*turns, Event(at=float("inf"), name="end")][1:]
    for turn, after in zip(turns, ends, strict=True):
        if turn.name != "turn.committed":
            given_back = [e.at for e in stage.noted("agent.resumed") if e.at >= turn.at]
            for at, text in said:
                if turn.at < at < min([after.at, *given_back]):
                    wrong.append(f"the caller had the floor at {at:.2f} s, when {text!r} began")
            continue
        if after.name == "turn.committed":
            wrong.append(f"committed twice at {turn.at:.2f} and {after.at:.2f} s")
        answered = [text for at, text in said if turn.at <= at < after.at]
        if len(answered) > 1:
            wrong.append(f"the turn of {turn.at:.2f} s was answered by {answered}")
        if not answered and after.name == "end":
            wrong.append(f"the turn of {turn.at:.2f} s was not answered")
    return wrong


def _words_wrong(stage: Stage, finals: list[str]) -> list[str]:
    wrong = []
    others = others_for("en")
    remembered = [word for text in stage.caller_said for word in spoken(text)]
    for event in stage.noted("backchannel"):
        remembered += spoken(event.detail["text"])
    final: set[str] = set()
    guessed: set[str] = set()
    for event in stage.events:
        if event.name == "transcript.final":
            final.update(spoken(event.detail["text"]))
        elif event.name == "turn.committed":
            guessed.update(word for word in spoken(event.detail["text"]) if word not in final)
    for text in finals:
        # What says itself that it is for somebody else may be forgotten.
        least = 0 if others.called(text) else 1
        for word in spoken(text):
            times = remembered.count(word)
            # Taken from an interim transcript, it may stand in the final one again.
            most = 2 if word in guessed else 1
            if word.startswith("w") and word.endswith("q") and not least <= times <= most:
                wrong.append(f"{word!r} of {text!r} is remembered {times} times")
    return wrong


def calls(seeds: Sequence[int], trace: bool = False) -> list[str]:
    """Play the calls of these seeds; what was wrong with them."""
    logger.remove()
    logging.disable()
    try:
        return [what for seed in seeds for what in run_fast(one_call(seed, trace=trace))]
    finally:
        logging.disable(logging.NOTSET)


def many(count: int, first: int = 0) -> list[str]:
    """Play so many calls in a process for each core."""
    chunks = [range(at, min(at + 50, first + count)) for at in range(first, first + count, 50)]
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        return [what for wrong in pool.map(calls, chunks) for what in wrong]


def main(count: int, first: int = 0) -> int:
    wrong = calls([first], trace=True) if count == 1 else many(count, first)
    print(*wrong, f"{count} calls, {len(wrong)} things wrong", sep="\n")
    return min(len(wrong), 1)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0))
