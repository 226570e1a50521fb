"""One call's mouth: sentence by sentence, and word by word into what the agent remembers."""

from __future__ import annotations

import asyncio
import functools
import re
from collections.abc import AsyncGenerator

import numpy as np
from numpy.typing import NDArray
from pipecat.frames.frames import Frame, InterruptionFrame, TTSAudioRawFrame
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.settings import TTSSettings
from pipecat.services.tts_service import TTSService
from pipecat.transcriptions.language import Language

from tipring_tts_hibari import HibariSettings
from tipring_tts_hibari.voice import Voice, speaking_thread

CHUNK = 0.04
"""Seconds of audio in a frame: as much as the telephone transport sends at a time."""

NOTHING = 0.1
"""Seconds of silence in place of a sentence without words. Pipecat takes a voice that keeps
giving nothing for broken, and a row of dashes is not a broken voice."""


class HibariService(TTSService):
    """hibari as a Pipecat service.

    Each word goes into the agent's memory when it has been played, so an agent that was
    interrupted knows how far it came. hibari does not say when each word is spoken; its length
    in letters and the pauses of its punctuation tell well enough.

    Args:
        settings: As in the configuration.
        voice: The process's voice.
    """

    def __init__(self, settings: HibariSettings, voice: Voice) -> None:
        super().__init__(
            push_start_frame=True,
            push_stop_frames=True,
            push_text_frames=False,
            settings=TTSSettings(model="hibari", voice=settings.voice, language=Language.EN),
        )
        self._wants = settings
        self._speech = voice
        # On the loop's clock: when the audio handed on so far will have been played, and when
        # that of each context begins to be.
        self._played = 0.0
        self._began: dict[str, float] = {}

    def can_generate_metrics(self) -> bool:
        """Time to first audio is measured."""
        return True

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Speak, and be silent at once when interrupted."""
        if isinstance(frame, InterruptionFrame):
            self._played = 0.0
            self._began.clear()
        await super().process_frame(frame, direction)

    async def on_audio_context_completed(self, context_id: str) -> None:
        """Forget when a reply began."""
        self._began.pop(context_id, None)

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        """Synthesise one sentence off the loop and hand it on in small pieces.

        An interruption cancels this: what is being synthesised is then thrown away.
        """
        await self.start_tts_usage_metrics(text)
        loop = asyncio.get_running_loop()
        say = functools.partial(
            self._speech.say, text, rate=self.sample_rate, speed=self._wants.speed
        )
        samples = await loop.run_in_executor(speaking_thread(), say)
        if not len(samples):
            samples = np.zeros(int(NOTHING * self.sample_rate), np.int16)
        seconds = len(samples) / self.sample_rate

        starts = max(loop.time(), self._played)
        self._played = starts + seconds
        offset = starts - self._began.setdefault(context_id, starts)
        times = [(word, offset + at) for word, at in word_ends(text, samples, self.sample_rate)]
        await self.add_word_timestamps(times, context_id)

        size = int(CHUNK * self.sample_rate)
        for at in range(0, len(samples), size):
            yield TTSAudioRawFrame(
                samples[at : at + size].tobytes(), self.sample_rate, 1, context_id=context_id
            )


def word_ends(text: str, samples: NDArray[np.int16], rate: int) -> list[tuple[str, float]]:
    """Each word of a sentence with the seconds after which it has been said, by estimate.

    The last word ends with the audio, silence and all, so that the next sentence begins there.
    """
    words = text.split()
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > 300)
    first, last = (loud[0] / rate, loud[-1] / rate) if len(loud) else (0.0, 0.0)
    weights = [_weight(word) for word in words]
    total = sum(weights) or 1.0
    ends: list[tuple[str, float]] = []
    said = 0.0
    for word, weight in zip(words, weights, strict=True):
        said += weight
        ends.append((word, first + (last - first) * said / total))
    if ends:
        ends[-1] = (ends[-1][0], len(samples) / rate)
    return ends


def _weight(word: str) -> float:
    letters = len(re.sub(r"\W", "", word))
    # A digit is a whole word when spoken, and punctuation is a pause.
    digits = sum(c.isdigit() for c in word)
    pause = 4.0 if word[-1] in ".?!:;" else 2.5 if word[-1] in ",-" else 0.0
    return 1.0 + letters + 3.0 * digits + pause
