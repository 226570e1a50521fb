"""What a voice has to keep."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar

from pipecat.frames.frames import (
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TTSAudioRawFrame,
)
from pipecat.services.tts_service import TTSService

from tipring.providers import Tts
from tipring.testing.contract import ContractBroken, ProviderContract, rule
from tipring.testing.contract_line import Line, leaves_nothing, line, now


class TtsContract(ProviderContract):
    """What holds for a voice.

    Attributes:
        text: What it is asked to say; a sentence of three seconds or more.
        within: Seconds in which its first audio has to come.
    """

    text: ClassVar[str] = "Thank you for calling, we are open from nine until five on weekdays."
    within: ClassVar[float] = 5.0

    @rule
    def test_speaks_the_first_audio_soon_and_all_of_it(self) -> None:
        """Silence after a question is what callers hang up on."""

        async def run() -> None:
            async with self._speaking() as made:
                await self._say(made)
                await self._first(made)
                await self._quiet(made)
                if _seconds(made) < 0.5:
                    raise ContractBroken(
                        f"a sentence of {len(self.text.split())} words lasted"
                        f" {_seconds(made):.2f} s",
                        "yield every piece of audio as a TTSAudioRawFrame",
                    )

        asyncio.run(run())

    @rule
    def test_the_sample_rate_is_what_it_says(self) -> None:
        """A frame says its rate; if it lies, the caller hears a giant or a mouse."""

        async def run() -> None:
            lasted: dict[int, float] = {}
            for rate in (8000, 16000):
                async with self._speaking(rate) as made:
                    await self._say(made)
                    await self._first(made)
                    await self._quiet(made)
                    frames = made.seen(TTSAudioRawFrame)
                    lasted[rate] = _seconds(made)
                if any(len(frame.audio) % 2 for frame in frames):
                    raise ContractBroken(
                        "a piece of audio has half a sample in it", "yield whole 16 bit samples"
                    )
                if rate == 8000 and (wrong := {f.sample_rate for f in frames} - {rate}):
                    raise ContractBroken(
                        f"asked for {rate} Hz it spoke at {min(wrong)} Hz",
                        "ask the provider for self.sample_rate, or resample to it",
                    )
            low, high = sorted(lasted.values())
            if high > 1.5 * low:
                raise ContractBroken(
                    f"the same words lasted {lasted[8000]:.1f} s at 8000 Hz and"
                    f" {lasted[16000]:.1f} s at 16000 Hz",
                    "give frames the rate that their samples really have",
                )

        asyncio.run(run())

    @rule
    def test_no_audio_comes_after_a_cancel(self) -> None:
        """An interrupted agent is silent, and speaks again when it is asked to."""

        async def run() -> None:
            async with self._speaking() as made:
                await self._say(made, times=3)
                await self._first(made)
                await made.put(InterruptionFrame())
                await made.until(lambda: made.seen(InterruptionFrame), 5)
                if not made.seen(InterruptionFrame):
                    raise ContractBroken(
                        "it kept the InterruptionFrame for itself",
                        "leave interruptions to TTSService, or push the frame on",
                    )
                await asyncio.sleep(0.6)  # that nothing comes can only be waited for
                at = next(at for at, f in made.frames if isinstance(f, InterruptionFrame))
                # A frame that was on its way when the interruption passed it is not counted.
                late = [f for t, f in made.frames if t > at + 0.1 and _is_audio(f)]
                if late:
                    raise ContractBroken(
                        f"{len(late)} pieces of audio came after the interruption",
                        "stop the request and your own tasks in on_audio_context_interrupted()"
                        " or _handle_interruption()",
                    )
                made.frames.clear()
                await self._say(made)
                await self._first(made)

        asyncio.run(run())

    @rule
    def test_a_phrase_rendered_ahead_lasts_as_long_as_a_spoken_one(self) -> None:
        """``render`` gives PCM16 at the rate of the call."""
        provider = self._provider()
        assert isinstance(provider, Tts)
        if provider.render is None:
            return
        text, settings = "Are you still there?", self._settings()
        lasts = {}
        for rate in (8000, 16000):
            pcm = provider.render(settings, self._call(audio_out_rate=rate), text)
            lasts[rate] = len(pcm) / 2 / rate
            if not 0.2 < lasts[rate] < 10 or len(pcm) % 2:
                raise ContractBroken(
                    f"render() made {lasts[rate]:.2f} s of four words at {rate} Hz",
                    "give PCM16 mono at call.audio_out_rate, without a header",
                )
        if max(lasts.values()) > 1.5 * min(lasts.values()):
            raise ContractBroken(
                "render() does not mind call.audio_out_rate", "render at call.audio_out_rate"
            )

    @rule
    def test_close_leaves_no_task_thread_or_socket(self) -> None:
        """A thousand calls a day must not be a thousand threads."""

        async def once() -> None:
            async with self._speaking() as made:
                await self._say(made)
                await self._first(made)

        leaves_nothing(once)

    async def _say(self, made: Line, times: int = 1) -> None:
        await made.put(
            LLMFullResponseStartFrame(),
            *(LLMTextFrame(f"{self.text} ") for _ in range(times)),
            LLMFullResponseEndFrame(),
        )

    async def _first(self, made: Line) -> None:
        if not await made.until(lambda: made.seen(TTSAudioRawFrame), self.within):
            made.check()
            raise ContractBroken(
                f"no audio came within {self.within:g} s of the sentence",
                "yield TTSAudioRawFrame from run_tts() as soon as the provider sends some",
            )

    async def _quiet(self, made: Line) -> None:
        """Wait until it has spoken: no audio for 0.7 s."""
        deadline = now() + 30
        while now() < deadline:
            last = max(at for at, frame in made.frames if _is_audio(frame))
            if now() - last > 0.7:
                return
            await asyncio.sleep(0.05)

    @asynccontextmanager
    async def _speaking(self, rate: int = 8000) -> AsyncIterator[Line]:
        service: TTSService = self._part().build(self._call(audio_out_rate=rate))
        async with line(service, audio_out_rate=rate) as made:
            yield made
            made.check()


def _is_audio(frame: object) -> bool:
    return isinstance(frame, TTSAudioRawFrame)


def _seconds(made: Line) -> float:
    return sum(len(f.audio) / 2 / f.sample_rate for f in made.seen(TTSAudioRawFrame))
