"""What the stubs of a system know: the words of the call, as they would have come to be heard.

The caller's process says on stdin which piece of the audio is on the line since when, on the clock
that all processes of a machine share. From that the oracle transcriber tells its words, late by
what is stated here, the same for every system.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import re
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench.turns.calls import RATE, SEGMENT, Call, Samples, Word, load_all

INTERIM = 0.15
"""Seconds from a word's end until it is in an interim transcript."""

FINAL = 0.25
"""Seconds from the end of a segment until its final transcript."""

FIRST_TOKEN = 0.25
"""Seconds from the question to the model's first token."""

TOKEN = 0.015
"""Seconds from a token of the model to the next."""

FIRST_AUDIO = 0.12
"""Seconds from a sentence to its first audio."""


@dataclass(frozen=True, kw_only=True)
class Transcript:
    """Something that the transcriber tells."""

    at: float
    text: str
    final: bool
    end: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A piece of the call's audio on the line.

    Attributes:
        begin: Where it begins in the audio.
        end: Where it ends.
        at: When it began, on ``time.monotonic``.
    """

    begin: float
    end: float
    at: float

    def when(self, there: float) -> float:
        """The moment of a place in the audio."""
        return self.at + there - self.begin

    def holds(self, there: float) -> bool:
        """Whether that place is in it."""
        return self.begin - 1e-6 <= there <= self.end + 1e-6


@dataclass
class Truth:
    """One call in progress, as its stubs know it."""

    call: Call
    clips: list[Clip] = field(default_factory=list)
    queue: asyncio.Queue[Clip] = field(default_factory=asyncio.Queue)
    listeners: list[asyncio.Queue[Clip]] = field(default_factory=list)
    back: list[tuple[float, str]] = field(default_factory=list)
    returned: asyncio.Condition = field(default_factory=asyncio.Condition)

    def told(self, clip: Clip) -> None:
        """A clip is on the line."""
        self.clips.append(clip)
        for queue in self.listeners:
            queue.put_nowait(clip)

    def when(self, there: float) -> float | None:
        """The moment of a place in the audio, or None when it is not on the line yet."""
        for clip in reversed(self.clips):
            if clip.holds(there):
                return clip.when(there)
        return None

    def turns_begun(self) -> int:
        """How many times the caller has taken the floor by now."""
        now = time.monotonic()
        begun = (self.when(event.begin) for event in self.call.floor)
        return sum(1 for at in begun if at is not None and at <= now)

    def reply(self) -> str:
        """What the agent has to say now: the same for every system, however often it asks."""
        return self.call.reply(self.turns_begun())

    async def clips_told(self) -> AsyncIterator[Clip]:
        """Every clip, as it is put on the line."""
        queue: asyncio.Queue[Clip] = asyncio.Queue()
        for clip in self.clips:
            queue.put_nowait(clip)
        self.listeners.append(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self.listeners.remove(queue)

    async def came_back(self, word: str, at: float) -> None:
        """A word of the agent's has come back, and ended at that moment."""
        async with self.returned:
            self.back.append((at, word))
            self.returned.notify_all()

    async def transcripts(self) -> AsyncIterator[Transcript]:
        """What the oracle transcriber tells, each when it is due."""
        told: asyncio.Queue[Transcript] = asyncio.Queue()
        ears = [asyncio.create_task(hear(told)) for hear in (self._hear_caller, self._hear_echo)]
        try:
            while True:
                yield await told.get()
        finally:
            for ear in ears:
                ear.cancel()

    async def _hear_caller(self, told: asyncio.Queue[Transcript]) -> None:
        async for clip in self.clips_told():
            for one in transcripts(self.call, clip):
                await asyncio.sleep(max(0.0, one.at - time.monotonic()))
                told.put_nowait(one)

    async def _hear_echo(self, told: asyncio.Queue[Transcript]) -> None:
        words: list[str] = []
        last, seen = 0.0, 0
        while True:
            try:
                over = max(0.0, last + FINAL - time.monotonic()) if words else None
                async with asyncio.timeout(over), self.returned:
                    while seen == len(self.back):
                        await self.returned.wait()
            except TimeoutError:
                text = " ".join(words)
                words.clear()
                told.put_nowait(Transcript(at=last + FINAL, text=text, final=True, end=last))
                continue
            last, word = self.back[seen]
            seen += 1
            words.append(word)
            await asyncio.sleep(max(0.0, last + INTERIM - time.monotonic()))
            text = " ".join(words).rstrip(".,?!")
            told.put_nowait(Transcript(at=last + INTERIM, text=text, final=False))


def segments(call: Call, clip: Clip) -> list[list[Word]]:
    """The words of a clip, split where the caller pauses for long enough."""
    parts: list[list[Word]] = []
    words = sorted(
        (w for event in call.events for w in event.words if clip.holds(w.begin)),
        key=lambda w: w.begin,
    )
    for word in words:
        if parts and word.begin - parts[-1][-1].end < SEGMENT:
            parts[-1].append(word)
        else:
            parts.append([word])
    return parts


