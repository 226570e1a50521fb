"""The transcriber's place in a call, which another one can take when the first has failed."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable

from pipecat.frames.frames import (
    CancelFrame,
    EndFrame,
    ErrorFrame,
    Frame,
    InputAudioRawFrame,
    InterimTranscriptionFrame,
    StartFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.processors.frame_processor import (
    FrameCallback,
    FrameDirection,
    FrameProcessor,
    FrameProcessorSetup,
)
from pipecat.services.stt_service import STTService

from tipring.turns.words import spoken

log = logging.getLogger(__name__)

# Seconds a transcriber that has failed gets to let go of what it holds.
_LEAVE = 2.0

Next = Callable[[], Awaitable[STTService | None]]
"""Gives the transcriber that takes over, or None when there is no other."""


class Ears(FrameProcessor):
    """Hears with one transcriber, and with the next one when that is no longer usable.

    The audio since the last final words is kept, and the next transcriber hears it first, so that
    what was said meanwhile is not lost. Pipecat's own switcher keeps every service connected for
    the whole call, and what one service had not made words of yet is lost with it.

    The audio goes to the transcriber and, beside it, to whoever listens behind it: what the voice
    detector makes of it waits for no transcriber.

    When there is no other transcriber its ``on_error`` event is raised, and it is unusable.

    Args:
        first: Who hears from the begin.
        successor: Asked for the next one, at once when one has failed.
        keep: Seconds of audio that are kept at the most.
    """

    def __init__(self, first: STTService, *, successor: Next, keep: float = 15.0) -> None:
        super().__init__(enable_direct_mode=True)
        self._successor = successor
        self._memory = _Memory(keep)
        self._seat: _Seat | None = _Seat(first, self)
        self._started: StartFrame | None = None
        self._changing: asyncio.Task[None] | None = None
        self._leaving: set[asyncio.Task[None]] = set()

    async def setup(self, setup: FrameProcessorSetup) -> None:  # type: ignore[override]
        """Set up the transcriber."""
        await super().setup(setup)
        if self._seat is not None:
            await self._seat.line.setup(setup)

    async def cleanup(self) -> None:
        """Let the transcriber go."""
        if self._changing is not None:
            await self.cancel_task(self._changing)
        for task in list(self._leaving):
            await self.cancel_task(task)
        if self._seat is not None:
            await self._seat.line.cleanup()
        await super().cleanup()

    async def queue_frame(
        self,
        frame: Frame,
        direction: FrameDirection = FrameDirection.DOWNSTREAM,
        callback: FrameCallback | None = None,
    ) -> None:
        """Take a frame; sound at once, and by the shortest way."""
        if not isinstance(frame, InputAudioRawFrame) or self._started is None:
            await super().queue_frame(frame, direction, callback)
        elif not self._cancelling:
            self._memory.hear(frame)
            if self._seat is not None:
                await self._seat.stt.queue_frame(frame)
            if self._next is not None:
                await self._next.queue_frame(frame)

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Pass everything else through the transcriber."""
        await super().process_frame(frame, direction)
        if isinstance(frame, StartFrame):
            self._started = frame
        self._memory.hear(frame)
        if self._seat is not None:
            await self._seat.line.queue_frame(frame, direction)
        else:
            await self.push_frame(frame, direction)

    async def said(self, seat: _Seat, frame: Frame, direction: FrameDirection) -> None:
        """Take what comes out of a transcriber, on either side."""
        if seat.left or isinstance(frame, InputAudioRawFrame):
            return  # the audio has been passed on
        if isinstance(frame, StartFrame) and seat.late:
            return  # the others have had theirs
        if isinstance(frame, ErrorFrame) and not seat.stt.is_usable:
            if self._changing is None:
                self._changing = self.create_task(self._change(seat, frame), "hand over")
            return
        self._memory.understand(frame)
        await self.push_frame(frame, direction)

    async def _change(self, seat: _Seat, error: ErrorFrame) -> None:
        while True:
            seat.left = True
            self._seat = None
            self._leave(seat)
            stt = await self._successor()
            if stt is None:
                self._changing = None
                await self.set_usable(False)
                await self._call_event_handler("on_error", error)
                await self.push_frame(error, FrameDirection.UPSTREAM)
                return
            assert self._setup is not None and self._started is not None
            seat = _Seat(stt, self, late=True)
            await seat.line.setup(self._setup)
            await seat.line.queue_frame(self._started)
            again = self._memory.again()
            while again:
                frame, direction = again.popleft()
                await seat.line.queue_frame(frame, direction)
                if not again:  # what came meanwhile
                    again = self._memory.since()
            self._seat = seat
            if seat.stt.is_usable:
                self._changing = None
                return

    def _leave(self, seat: _Seat) -> None:
        task = self.create_task(self._let_go(seat), "let a transcriber go")
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _let_go(self, seat: _Seat) -> None:
        try:
            async with asyncio.timeout(_LEAVE):
                await seat.line.queue_frame(CancelFrame())
                await seat.cancelled.wait()
        except TimeoutError:
            log.warning("a transcriber that had failed did not stop in %g s", _LEAVE)
        await seat.line.cleanup()


