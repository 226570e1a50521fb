"""What one call was like, gathered while it lasts and written when it is over."""

from __future__ import annotations

import asyncio
import json
import re
import time
from pathlib import Path

from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    Frame,
    InterruptionFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from pipecat.observers.base_observer import BaseObserver, FramePushed
from pipecat.processors.frame_processor import FrameDirection


class SummaryObserver(BaseObserver):
    """Sees every frame of a call, and can hold none of them up.

    No word that was said is kept: a summary may be shown to anybody.

    Args:
        call: The call's id.
        folder: Where the summary is written, as ``ID.json``.
    """

    def __init__(self, call: str, folder: Path) -> None:
        super().__init__(observe_every_push=False)
        self._call = call
        self._folder = folder
        self._began = time.monotonic()
        self._talk = {"caller": 0.0, "agent": 0.0}
        self._turns = {"caller": 0, "agent": 0}
        self._since: dict[str, float] = {}
        self._interruptions = 0

    async def on_push_frame(self, data: FramePushed) -> None:
        """Look at a frame. Many are sent both ways, and one of the two is enough."""
        if data.direction is FrameDirection.DOWNSTREAM:
            self._note(data.frame)

    def _note(self, frame: Frame) -> None:
        now = time.monotonic()
        match frame:
            case UserStartedSpeakingFrame():
                self._starts("caller", now)
            case UserStoppedSpeakingFrame():
                self._stops("caller", now)
            case BotStartedSpeakingFrame():
                self._starts("agent", now)
            case BotStoppedSpeakingFrame():
                self._stops("agent", now)
            case InterruptionFrame() if "agent" in self._since:
                self._interruptions += 1

    def _starts(self, who: str, now: float) -> None:
        if who not in self._since:
            self._since[who] = now
            self._turns[who] += 1

    def _stops(self, who: str, now: float) -> None:
        if who in self._since:
            self._talk[who] += now - self._since.pop(who)

    async def cleanup(self) -> None:
        """The call is over: write what it was like."""
        now = time.monotonic()
        for who in tuple(self._since):
            self._stops(who, now)
        summary = {
            "call": self._call,
            "seconds": round(now - self._began, 1),
            "turns": self._turns,
            "talk": {who: round(seconds, 1) for who, seconds in self._talk.items()},
            "interruptions": self._interruptions,
        }
        await asyncio.to_thread(self._write, json.dumps(summary, indent=2))
        await super().cleanup()

    def _write(self, text: str) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        # The id comes from outside, and must not name another folder.
        name = re.sub(r"[^A-Za-z0-9_-]", "_", self._call)
        (self._folder / f"{name}.json").write_text(text + "\n")