def transcripts(call: Call, clip: Clip) -> list[Transcript]:
    """What is told of a clip, and when."""
    told: list[Transcript] = []
    for words in segments(call, clip):
        final_at = clip.when(words[-1].end) + FINAL
        for count, word in enumerate(words, start=1):
            at = clip.when(word.end) + INTERIM
            if at < final_at - 0.02:
                text = " ".join(w.text for w in words[:count])
                told.append(Transcript(at=at, text=text.rstrip(".,?!"), final=False))
        text = " ".join(w.text for w in words)
        told.append(Transcript(at=final_at, text=text, final=True, end=clip.when(words[-1].end)))
    return told


class Desk:
    """All calls of a system's process, and its wire to the caller's process."""

    def __init__(self, calls: list[Call], voices: Path) -> None:
        self._calls = {call.id: call for call in calls}
        self._live: dict[str, Truth] = {}
        self.voice = Voice(voices)

    @classmethod
    def open(cls, folder: Path) -> Desk:
        """Read the calls that will be made."""
        return cls(load_all(folder), folder / "voice")

    def answer(self, sid: str, call: str) -> None:
        """A call comes in: Twilio's name for it, and ours."""
        self._live[sid] = Truth(self._calls[call])

    def truth(self, sid: str) -> Truth:
        """What is known of a live call; of a rehearsal, an empty one."""
        if sid not in self._live:
            empty = Call(
                id="rehearsal",
                family="none",
                folder=Path(),
                audio=np.zeros(0, dtype=np.int16),
                agent=("Hello.",),
                anchors=(),
                events=(),
            )
            self._live[sid] = Truth(empty)
        return self._live[sid]

    def asked(self, sid: str) -> Asked:
        """The model is asked: tell the caller's process, and count."""
        truth = self.truth(sid)
        self.tell(asked=truth.call.id, at=time.monotonic(), turns=truth.turns_begun())
        return Asked(self, truth)

    def tell(self, **what: Any) -> None:
        """A line to the caller's process."""
        sys.stdout.write(json.dumps(what) + "\n")
        sys.stdout.flush()

    async def listen(self) -> None:
        """Follow what the caller's process says until it closes stdin."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            told = json.loads(line)
            truth = self._live.get(told["sid"])
            if truth is not None and "back" in told:
                await truth.came_back(told["back"], told["at"])
            elif truth is not None:
                truth.told(Clip(begin=told["begin"], end=told["end"], at=told["at"]))


@dataclass
class Asked:
    """One request to the stub model, and what it cost."""

    desk: Desk
    truth: Truth
    tokens: int = 0
    heard: str = ""

    async def tokens_of(self, text: str) -> AsyncIterator[str]:
        """The reply, token by token, at the stub model's pace."""
        done = False
        try:
            await asyncio.sleep(FIRST_TOKEN)
            began = time.monotonic()
            for number, word in enumerate(re.findall(r"\S+\s*", text)):
                await asyncio.sleep(max(0.0, began + number * TOKEN - time.monotonic()))
                self.tokens += 1
                yield word
            done = True
        finally:
            self.desk.tell(
                used=self.truth.call.id, tokens=self.tokens, whole=done, heard=self.heard
            )


class Voice:
    """The agent's sentences, rendered before the run; the same sound for every system.

    Args:
        folder: Where they lie.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, Samples] = {}

    def say(self, text: str) -> Samples:
        """A sentence as PCM16 at 8 kHz; what was not rendered is a hum of its length."""
        name = key(text)
        if name not in self._known:
            path = self._folder / f"{name}.npy"
            parts = sentences(text)
            if path.is_file():
                self._known[name] = np.load(path)
            elif len(parts) > 1:
                self._known[name] = np.concatenate([self.say(part) for part in parts])
            else:
                self._known[name] = hum(text)
        return self._known[name]


def key(text: str) -> str:
    """A file's name for a sentence, whatever its punctuation and case."""
    plain = " ".join(re.findall(r"[a-z0-9']+", text.casefold()))
    return hashlib.sha256(plain.encode()).hexdigest()[:16]


def sentences(text: str) -> list[str]:
    """The sentences of a reply."""
    return [part for part in re.split(r"(?<=[.?!])\s+", text.strip()) if part]


def hum(text: str) -> Samples:
    """Something that lasts as long as the text and is heard."""
    t = np.arange(int(RATE * (0.3 + 0.06 * len(text)))) / RATE
    wave = np.sin(2 * np.pi * 140 * t) + 0.5 * np.sin(2 * np.pi * 420 * t)
    return np.asarray(3000 * wave * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * t)), dtype=np.int16)


@contextlib.asynccontextmanager
async def watched(desk: Desk) -> AsyncIterator[None]:
    """Tell how late the loop is, once a second."""

    async def watch() -> None:
        while True:
            worst = 0.0
            for _ in range(50):
                due = time.monotonic() + 0.02
                await asyncio.sleep(0.02)
                worst = max(worst, time.monotonic() - due)
            desk.tell(lag=worst)

    task = asyncio.create_task(watch())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
