"""One call's ears: utterances as the voice activity detector has them, with early words."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncGenerator
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pipecat.frames.frames import (
    CancelFrame,
    EndFrame,
    Frame,
    InterimTranscriptionFrame,
    StartFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.settings import STTSettings
from pipecat.services.stt_service import STTService
from pipecat.transcriptions.language import Language
from pipecat.utils.time import time_now_iso8601

from tipring_stt_moonshine import MoonshineSettings
from tipring_stt_moonshine.decoder import FINAL, FIRST, INTERIM, PAUSE, Decoder
from tipring_stt_moonshine.ear import Ear, quiet_since, quietest, voiced_seconds
from tipring_stt_moonshine.words import clean, unfinished

log = logging.getLogger(__name__)

LEAD = 0.8
"""Seconds before the speech that the detector confirmed: a soft consonant is not yet voice, and on
a busy machine the detector's word comes half a second behind the audio that it is about."""

FIRST_INTERIM = 0.35
"""Seconds of speech before the first guess: less is one syllable, and guesses at it are wild."""

SPARING = 3
"""A call spends at most a third of its time on guesses."""

OVERDUE = 1.5
"""Seconds after which further words are decoded even though others wait for the decoder. Most are
soon followed by the final ones; without any, an interruption that began like a "yeah" stays one."""

QUIET = 0.12
"""Seconds of quiet after which the words are decoded as if they were the last. The detector takes
0.2 s to say that speech is over, and then they are ready."""

PATIENCE = 3.0
"""Seconds for which a call that ends in order waits for its last words."""

TTFS_P99 = 0.6
"""Seconds from the end of speech to its final words, for one call.

Measured: 14 recorded requests of three to five seconds (16 utterances), fed in real time through
this service behind Silero (stop_secs 0.2), on two shared cores: median 0.22 and slowest 0.43; while
those cores did other work, 0.26 and 0.61. Sixteen have no 99th percentile, so the slowest stands.
"""


@dataclass(frozen=True, kw_only=True)
class _Early:
    """A decode made in a pause: the final words, if the pause is the end."""

    until: int
    words: Future[str]


@dataclass(kw_only=True)
class _Utterance:
    """Speech that goes on. Places are samples since the call began."""

    start: int
    next_look: int
    next_interim: int
    shown: str = ""
    early: _Early | None = None


@dataclass(frozen=True, kw_only=True)
class _Piece:
    """Speech that is over, waiting for its words."""

    samples: NDArray[np.float32]
    finalized: bool
    early: Future[str] | None = None


