"""Providers at stated delays, as Pipecat services, and what they write down.

They do no work of their own, so what is measured is the host: telephony, voice detection, Smart
Turn, the pipeline. Both systems use the same ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from typing import Any

import numpy as np
from pipecat.frames.frames import (
    CancelFrame,
    EndFrame,
    Frame,
    InterimTranscriptionFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    UserStoppedSpeakingFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.llm_service import LLMService
from pipecat.services.settings import LLMSettings, STTSettings, TTSSettings
from pipecat.services.stt_service import STTService
from pipecat.services.tts_service import TTSService
from pipecat.utils.time import time_now_iso8601

INTERIM = 0.3
"""Seconds from the voice detector's start to the first word, and from each word to the next."""
FINAL = 0.12
"""Seconds from the voice detector's stop to the final words, as a streaming transcriber flushes."""
FIRST_TOKEN = 0.25
"""Seconds from the question to the first token."""
FIRST_AUDIO = 0.12
"""Seconds from a sentence to its first audio."""

HEARD = "I would like to book a table for four people on Saturday evening."
ANSWER = "Certainly, a table for four on Saturday evening."
SPOKEN = 2.0
"""Seconds that each answer takes to say."""
CHUNK = 0.1

commits: list[tuple[str, float]] = []
"""When the turns of each call were committed, on the machine's monotonic clock."""


def voice(rate: int) -> bytes:
    """So many seconds of a tone, PCM16."""
    at = np.arange(int(SPOKEN * rate)) / rate
    return (6000 * np.sin(2 * np.pi * 220 * at)).astype("<i2").tobytes()


class StubSTT(STTService):
    """Hears the same sentence whenever the voice detector hears a voice."""

    def __init__(self) -> None:
        super().__init__(settings=STTSettings(model="stub", language=None), ttfs_p99_latency=0.35)
        self._telling: asyncio.Task[None] | None = None

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        """Take the audio and do nothing with it."""
        yield None

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Mind the voice detector."""
        await super().process_frame(frame, direction)
        if isinstance(frame, VADUserStartedSpeakingFrame):
            await self._instead(self._tell_words())
        elif isinstance(frame, VADUserStoppedSpeakingFrame):
            await self._instead(self._tell_all())
        elif isinstance(frame, EndFrame | CancelFrame):
            await self._quiet()

    async def _quiet(self) -> None:
        task, self._telling = self._telling, None
        if task is not None and not task.done():
            await self.cancel_task(task)

    async def _instead(self, telling: Coroutine[Any, Any, None]) -> None:
        await self._quiet()
        self._telling = self.create_task(telling, "stub")

    async def _tell_words(self) -> None:
        # One more each time: a voice of which no new word comes is taken for the room's.
        words = HEARD.split()
        for count in range(1, len(words) + 1):
            await asyncio.sleep(INTERIM)
            so_far = " ".join(words[:count])
            await self.push_frame(InterimTranscriptionFrame(so_far, "caller", time_now_iso8601()))

    async def _tell_all(self) -> None:
        await asyncio.sleep(FINAL)
        now = time_now_iso8601()
        await self.push_frame(TranscriptionFrame(HEARD, "caller", now, finalized=True))


class StubLLM(LLMService):
    """Gives the same answer to everything; for stock Pipecat. tipring has a rung for it."""

    def __init__(self) -> None:
        unset: dict[str, Any] = dict.fromkeys(
            (
                "system_instruction",
                "temperature",
                "max_tokens",
                "top_p",
                "top_k",
                "frequency_penalty",
                "presence_penalty",
                "seed",
                "user_turn_completion_config",
            )
        )
        super().__init__(
            settings=LLMSettings(model="stub", filter_incomplete_user_turns=False, **unset)
        )

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Answer a context."""
        await super().process_frame(frame, direction)
        if not isinstance(frame, LLMContextFrame):
            await self.push_frame(frame, direction)
            return
        await self.push_frame(LLMFullResponseStartFrame())
        await asyncio.sleep(FIRST_TOKEN)
        for word in ANSWER.split():
            await self._push_llm_text(word + " ")
        await self.push_frame(LLMFullResponseEndFrame())


class StubTTS(TTSService):
    """Says every sentence with the same sound, and notes when the caller's turns end.

    Args:
        call: Whose voice it is.
    """

    def __init__(self, call: str) -> None:
        super().__init__(
            push_start_frame=True,
            push_stop_frames=True,
            settings=TTSSettings(model="stub", voice="stub", language=None),
        )
        self._call = call

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Note the end of a turn as it passes."""
        if isinstance(frame, UserStoppedSpeakingFrame) and direction is FrameDirection.DOWNSTREAM:
            commits.append((self._call, asyncio.get_running_loop().time()))
        await super().process_frame(frame, direction)

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        """Speak."""
        await asyncio.sleep(FIRST_AUDIO)
        rate = self.sample_rate
        sound, size = voice(rate), int(CHUNK * rate) * 2
        for at in range(0, len(sound), size):
            yield TTSAudioRawFrame(sound[at : at + size], rate, 1, context_id=context_id)
