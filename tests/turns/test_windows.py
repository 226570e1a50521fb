"""One voice detector for all calls, and each of them hears as if it were alone."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from pipecat.audio.vad.silero import SileroVADAnalyzer
from tipring.turns.vad import phone_vad
from tipring.turns.windows import Memory, Windows

from tests.fast_loop import run_fast


def sounds(count: int, rate: int) -> list[bytes]:
    """A second and a half each of something that comes and goes, and is no call's twice."""
    random = np.random.default_rng(7)
    at = np.arange(3 * rate // 2) / rate
    out = []
    for number in range(count):
        buzz = sum(np.sin(2 * np.pi * (90 + 11 * number) * k * at) / k for k in range(1, 20))
        swell = np.clip(np.sin(2 * np.pi * (0.8 + 0.1 * number) * at), 0, 1)
        noise = random.normal(size=len(at)) * 0.02
        out.append((4000 * (buzz * swell + noise)).clip(-32768, 32767).astype("<i2").tobytes())
    return out


@pytest.mark.parametrize("rate", [8_000, 16_000])
async def test_many_calls_at_once_hear_what_each_would_hear_alone(rate: int) -> None:
    size = rate // 50 * 2  # bytes of 20 ms

    async def confidences(sound: bytes) -> list[float]:
        vad: Any = phone_vad()
        vad.set_sample_rate(rate)
        sure = []
        for at in range(0, len(sound), size):
            await vad.analyze_audio(sound[at : at + size])
            sure.append(vad._sure)
        return sure

    calls = sounds(6, rate)
    together = await asyncio.gather(*(confidences(sound) for sound in calls))
    stock = SileroVADAnalyzer(sample_rate=rate)
    stock.set_sample_rate(rate)
    window = 2 * stock.num_frames_required()
    for sound, heard in zip(calls, together, strict=True):
        stock._model.reset_states()
        last = len(sound) // window * window
        alone = []
        for at in range(0, last, window):
            samples = np.frombuffer(sound[at : at + window], "<i2") / np.float32(32768)
            alone.append(stock._model(samples, rate).item())
        # Each 20 ms frame repeats the verdict of the last whole window.
        seen = [heard[min(len(heard), -(-(n + 1) * window // size)) - 1] for n in range(len(alone))]
        assert np.allclose(seen, alone, atol=1e-4)
    await stock.cleanup()


class Session:
    """A model that counts, and fails when it is told to."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.broken = False

    def run(self, _: None, inputs: dict[str, Any]) -> tuple[Any, Any]:
        """As ONNX does."""
        self.batches.append(len(inputs["input"]))
        if self.broken:
            raise RuntimeError("out of order")
        return inputs["input"].max(axis=1, keepdims=True), inputs["state"]


def loud(rate: int) -> bytes:
    return (np.ones(rate * 32 // 1000) * 16384).astype("<i2").tobytes()


async def test_a_model_that_fails_hears_no_voice_and_is_asked_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    session = Session()
    windows = Windows(session)
    session.broken = True
    assert await windows.ask(Memory(), loud(16_000), 16_000) == 0.0
    session.broken = False
    assert await windows.ask(Memory(), loud(16_000), 16_000) == 0.5
    assert "the voice detector's model failed" in caplog.text


async def test_calls_that_ask_together_are_answered_together_and_one_that_left_is_not() -> None:
    session = Session()
    windows = Windows(session)
    asked = [windows.ask(Memory(), loud(16_000), 16_000) for _ in range(4)]
    narrow = windows.ask(Memory(), loud(8_000), 8_000)
    asked[2].cancel()
    answers = await asyncio.gather(*asked, narrow, return_exceptions=True)
    assert [answer for answer in answers if answer == 0.5] == [0.5] * 4
    assert session.batches == [3, 1]


def test_windows_that_come_soon_after_others_go_together_and_a_lone_one_at_once() -> None:
    session = Session()

    async def ask() -> list[float]:
        loop, windows, waited = asyncio.get_running_loop(), Windows(session), []

        async def one(begin: float) -> None:
            await asyncio.sleep(begin)
            await windows.ask(Memory(), loud(16_000), 16_000)
            waited.append(round(loop.time() - begin, 3))

        await asyncio.sleep(1.0)
        await asyncio.gather(*(one(at) for at in (2.0, 2.002, 2.004, 2.007, 2.5)))
        return waited

    # Their waits, from a second of the loop's on: the next batch is 16 ms later.
    assert run_fast(ask()) == [1.0, 1.014, 1.012, 1.009, 1.0]
    assert session.batches == [1, 3, 1]
