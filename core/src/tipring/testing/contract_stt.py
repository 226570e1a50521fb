"""What ears have to keep."""

from __future__ import annotations

import asyncio
import re
import unittest
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar

from pipecat.frames.frames import (
    Frame,
    InterimTranscriptionFrame,
    InterruptionFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.services.stt_service import STTService

from tipring.testing import contract_line
from tipring.testing.contract import ContractBroken, ProviderContract, rule
from tipring.testing.contract_line import Line, leaves_nothing, line


class SttContract(ProviderContract):
    """What holds for a transcriber.

    The caller speaks real speech in real time. Give an emulator of your provider's service by
    ``settings``, and what it will be heard to say by ``words``.

    Attributes:
        words: Words that have to be in the final transcript. None: any words will do.
        interims: Whether it tells words while they are spoken. Without them nobody can stop the
            agent by speaking, so a transcriber that cannot has to say so here.
        within: Seconds after the caller's silence in which the final transcript has to come.
    """

    words: ClassVar[tuple[str, ...]] = ()
    interims: ClassVar[bool] = True
    within: ClassVar[float] = 5.0

    def speech(self, rate: int) -> bytes:
        """What the caller says, PCM16 mono at ``rate`` Hz."""
        return contract_line.speech(rate)

    async def drop(self) -> None:
        """Cut the provider's connection; give an emulator's way here to have that rule checked."""
        raise NotImplementedError

    @rule
    def test_tells_interims_and_then_a_final_at_16_kHz(self) -> None:  # noqa: N802 - a unit
        """Words while they are spoken, and for good when the caller is silent."""
        self._hears(16000)

    @rule
    def test_tells_interims_and_then_a_final_at_8_kHz(self) -> None:  # noqa: N802 - a unit
        """A phone line has 8 kHz, and a host may pass on just that."""
        self._hears(8000)

    @rule
    def test_hears_on_after_an_interruption(self) -> None:
        """The caller who stops the agent is speaking: no word of theirs may be lost."""

        async def run() -> None:
            async with self._hearing(16000) as made:
                pcm = self.speech(16000)
                half = len(pcm) // 4 * 2
                await made.hear(contract_line.silence(0.3, 16000))
                await made.put(VADUserStartedSpeakingFrame(start_secs=0.1))
                await made.hear(pcm[:half])
                await made.put(InterruptionFrame())
                await made.hear(pcm[half:])
                await self._silent(made)
                await self._final(made, "after an interruption")

        asyncio.run(run())

    @rule
    def test_connects_again_after_a_dropped_socket(self) -> None:
        """Connections are cut; a call goes on."""
        if type(self).drop is SttContract.drop:
            raise unittest.SkipTest("give async def drop(self), which cuts the connection")

        async def run() -> None:
            async with self._hearing(16000) as made:
                await self._says(made)
                await self._final(made, "at first")
                await self.drop()
                made.frames.clear()
                await self._says(made)
                await self._final(made, "after its connection was cut")

        asyncio.run(run())

    @rule
    def test_close_leaves_no_task_thread_or_socket(self) -> None:
        """A thousand calls a day must not be a thousand threads."""

        async def once() -> None:
            async with self._hearing(16000) as made:
                await self._says(made)
                await self._final(made, "in a short call")

        leaves_nothing(once)

    def _hears(self, rate: int) -> None:
        async def run() -> None:
            async with self._hearing(rate) as made:
                await self._says(made)
                await self._final(made, f"at {rate} Hz")
                order = [type(frame) for _, frame in made.frames if _is_told(frame)]
                if self.interims and order[0] is not InterimTranscriptionFrame:
                    raise ContractBroken(
                        "no interim transcript came before the final one",
                        "push InterimTranscriptionFrame while the caller speaks, or set"
                        " interims = False in the test and know that nobody can barge in",
                    )

        asyncio.run(run())

    async def _says(self, made: Line) -> None:
        await made.hear(contract_line.silence(0.3, made.rate))
        await made.put(VADUserStartedSpeakingFrame(start_secs=0.1))
        await made.hear(self.speech(made.rate))
        await self._silent(made)

    async def _silent(self, made: Line) -> None:
        await made.hear(contract_line.silence(0.2, made.rate))
        await made.put(VADUserStoppedSpeakingFrame(stop_secs=0.2))

    async def _final(self, made: Line, when: str) -> None:
        """Wait, in silence, for the final transcript and look for the words in it."""

        def told() -> set[str]:
            finals = (frame.text.lower() for frame in made.seen(TranscriptionFrame))
            return set(re.findall(r"[\w']+", " ".join(finals)))

        def heard() -> bool:
            return bool(told()) and {word.lower() for word in self.words} <= told()

        for _ in range(int(self.within / 0.5)):
            await made.hear(contract_line.silence(0.1, made.rate))
            if await made.until(heard, 0.4):
                break
        if not heard():
            made.check()
            missing = ", ".join(sorted({word.lower() for word in self.words} - told()))
            raise ContractBroken(
                f"{when}, {self.within:g} s after the caller fell silent,"
                + (f" these words were missing: {missing}" if told() else " nothing was final"),
                "push TranscriptionFrame with the words; VADUserStoppedSpeakingFrame is the moment"
                " to ask the provider to finish",
            )

    @asynccontextmanager
    async def _hearing(self, rate: int) -> AsyncIterator[Line]:
        service: STTService = self._part().build(self._call(audio_in_rate=rate))
        async with line(service, audio_in_rate=rate) as made:
            yield made
            made.check()


def _is_told(frame: Frame) -> bool:
    return isinstance(frame, (InterimTranscriptionFrame, TranscriptionFrame))
