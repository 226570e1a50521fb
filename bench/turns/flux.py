"""Flux as the emulator plays it, from the truth: right words, ends as late and as wrong as told.

What is assumed, from published figures: it notices a true end with a median of 0.28 s and a 95th
percentile of 1.5 s, and takes one pause of half a second or more in ten for an end. It is drawn
once for each event, so every run meets the same Flux.
"""

from __future__ import annotations

import math
import random
import time

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request

from bench.turns.calls import FLOOR
from bench.turns.truth import INTERIM, Clip, Desk
from tests.emulators.flux import UPDATE_EVERY, FluxEmulator, FluxScenario, _FluxSession
from tests.emulators.hearing import FRAME, Heard
from tests.emulators.socket import Refusal, Session

MEDIAN, P95 = 0.28, 1.5
"""Seconds from a true end to EndOfTurn."""

WRONG = 0.10
"""The share of the pauses of half a second or more that are taken for an end."""

MURMUR = ECHO = 0.5
"""Seconds from the end of a murmur, or of the agent's own words, to its EndOfTurn."""


class FluxOfTheTruth(FluxEmulator):
    """Flux, for every call of a process: the first part of the path says which.

    Args:
        desk: The process's calls.
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk

    def check(self, request: Request) -> Refusal | None:
        """Path, key and query, behind the call's name."""
        _, _, rest = request.path.lstrip("/").partition("/")
        return super().check(Request(path=f"/{rest}", headers=request.headers))

    def session(
        self, connection: ServerConnection, number: int, how: FluxScenario
    ) -> Session[FluxScenario]:
        """Make one call's ears."""
        return _Ears(self, connection, number, how)


class _Ears(_FluxSession):
    def __init__(
        self, emulator: FluxOfTheTruth, connection: ServerConnection, number: int, how: FluxScenario
    ) -> None:
        super().__init__(emulator, connection, number, how)
        assert connection.request is not None
        sid = connection.request.path.lstrip("/").partition("/")[0]
        self.truth = emulator.desk.truth(sid)
        self.seen = self.back = 0
        self.coming: list[tuple[float, str]] = []
        self.ends: list[tuple[float, float]] = []
        self.echo_ends = (0.0, 0.0)

    def _plan(self, clip: Clip) -> None:
        call = self.truth.call
        for event in call.events:
            words = [word for word in event.words if clip.holds(word.begin)]
            if not words:
                continue
            self.coming += [(clip.when(word.end), word.text) for word in words]
            draw = random.Random(f"{call.id} {event.begin:.2f} {words[0].begin:.2f}")
            done = clip.when(words[-1].end)
            if event.type not in FLOOR:
                self.ends.append((done + MURMUR, done))
                continue
            for hold in call.within(event, "hold"):
                if not clip.holds(hold.begin) or not clip.holds(hold.end):
                    continue
                at = hold.begin + draw.uniform(0.4, 0.8)
                if hold.end - hold.begin >= 0.5 and draw.random() < WRONG and at < hold.end:
                    self.ends.append((clip.when(at), clip.when(hold.begin)))
            late = draw.lognormvariate(math.log(MEDIAN), math.log(P95 / MEDIAN) / 1.645)
            self.ends.append((done + min(3.0, max(0.15, late)), done))
        self.coming.sort()
        self.ends.sort()

    async def frame(self, pcm: bytes) -> None:
        """Go on by 20 ms of audio."""
        self.position = round(self.position + FRAME, 6)
        now = time.monotonic()
        while self.seen < len(self.truth.clips):
            self._plan(self.truth.clips[self.seen])
            self.seen += 1
        for at, word in self.truth.back[self.back :]:
            self.back += 1
            self.coming = sorted([*self.coming, (at, word)])
            # Each word puts off the end that the one before it announced.
            others = [end for end in self.ends if end != self.echo_ends]
            self.echo_ends = (at + ECHO, at)
            self.ends = sorted([*others, self.echo_ends])
        self._hear(now - INTERIM)
        if self.ends and self.ends[0][0] <= now:
            self._hear(self.ends.pop(0)[1] + 0.02)
            if self.words:
                await self._open()
                await self.end(max(self.eot, 0.8), "model")
        if self.words:
            await self._open()
        if self.position >= self.due:
            self.due += UPDATE_EVERY
            await self.turn_info("Update", 0.1 if self.open else 0.0)
        await self.heard(self.position)

    def _hear(self, until: float) -> None:
        while self.coming and self.coming[0][0] <= until:
            _, text = self.coming.pop(0)
            self.words.append(Heard(text, self.position - 0.2, self.position))

    async def _open(self) -> None:
        if not self.open:
            self.open = True
            await self.turn_info("StartOfTurn", 0.05)
