"""The stubs as Pipecat services: the same ones serve plain Pipecat and tipring."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import numpy as np
from pipecat.frames.frames import (
    CancelFrame,
    EndFrame,
    Frame,
    InterimTranscriptionFrame,
    InterruptionFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    StartFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
)
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.llm_service import LLMService
from pipecat.services.settings import LLMSettings, STTSettings, TTSSettings
from pipecat.services.stt_service import STTService
from pipecat.services.tts_service import TTSService
from pipecat.utils.time import time_now_iso8601

from bench.turns.calls import RATE
from bench.turns.truth import FINAL, FIRST_AUDIO, Desk

CHUNK = 0.04
"""Seconds of audio in a frame."""


class OracleSTT(STTService):
    """Tells the caller's words as :mod:`bench.turns.truth` has them; does not listen.

    Args:
        desk: The process's calls.
        sid: Which call.
    """

    def __init__(self, desk: Desk, sid: str) -> None:
        super().__init__(
            ttfs_p99_latency=FINAL + 0.05, settings=STTSettings(model="oracle", language=None)
        )
        self._truth = desk.truth(sid)
        self._telling: asyncio.Task[None] | None = None

    async def start(self, frame: StartFrame) -> None:
        """Begin to tell."""
        await super().start(frame)
        if self._telling is None:
            self._telling = self.create_task(self._tell(), "oracle")

    async def stop(self, frame: EndFrame) -> None:
        """Tell no more."""
        await super().stop(frame)
        await self._quit()

    async def cancel(self, frame: CancelFrame) -> None:
        """Tell no more."""
        await super().cancel(frame)
        await self._quit()

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        """Take the audio, and do nothing with it."""
        yield None

    async def _quit(self) -> None:
        task, self._telling = self._telling, None
        if task is not None:
            await self.cancel_task(task)

    async def _tell(self) -> None:
        async for one in self._truth.transcripts():
            now = time_now_iso8601()
            if one.final:
                await self.push_frame(TranscriptionFrame(one.text, "caller", now, finalized=True))
            else:
                await self.push_frame(InterimTranscriptionFrame(one.text, "caller", now))


class StubTTS(TTSService):
    """Speaks sentences that were rendered before the run, 120 ms after it got them.

    Args:
        desk: The process's calls.
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__(
            push_start_frame=True,
            push_stop_frames=True,
            push_text_frames=False,
            settings=TTSSettings(model="stub", voice="stub", language=None),
        )
        self._voice = desk.voice
        self._played = 0.0
        self._began: dict[str, float] = {}

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Speak, and be silent at once when interrupted."""
        if isinstance(frame, InterruptionFrame):
            self._played = 0.0
            self._began.clear()
        await super().process_frame(frame, direction)

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        """Give one sentence's audio, with the time of each word."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(FIRST_AUDIO)
        samples = self._voice.say(text)
        seconds = len(samples) / RATE
        starts = max(loop.time(), self._played)
        self._played = starts + seconds
        offset = starts - self._began.setdefault(context_id, starts)
        words = text.split()
        ends = np.cumsum([1 + len(word) for word in words]) / max(
            1, sum(map(len, words)) + len(words)
        )
        times = [
            (word, offset + float(end) * seconds) for word, end in zip(words, ends, strict=True)
        ]
        await self.add_word_timestamps(times, context_id)
        size = int(CHUNK * RATE)
        for at in range(0, len(samples), size):
            yield TTSAudioRawFrame(
                samples[at : at + size].tobytes(), RATE, 1, context_id=context_id
            )


class StubLLM(LLMService):
    """Answers with the call's next line, 250 ms after it was asked.

    Args:
        desk: The process's calls.
        sid: Which call.
    """

    def __init__(self, desk: Desk, sid: str) -> None:
        super().__init__(
            settings=LLMSettings(
                model="stub",
                system_instruction=None,
                temperature=None,
                max_tokens=None,
                top_p=None,
                top_k=None,
                frequency_penalty=None,
                presence_penalty=None,
                seed=None,
                filter_incomplete_user_turns=False,
                user_turn_completion_config=None,
            )
        )
        self._desk = desk
        self._sid = sid

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Answer a context; an interruption cancels this."""
        await super().process_frame(frame, direction)
        if not isinstance(frame, LLMContextFrame):
            await self.push_frame(frame, direction)
            return
        asked = self._desk.asked(self._sid)
        asked.heard = last_said(frame.context.get_messages())
        await self.push_frame(LLMFullResponseStartFrame())
        try:
            async for token in asked.tokens_of(asked.truth.reply()):
                await self._push_llm_text(token)
        finally:
            await self.push_frame(LLMFullResponseEndFrame())


def last_said(messages: list[Any]) -> str:
    """The caller's words since the agent last spoke, as the model is given them."""
    said: list[str] = []
    for message in reversed(messages):
        if not isinstance(message, dict) or message.get("role") != "user":
            break
        said.insert(0, str(message.get("content") or ""))
    return " ".join(said)
