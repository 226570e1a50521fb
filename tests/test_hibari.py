"""What the embedded voice promises, with the real model in a real pipeline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from pipecat.frames.frames import (
    Frame,
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    OutputAudioRawFrame,
    TTSSpeakFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMAssistantAggregator
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import TransportParams
from pipecat.workers.runner import WorkerRunner
from tipring.providers import Call
from tipring_tts_hibari import HibariSettings, build, register_tts, render, speak
from tipring_tts_hibari.dictionary import Reader
from tipring_tts_hibari.service import HibariService, word_ends

CALL = Call(id="test")
RATE = CALL.audio_out_rate


class Line(BaseOutputTransport):
    """A telephone line: takes audio no faster than it is played, and keeps it."""

    def __init__(self) -> None:
        super().__init__(TransportParams(audio_out_enabled=True))
        self.played = bytearray()
        self._free = 0.0

    async def setup(self, setup: object) -> None:
        await super().setup(setup)  # type: ignore[arg-type]
        await self.set_transport_ready(None)  # type: ignore[arg-type]

    async def write_audio_frame(self, frame: OutputAudioRawFrame) -> bool:
        self.played += frame.audio
        now = time.monotonic()
        self._free = max(now, self._free) + len(frame.audio) / 2 / frame.sample_rate
        await asyncio.sleep(self._free - now)
        return True


@dataclass
class Agent:
    """A voice on a line, and what it remembers having said."""

    line: Line
    context: LLMContext
    service: HibariService
    worker: PipelineWorker
    seen: list[Frame] = field(default_factory=list)

    async def say(self, *texts: str) -> None:
        await self.worker.queue_frames(
            [
                LLMFullResponseStartFrame(),
                *(LLMTextFrame(text) for text in texts),
                LLMFullResponseEndFrame(),
            ]
        )

    @property
    def remembers(self) -> str:
        said = [m["content"] for m in self.context.get_messages() if m["role"] == "assistant"]  # type: ignore[index]
        return " ".join(str(text) for text in said)


@asynccontextmanager
async def agent() -> AsyncIterator[Agent]:
    service = build(HibariSettings(), CALL)
    assert isinstance(service, HibariService)
    line, context = Line(), LLMContext()
    worker = PipelineWorker(
        Pipeline([service, line, LLMAssistantAggregator(context)]),
        enable_rtvi=False,
        idle_timeout_secs=None,
        params=PipelineParams(audio_out_sample_rate=RATE),
    )
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    running = asyncio.create_task(runner.run())
    try:
        yield Agent(line, context, service, worker)
    finally:
        await runner.cancel()
        await running


async def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)


def pitch_of(samples: np.ndarray, rate: int) -> float:
    """The median fundamental in Hz, by autocorrelation of the loud parts."""
    size, low, high = rate // 20, rate // 400, rate // 70
    x = samples.astype(np.float64)
    found = []
    for at in range(0, len(x) - 2 * size, size):
        part = x[at : at + 2 * size]
        if np.sqrt(np.mean(part * part)) < 1500:
            continue
        lags = [
            float(np.dot(part[:-lag], part[lag:])) / len(part[lag:]) for lag in range(low, high)
        ]
        found.append(rate / (low + int(np.argmax(lags))))
    return float(np.median(found))


def test_it_offers_itself_as_hibari() -> None:
    (offer,) = register_tts()
    assert (offer.name, offer.kind) == ("hibari", "tts")
    assert offer.render is render


@pytest.mark.parametrize("rate", [8000, 16000, 24000])
def test_a_phrase_is_rendered_at_the_rate_of_the_call(rate: int) -> None:
    pcm = render(HibariSettings(), Call(id="test", audio_out_rate=rate), "Are you still there?")
    samples = np.frombuffer(pcm, "<i2")
    assert 0.8 < len(samples) / rate < 2.0
    assert np.abs(samples).max() > 3000


def test_the_same_words_always_sound_the_same() -> None:
    phrase = "Thanks for calling. Goodbye."
    assert render(HibariSettings(), CALL, phrase) == render(HibariSettings(), CALL, phrase)


def test_a_faster_voice_takes_less_time() -> None:
    slow, fast = (
        len(render(HibariSettings(speed=speed), CALL, "We are open from nine to five."))
        for speed in (0.8, 1.6)
    )
    assert fast < 0.7 * slow


def test_the_caller_is_told_from_the_agent_by_a_lower_voice_at_the_same_pace() -> None:
    text = "Hello, I would like to make an appointment, please."
    agent_voice, rate = speak(text)
    caller_voice, _ = speak(text, pitch=0.85)
    assert abs(len(caller_voice) / len(agent_voice) - 1) < 0.12
    assert 0.78 < pitch_of(caller_voice, rate) / pitch_of(agent_voice, rate) < 0.92


def test_only_english_is_promised() -> None:
    assert build(HibariSettings(), Call(id="test", language="en-GB"))
    with pytest.raises(ValueError, match="English only"):
        build(HibariSettings(), Call(id="test", language="fr"))


def test_a_voice_that_is_not_here_is_refused_and_never_fetched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setenv("HIBARI_HOME", str(tmp_path))
    with pytest.raises(ValueError, match="not on this machine"):
        build(HibariSettings(voice="emma"), CALL)
    with pytest.raises(ValueError, match="has no voice 'nobody'"):
        build(HibariSettings(voice="nobody"), CALL)


async def test_a_reply_is_heard_whole_and_remembered_as_it_was_written() -> None:
    async with agent() as a:
        await a.say("We are open ", "from nine to five. ", "Call 555-0104, is ", "that right?")
        await until(lambda: a.remembers)
        assert a.remembers == "We are open from nine to five. Call 555-0104, is that right?"
        spoken = [
            np.frombuffer(render(HibariSettings(), CALL, text), "<i2")
            for text in ("We are open from nine to five.", "Call 555-0104, is that right?")
        ]
        # The transport sends whole chunks of 40 ms.
        whole = np.concatenate(spoken)[: sum(map(len, spoken)) // 320 * 320]
        await until(lambda: len(a.line.played) >= 2 * len(whole))
        assert np.array_equal(np.frombuffer(bytes(a.line.played), "<i2")[: len(whole)], whole)


async def test_an_interrupted_agent_is_silent_at_once_and_remembers_only_what_was_heard() -> None:
    first = "We are open from nine in the morning until five in the afternoon. "
    async with agent() as a:
        await a.say(first, "On Saturdays we are closed.")
        await until(lambda: len(a.line.played) > 2 * RATE * 1.5)
        await a.worker.queue_frames([InterruptionFrame()])
        await until(lambda: a.remembers)
        at_the_interruption = len(a.line.played)
        await a.say("Yes?")
        await until(lambda: a.remembers.endswith("Yes?"))
        remembered = a.remembers.removesuffix("Yes?").strip()
        assert first.startswith(remembered)
        assert 2 <= len(remembered.split()) < len(first.split())
        # The line holds a chunk or two of what was under way, then the answer.
        answer = len(render(HibariSettings(), CALL, "Yes?"))
        assert len(a.line.played) <= at_the_interruption + answer + 2 * RATE * 0.25


async def test_a_sentence_without_words_does_not_make_the_voice_look_broken() -> None:
    async with agent() as a:
        for _ in range(4):
            await a.worker.queue_frames([TTSSpeakFrame("- -")])
        await a.worker.queue_frames([TTSSpeakFrame("Hello.")])
        await until(lambda: a.remembers.endswith("Hello."))
        assert a.service.is_usable


def test_words_end_in_order_within_their_sentence_and_the_last_one_with_the_audio() -> None:
    text = "I have you down for Tuesday, at three."
    samples, rate = speak(text)
    words = word_ends(text, samples, rate)
    assert [word for word, _ in words] == text.split()
    ends = [at for _, at in words]
    assert ends == sorted(ends)
    assert 0 < ends[0] < 0.6
    assert ends[-1] == len(samples) / rate


SPELT = (
    "I have you down for a cleaning on Tuesday at three, for Maria Lopez.",
    "Dr. O'Neill read the record; she will read it again, and live nearby.",
    "That's $9.99, or 1,250 in all: your order is AB-1207, at 7:30 pm.",
    "Zyxwvq isn't a word. Nor are the US, St. Ives' or naïve élan - are they?",
    "",
    "!",
)


@pytest.mark.parametrize("british", [False, True], ids=["american", "british"])
def test_words_looked_up_in_the_file_sound_as_hibari_has_them(
    british: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hibari.g2p import G2P

    monkeypatch.setenv("HIBARI_HOME", str(tmp_path))
    whole = [G2P(british=british)(text) for text in SPELT]
    packed, found = Reader(british=british), Reader(british=british)
    assert [packed(text) for text in SPELT] == [found(text) for text in SPELT] == whole
    [file] = tmp_path.iterdir()
    good = file.read_bytes()
    file.write_bytes(good[: len(good) // 2])
    assert [Reader(british=british)(text) for text in SPELT] == whole
    assert file.read_bytes() == good


def test_a_voice_whose_dictionaries_cannot_be_kept_speaks_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "taken").touch()
    monkeypatch.setenv("HIBARI_HOME", str(tmp_path / "taken"))
    assert Reader(british=False)("Hello there.") == "həlˈO ðˈɛɹ."