class MoonshineService(STTService):
    """Moonshine as a Pipecat service.

    It wants the voice activity detector's frames, which the user aggregator sends upstream, and
    puts its own 0.5 s of pre-roll before each utterance. Every sample belongs to one utterance at
    most, so nothing is heard twice where one ends and the next begins.

    Args:
        settings: As in the configuration.
        decoder: The process's decoder.
    """

    def __init__(self, settings: MoonshineSettings, decoder: Decoder) -> None:
        super().__init__(
            settings=STTSettings(model="moonshine-tiny-en", language=Language.EN),
            ttfs_p99_latency=TTFS_P99,
        )
        self._wants = settings
        self._decoder = decoder
        self._ear = Ear(16000)
        self._utterance: _Utterance | None = None
        self._taken = 0
        self._pieces: deque[_Piece] = deque()
        self._guess: Future[str] | None = None
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._scribe: asyncio.Task[None] | None = None

    def can_generate_metrics(self) -> bool:
        """Speech end to final transcript is measured."""
        return True

    async def start(self, frame: StartFrame) -> None:
        """Begin to listen."""
        await super().start(frame)
        self._ear = Ear(self.sample_rate)
        self._scribe = self.create_task(self._write())

    async def stop(self, frame: EndFrame) -> None:
        """Finish the words already spoken, then stop."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), PATIENCE)
        await self._dismiss()
        await super().stop(frame)

    async def cancel(self, frame: CancelFrame) -> None:
        """Stop now."""
        await self._dismiss()
        await super().cancel(frame)

    async def cleanup(self) -> None:
        """Let go of what is left."""
        await self._dismiss()
        await super().cleanup()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Listen, and mind where the detector says that speech begins and ends."""
        await super().process_frame(frame, direction)
        if isinstance(frame, VADUserStartedSpeakingFrame):
            self._open(frame.start_secs)
        elif isinstance(frame, VADUserStoppedSpeakingFrame):
            self._close(frame.stop_secs)

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        """Take in some audio; the words come on their own."""
        self._ear.feed(audio)
        utterance = self._utterance
        if utterance is None:
            self._ear.forget()
        elif self._ear.end - utterance.start > self._ear.seconds(self._wants.longest):
            self._cut(utterance)
        elif self._ear.end >= utterance.next_look:
            utterance.next_look = self._ear.end + self._ear.seconds(QUIET / 2)
            self._stir()
        yield None

    def _open(self, start_secs: float) -> None:
        if self._utterance is not None:
            return
        began = self._ear.end - self._ear.seconds(start_secs)
        first = began + self._ear.seconds(FIRST_INTERIM)
        self._utterance = _Utterance(
            start=max(self._ear.begin, self._taken, began - self._ear.seconds(LEAD)),
            next_look=first,
            next_interim=first,
        )

    def _close(self, stop_secs: float) -> None:
        utterance, self._utterance = self._utterance, None
        if utterance is None:
            return
        # Half of the closing silence goes to this utterance and half to one that may follow at
        # once: both ends keep their soft sounds, and no sample is heard twice.
        until = max(utterance.start, self._ear.end - self._ear.seconds(stop_secs / 2))
        self._take(utterance.start, until, finalized=True, early=utterance.early)

    def _cut(self, utterance: _Utterance) -> None:
        speech = self._ear.samples(utterance.start, self._ear.end)
        place = utterance.start + quietest(speech, self._ear.rate, after=self._wants.longest / 2)
        self._take(utterance.start, place, finalized=False)
        utterance.start, utterance.shown, utterance.early = place, "", None

    def _take(
        self, start: int, until: int, *, finalized: bool, early: _Early | None = None
    ) -> None:
        samples = self._ear.samples(start, until)
        words: Future[str] | None = None
        if early is not None and quiet_since(samples, self._ear.rate, early.until - start):
            words = early.words
        if self._guess is not None:
            # Still in the queue, it only keeps the words that are wanted now from coming.
            self._guess.cancel()
        self._pieces.append(_Piece(samples=samples, finalized=finalized, early=words))
        self._taken = until
        self._ear.forget(before=until)
        self._stir()

    def _stir(self) -> None:
        self._idle.clear()
        self._wake.set()

    async def _dismiss(self) -> None:
        scribe, self._scribe = self._scribe, None
        if scribe is not None:
            await self.cancel_task(scribe)
        self._idle.set()

    async def _write(self) -> None:
        # One decode at a time for a call, what is over before what goes on. An interim that comes
        # due while this is busy is not queued: the next one has its words too.
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                while self._pieces:
                    await self._tell_final(self._pieces.popleft())
                await self._tell_interim()
            except Exception as error:
                log.exception("an utterance could not be decoded")
                await self.push_error("Moonshine could not decode an utterance", error)
            if not self._wake.is_set():
                self._idle.set()

    async def _tell_final(self, piece: _Piece) -> None:
        voiced = voiced_seconds(piece.samples, self._ear.rate)
        if not voiced:
            return
        job = piece.early
        if job is None or job.cancelled() or (job.done() and job.exception()):
            job = self._decoder.submit(piece.samples, self._ear.rate, urgency=FINAL)
        text = clean(await asyncio.wrap_future(job), voiced=voiced)
        if text:
            await self.push_frame(
                TranscriptionFrame(
                    text,
                    self._user_id,
                    time_now_iso8601(),
                    Language.EN,
                    finalized=piece.finalized,
                )
            )

    async def _tell_interim(self) -> None:
        utterance, ear = self._utterance, self._ear
        if utterance is None or ear.end < utterance.start + ear.seconds(FIRST_INTERIM):
            return
        since = max(utterance.start, ear.end - ear.seconds(2.0))
        recent = ear.samples(since, ear.end)
        pausing = quiet_since(recent, ear.rate, len(recent) - ear.seconds(QUIET))
        early = utterance.early
        if pausing and early and quiet_since(recent, ear.rate, max(0, early.until - since)):
            # This pause was looked at already.
            return
        due = self._wants.interims and ear.end >= utterance.next_interim
        if not pausing and not due:
            return
        urgency = PAUSE if pausing else INTERIM if utterance.shown else FIRST
        late = ear.end >= utterance.next_interim + ear.seconds(OVERDUE)
        if urgency == INTERIM and self._decoder.busy and not late:
            return
        speech = ear.samples(utterance.start, ear.end)
        place, asked = utterance.start, ear.end
        utterance.next_interim = asked + ear.seconds(self._wants.interim_every)
        text = await self._guessed(speech, urgency, utterance)
        # With many callers talking at once a guess takes longer; ask less often, not more.
        took = ear.end - asked
        utterance.next_interim = max(utterance.next_interim, asked + SPARING * took)
        # The utterance may have ended, or lost its head, while its words were looked for.
        current = self._utterance is utterance and utterance.start == place
        if current and self._wants.interims and text and text != utterance.shown:
            utterance.shown = text
            await self.push_frame(
                InterimTranscriptionFrame(text, self._user_id, time_now_iso8601(), Language.EN)
            )

    async def _guessed(
        self, speech: NDArray[np.float32], urgency: int, utterance: _Utterance
    ) -> str:
        voiced = voiced_seconds(speech, self._ear.rate)
        if not voiced:
            return ""
        guess = self._guess = self._decoder.submit(speech, self._ear.rate, urgency=urgency)
        if urgency == PAUSE:
            utterance.early = _Early(until=utterance.start + len(speech), words=guess)
        try:
            # Waited on, not awaited: what _take cancels is the guess, not this task.
            await asyncio.wait([asyncio.wrap_future(guess)])
            return "" if guess.cancelled() else unfinished(clean(guess.result(), voiced=voiced))
        finally:
            self._guess = None
            guess.cancel()