class _Seat:
    """One transcriber, with an end on either side of it."""

    def __init__(self, stt: STTService, ears: Ears, *, late: bool = False) -> None:
        self.stt = stt
        stt._audio_passthrough = False  # a way for nothing: the ears pass it on
        self.late = late
        self.left = False
        self.cancelled = asyncio.Event()
        self.line = Pipeline([stt])
        before, behind = _End(self, ears), _End(self, ears)
        before.link(self.line)
        self.line.link(behind)


class _End(FrameProcessor):
    def __init__(self, seat: _Seat, ears: Ears) -> None:
        super().__init__(enable_direct_mode=True)
        self._seat = seat
        self._ears = ears

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        # It is no part of the pipeline, so it is never set up, and does nothing of its own.
        if isinstance(frame, CancelFrame | EndFrame):
            self._seat.cancelled.set()
        await self._ears.said(self._seat, frame, direction)


class _Memory:
    """The audio that nobody has made words of yet, with the begins and ends of the voice in it."""

    def __init__(self, keep: float) -> None:
        self._keep = keep
        self._frames: deque[tuple[float, Frame]] = deque()
        self._now = 0.0
        self._given = 0.0
        self._voice = False
        self._interim: tuple[tuple[str, ...], float] = ((), 0.0)
        self._fresh: deque[tuple[Frame, FrameDirection]] = deque()
        self._open = False

    def hear(self, frame: Frame) -> None:
        """Keep a frame, if it is the caller's voice."""
        if isinstance(frame, InputAudioRawFrame):
            self._now += frame.num_frames / frame.sample_rate
        elif not isinstance(frame, VADUserStartedSpeakingFrame | VADUserStoppedSpeakingFrame):
            return
        self._frames.append((self._now, frame))
        if self._open:
            self._fresh.append((frame, _way(frame)))
        self._forget(self._now - self._keep)

    def understand(self, frame: Frame) -> None:
        """Forget the audio of words that are final."""
        if isinstance(frame, InterimTranscriptionFrame):
            words = spoken(frame.text)
            if words != self._interim[0]:
                self._interim = (words, self._now)
        elif isinstance(frame, TranscriptionFrame):
            words, at = self._interim
            # The last words were known by then; what was said since may be in the audio behind.
            self._forget(at if words and words == spoken(frame.text) else self._now)
            self._interim = ((), 0.0)

    def again(self) -> deque[tuple[Frame, FrameDirection]]:
        """Everything that is kept, for somebody who has not heard it."""
        self._open = True
        self._fresh.clear()
        frames = deque((frame, _way(frame)) for _, frame in self._frames)
        if self._voice:
            frames.appendleft((VADUserStartedSpeakingFrame(), FrameDirection.UPSTREAM))
        return frames

    def since(self) -> deque[tuple[Frame, FrameDirection]]:
        """What has come since then; when there is nothing, no more is waited for."""
        fresh, self._fresh = self._fresh, deque()
        self._open = bool(fresh)
        return fresh

    def _forget(self, until: float) -> None:
        while self._frames and self._frames[0][0] <= until:
            _, frame = self._frames.popleft()
            if not isinstance(frame, InputAudioRawFrame):
                self._voice = isinstance(frame, VADUserStartedSpeakingFrame)


def _way(frame: Frame) -> FrameDirection:
    """Audio comes from the phone; where the voice is, the user aggregator tells."""
    audio = isinstance(frame, InputAudioRawFrame)
    return FrameDirection.DOWNSTREAM if audio else FrameDirection.UPSTREAM
