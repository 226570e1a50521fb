"""The caller: plays one call on the emulated phone, and keeps what was heard."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from tipring.phone import mulaw
from tipring.testing.clip import Clip as Sound
from tipring.testing.ear import Ear, Track
from tipring.testing.phone import CallOver, Phone

from bench.turns import echo
from bench.turns.calls import FLOOR, RATE, Anchor, Call, Event, Samples
from bench.turns.truth import Clip, Voice

GIVE_UP = 7.0
"""Seconds for which an answer is waited for."""

QUIET = 0.6
"""Seconds of silence by which the agent is taken to be done."""


class Room(Track):
    """What the caller's microphone gets: the caller, the room behind, and the agent's echo."""

    def __init__(self, call: Call, ear: Ear) -> None:
        super().__init__()
        self._behind = call.background
        self._gain = None if call.echo_db is None else 10 ** (call.echo_db / 20)
        self._ear = ear

    def read(self, begin: int, end: int) -> Samples:
        """A frame, with everything in it."""
        own = super().read(begin, end)
        if self._behind is None and self._gain is None:
            return own
        sound = own.astype(np.float64)
        if self._behind is not None:
            sound += np.take(self._behind, np.arange(begin, end), mode="wrap")
        back = round(echo.AFTER * RATE)
        if self._gain is not None and begin >= back:
            sound += self._gain * self._ear.track.read(begin - back, end - back)
        return np.clip(np.round(sound), -32768, 32767).astype(np.int16)


@dataclass
class Take:
    """One call as one system held it. Times are seconds since the stream's start message.

    Attributes:
        call: What was played.
        system: Who answered.
        clips: What was on the line, and when; of an anchor that never came about there is none.
        heard: What the caller's ear got.
        sent: What the caller's microphone gave.
        clears: When the agent dropped its audio, and how many seconds of it.
        asked: When the stub model was asked, and how many times the caller had begun by then.
        used: What each of those cost: tokens, and what the model was told.
        late: The share of frames that went out more than 40 ms late.
        broken: What went wrong, if it did.
    """

    call: Call
    system: str
    clips: list[Clip] = field(default_factory=list)
    void: list[int] = field(default_factory=list)
    heard: Samples = field(default_factory=lambda: np.zeros(0, np.int16))
    sent: Samples = field(default_factory=lambda: np.zeros(0, np.int16))
    clears: list[tuple[float, float]] = field(default_factory=list)
    asked: list[tuple[float, int]] = field(default_factory=list)
    used: list[dict[str, Any]] = field(default_factory=list)
    late: float = 0.0
    broken: str = ""

    def when(self, there: float) -> float | None:
        """The time in the call of a place in the audio, if it was on the line."""
        for clip in reversed(self.clips):
            if clip.holds(there):
                return clip.when(there)
        return None


Tell = Callable[[dict[str, Any]], None]


class Caller:
    """Plays one call.

    Args:
        call: What.
        system: To whom.
        tell: Tells the system's stubs what is on the line.
        voice: How the agent sounds.
    """

    def __init__(self, call: Call, system: str, tell: Tell, voice: Voice) -> None:
        self.take = Take(call=call, system=system)
        self._call = call
        self._tell = tell
        self._voice = voice
        self._phone: Phone | None = None
        self._asked_at: list[tuple[float, int]] = []
        self._floor_end = 0.0  # when the caller was last done, on the phone's clock
        self._clip_end = 0.0
        self._overlaid = False

    def asked(self, at: float, turns: int) -> None:
        """The stub model was asked.

        Args:
            at: On ``time.monotonic``.
            turns: How many times the caller had taken the floor.
        """
        self._asked_at.append((at, turns))

    async def play(self, url: str) -> Take:
        """Hold the call, from dialling to hanging up."""
        take = self.take
        try:
            async with asyncio.timeout(180):
                phone = await Phone.dial(url, parameters={"BenchCall": self._call.id})
                self._phone = phone
                phone._mouth = Room(self._call, phone._ear)
                async with phone:
                    try:
                        await self._say_everything(phone)
                    except CallOver:
                        take.broken = "the agent ended the call"
                    self._keep(phone)
        except TimeoutError:
            take.broken = "the call hung"
        except Exception as error:
            take.broken = f"{type(error).__name__}: {error}"
        if self._phone is not None and self._phone.errors and not take.broken:
            take.broken = self._phone.errors[0].what
        return take

    def _keep(self, phone: Phone) -> None:
        take = self.take
        take.heard, take.sent = phone.heard, phone.sent
        take.late = phone.late_frames / max(1, phone.frames_sent)
        take.clears = [
            (event.at, float(event.detail["dropped"]))
            for event in phone.timeline
            if event.name == "clear"
        ]
        take.asked = [(at - phone.began, turns) for at, turns in self._asked_at]

    async def _say_everything(self, phone: Phone) -> None:
        for number, anchor in enumerate(self._call.anchors):
            at = await self._moment(phone, anchor)
            if at is None:
                self.take.void.append(number)
                continue
            await self._say(phone, anchor, at)
        await self._finish(phone)

    async def _say(self, phone: Phone, anchor: Anchor, at: float) -> None:
        call = self._call
        piece = call.audio[round(anchor.begin * RATE) : round(anchor.end * RATE)]
        if at - phone.now > 0.05:
            await phone.until(at - 0.03)
        said = phone.say(Sound(samples=piece), at=at)
        clip = Clip(begin=anchor.begin, end=anchor.end, at=said.begin)
        self.take.clips.append(clip)
        self._tell(
            {
                "sid": phone.call_sid,
                "begin": anchor.begin,
                "end": anchor.end,
                "at": said.begin + phone.began,
            }
        )
        for event in call.events:
            if event.type == "echo" and clip.holds(event.begin):
                await self._comes_back(phone, event, clip)
            if event.type == "dtmf" and clip.holds(event.begin):
                for place, digit in enumerate(event.text):
                    await phone.until(clip.when(event.begin) + 0.25 * place)
                    phone.press(digit)
        await phone.until(said.end)
        floor = [e for e in call.floor if clip.holds(e.begin) or clip.holds(e.end)]
        self._clip_end = said.end
        if floor:
            last = floor[-1]
            self._floor_end = clip.when(last.end) if clip.holds(last.end) else said.end
        self._overlaid = not floor

    async def _comes_back(self, phone: Phone, event: Event, clip: Clip) -> None:
        """Tell what a transcriber reads of the echo, until the event or the agent ends."""
        began = clip.when(event.begin)
        await phone.until(began)
        track, now = phone._ear.track, round(began * RATE)
        turns = len([e for e in self._call.floor if e.begin < event.begin])
        heard = track.read(max(0, now - RATE), now)
        for word in echo.coming(self._call.reply(turns), heard, self._voice):
            end = began + word.end
            if end > clip.when(event.end):
                return
            await phone.until(end)
            if echo.silent(track.read(round((end - 0.15) * RATE), round(end * RATE))):
                return
            at = phone.began + end + echo.AFTER
            self._tell({"sid": phone.call_sid, "back": word.text, "at": at})

    async def _moment(self, phone: Phone, anchor: Anchor) -> float | None:
        """When an anchor's clip is due; None when what it waits for never comes about."""
        match anchor.after:
            case "start":
                return anchor.delay
            case "clip_end":
                return self._clip_end + anchor.delay
            case "asked":
                return await self._after_asked(phone, anchor.delay)
            case "agent_start":
                began = await self._agent_began(phone)
                return None if began is None else began + anchor.delay
        await self._agent_done(phone, max(QUIET, 1.8 if self._overlaid else anchor.delay))
        return (
            phone.now if self._overlaid else max(phone.now, self._quiet_since(phone) + anchor.delay)
        )

    def _quiet_since(self, phone: Phone) -> float:
        return phone.now - phone.silent_for

    async def _after_asked(self, phone: Phone, delay: float) -> float:
        """From the first question to the model since the caller's last words."""
        since = self._clip_end + phone.began - 0.5

        def asked() -> list[float]:
            return [at for at, _ in self._asked_at if at >= since]

        with contextlib.suppress(TimeoutError):
            await phone.when(lambda: bool(asked()), within=3.0)
        first = asked()[0] if asked() else time.monotonic()
        return max(self._clip_end, first - phone.began) + delay

    async def _agent_began(self, phone: Phone) -> float | None:
        """When the agent's answer to the last words began to be heard."""

        def began() -> list[float]:
            return [u.begin for u in phone.utterances if u.begin >= self._floor_end - 0.1]

        left = max(0.1, max(self._floor_end, 0.0) + GIVE_UP - phone.now)
        try:
            await phone.when(lambda: bool(began()), within=left)
        except TimeoutError:
            return None
        if self._overlaid and not phone.agent_speaking and phone.silent_for > 1.8:
            # Stopped for good by what came before: there is nothing left to speak over.
            return None
        return began()[0]

    async def _agent_done(self, phone: Phone, quiet: float) -> None:
        """Let the agent answer and come to its end; give up on one that never begins."""

        def done() -> bool:
            spoke = phone.now - phone.silent_for > self._floor_end + 0.05
            waited = phone.now - max(self._floor_end, self._quiet_since(phone)) > GIVE_UP
            return (spoke and phone.silent_for >= quiet) or waited

        await phone.when(done, within=60)

    async def _finish(self, phone: Phone) -> None:
        last = self._call.events[-1] if self._call.events else None
        if self._overlaid:
            await self._agent_done(phone, 2.0)
            return
        with contextlib.suppress(TimeoutError):
            await phone.when(
                lambda: phone.now - phone.silent_for > self._floor_end + 0.8, within=GIVE_UP
            )
        if last is not None and last.type in FLOOR:
            # A second answer to the same words would come now.
            await phone.until(phone.now + 0.5)


def as_heard(samples: Samples) -> Samples:
    """What μ-law leaves of a sound."""
    return mulaw.decode(mulaw.encode(samples))
