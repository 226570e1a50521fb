"""What the embedded ears promise, with the real model and the real voice detector."""

from __future__ import annotations

import asyncio
import os
import re
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.audio.vad.vad_analyzer import VADParams
from pipecat.frames.frames import (
    EndFrame,
    Frame,
    InputAudioRawFrame,
    InterimTranscriptionFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    LLMUserAggregator,
    LLMUserAggregatorParams,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.turns.user_start import TranscriptionUserTurnStartStrategy
from pipecat.turns.user_stop import SpeechTimeoutUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies
from pipecat.workers.runner import WorkerRunner
from tipring.providers import Call
from tipring_stt_moonshine import MoonshineSettings, build, register_stt
from tipring_stt_moonshine.decoder import FINAL, FIRST, INTERIM, PAUSE, shared_decoder
from tipring_stt_moonshine.ear import Ear, quietest, voiced_seconds
from tipring_stt_moonshine.words import clean, cut_loops
from tipring_tts_hibari import speak

from tests.loopback_loop import ClockLoop

# However busy the machine is, the detector and the model are as quick as the caller speaks.
pytestmark = pytest.mark.loopback

CALL = Call(id="test")
RATE = CALL.audio_in_rate
Samples = NDArray[np.int16]


def said(text: str) -> Samples:
    """Speech as a telephone carries it: 8 kHz, brought to the rate that ears get."""
    samples, rate = speak(text, rate=8000, pitch=0.9)
    return np.asarray(soxr.resample(samples, rate, RATE), np.int16)


def silence(seconds: float) -> Samples:
    rng = np.random.default_rng(1)
    return rng.normal(0, 3, int(seconds * RATE)).astype(np.int16)


def plain(text: str) -> str:
    return " ".join(re.findall(r"[a-z0-9']+", text.lower()))


@dataclass
class Seen:
    """One thing that came from the service, and how much audio it had then."""

    frame: Frame
    fed: float


class Between(FrameProcessor):
    """Sits behind the service and notes what passes."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Seen] = []
        self.fed = 0.0

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            self.fed += len(frame.audio) / 2 / RATE
        elif isinstance(
            frame,
            (
                TranscriptionFrame,
                InterimTranscriptionFrame,
                VADUserStartedSpeakingFrame,
                VADUserStoppedSpeakingFrame,
            ),
        ):
            self.seen.append(Seen(frame, self.fed))
        await self.push_frame(frame, direction)


@dataclass
class Listening:
    """A pipeline that listens."""

    worker: PipelineWorker
    between: Between
    running: asyncio.Task[None]
    finals: list[TranscriptionFrame] = field(default_factory=list)

    async def hear(self, *pieces: Samples, pace: float = 1.0) -> None:
        """Feed audio as it would arrive, in pieces of 20 ms."""
        audio = np.concatenate(pieces).tobytes()
        began = time.monotonic()
        for at in range(0, len(audio), RATE // 50 * 2):
            chunk = audio[at : at + RATE // 50 * 2]
            await self.worker.queue_frames([InputAudioRawFrame(chunk, RATE, 1)])
            ahead = began + at / 2 / RATE / pace - time.monotonic()
            await asyncio.sleep(max(0.0, ahead))

    async def finish(self) -> None:
        await self.worker.queue_frames([EndFrame()])
        await asyncio.wait_for(self.running, 30)

    def of(self, kind: type[Frame]) -> list[Seen]:
        return [seen for seen in self.between.seen if type(seen.frame) is kind]

    @property
    def words(self) -> list[str]:
        return [plain(f.text) for f in (s.frame for s in self.of(TranscriptionFrame))]  # type: ignore[attr-defined]


@asynccontextmanager
async def listening(settings: MoonshineSettings | None = None) -> AsyncIterator[Listening]:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, ClockLoop)
    loop.jumping.busy.append(lambda: shared_decoder(1).busy)
    between = Between()
    vad = SileroVADAnalyzer(params=VADParams(start_secs=0.2, stop_secs=0.2, min_volume=0.3))
    user = LLMUserAggregator(
        LLMContext(),
        params=LLMUserAggregatorParams(
            vad_analyzer=vad,
            user_turn_strategies=UserTurnStrategies(
                start=[TranscriptionUserTurnStartStrategy()],
                stop=[SpeechTimeoutUserTurnStopStrategy(user_speech_timeout=0.6)],
            ),
        ),
    )
    worker = PipelineWorker(
        Pipeline([build(settings or MoonshineSettings(), CALL), between, user]),
        enable_rtvi=False,
        idle_timeout_secs=None,
        params=PipelineParams(audio_in_sample_rate=RATE, audio_out_sample_rate=8000),
    )
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    running = asyncio.create_task(runner.run())
    try:
        yield Listening(worker, between, running)
    finally:
        await runner.cancel()
        await running


async def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)


def test_it_says_that_its_full_stops_mean_nothing() -> None:
    (offer,) = register_stt()
    assert (offer.name, offer.kind, offer.punctuates) == ("moonshine", "stt", False)


def test_only_english_is_promised() -> None:
    assert build(MoonshineSettings(), Call(id="test", language="en-US"))
    with pytest.raises(ValueError, match="English only"):
        build(MoonshineSettings(), Call(id="test", language="es-MX"))


async def test_a_sentence_is_told_while_it_is_spoken_and_finally_when_it_ends() -> None:
    text = "I would like to book a cleaning on Tuesday."
    async with listening() as ears:
        await ears.hear(silence(0.6), said(text), silence(1.0))
        await until(lambda: ears.words)
        (final,) = ears.of(TranscriptionFrame)
        assert ears.words == [plain(text)]
        assert final.frame.finalized  # type: ignore[attr-defined]
        interims = ears.of(InterimTranscriptionFrame)
        (stopped,) = ears.of(VADUserStoppedSpeakingFrame)
        early = [seen for seen in interims if seen.fed < stopped.fed]
        assert len(early) >= 3
        assert plain(early[0].frame.text).startswith("i would")  # type: ignore[attr-defined]
        assert not any(seen.frame.text[-1] in ".?!" for seen in interims)  # type: ignore[attr-defined]


async def test_without_interims_there_is_only_the_final() -> None:
    async with listening(MoonshineSettings(interims=False)) as ears:
        await ears.hear(silence(0.6), said("What time do you open?"), silence(0.8))
        await until(lambda: ears.words)
        assert ears.words == ["what time do you open"]
        assert not ears.of(InterimTranscriptionFrame)


async def test_speech_that_goes_on_is_a_new_final_and_no_word_is_lost_or_doubled() -> None:
    async with listening() as ears:
        await ears.hear(
            silence(0.6),
            said("I need an appointment on Wednesday"),
            silence(0.3),
            said("because my tooth is broken."),
            silence(1.0),
        )
        await until(lambda: len(ears.words) >= 2)
        assert " ".join(ears.words) == (
            "i need an appointment on wednesday because my tooth is broken"
        )
        assert len(ears.words) == 2


async def test_a_pause_too_short_to_be_an_end_leaves_one_utterance_whole() -> None:
    first, second = said("I need an appointment on Wednesday"), said("because my tooth is broken.")
    first = first[: np.flatnonzero(np.abs(first) > 300)[-1]]
    second = second[np.flatnonzero(np.abs(second) > 300)[0] :]
    async with listening() as ears:
        await ears.hear(silence(0.6), first, silence(0.15), second, silence(1.0))
        await until(lambda: ears.words)
        assert ears.words == ["i need an appointment on wednesday because my tooth is broken"]


async def test_a_single_word_is_heard() -> None:
    async with listening() as ears:
        await ears.hear(silence(0.6), said("No."), silence(1.0))
        await until(lambda: ears.words)
        assert ears.words == ["no"]


async def test_a_long_story_is_cut_where_it_is_quiet_and_loses_nothing() -> None:
    lines = (
        "The first thing is that I live on another street since May,",
        "the second thing is that my insurance company has a new number,",
        "and the third thing is that my daughter would like to come along.",
    )
    # The pauses are too short for the detector, long enough to be found.
    story: list[Samples] = [silence(0.6)]
    for line in lines:
        voice = said(line)
        loud = np.flatnonzero(np.abs(voice) > 300)
        story += [voice[loud[0] : loud[-1]], silence(0.12)]
    async with listening(MoonshineSettings(longest=6, interims=False)) as ears:
        await ears.hear(*story, silence(1.0))
        await until(lambda: any(s.frame.finalized for s in ears.of(TranscriptionFrame)))  # type: ignore[attr-defined]
        assert " ".join(ears.words) == plain(" ".join(lines))
        flags = [s.frame.finalized for s in ears.of(TranscriptionFrame)]  # type: ignore[attr-defined]
        assert len(flags) >= 2
        assert flags == [False] * (len(flags) - 1) + [True]


async def test_silence_and_noise_that_the_detector_took_for_speech_give_no_words() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 600, RATE).astype(np.int16)
    tone = (6000 * np.sin(np.arange(RATE) * 2 * np.pi * 440 / RATE)).astype(np.int16)
    async with listening() as ears:
        for sound in (np.zeros(RATE, np.int16), noise, tone):
            await ears.hear(silence(0.3))
            await ears.worker.queue_frames([VADUserStartedSpeakingFrame(start_secs=0.2)])
            await ears.hear(sound)
            await ears.worker.queue_frames([VADUserStoppedSpeakingFrame(stop_secs=0.2)])
        await ears.hear(silence(0.3), said("Good morning."), silence(0.8))
        await until(lambda: ears.words)
        assert ears.words == ["good morning"]


async def test_a_call_that_ends_in_order_still_tells_its_last_words() -> None:
    async with listening() as ears:
        await ears.hear(silence(0.6), said("Thank you, goodbye."), silence(0.7))
        await until(lambda: ears.of(VADUserStoppedSpeakingFrame))
        await ears.finish()
        # "good bye" as well as "goodbye"
        assert [text.replace(" ", "") for text in ears.words] == ["thankyougoodbye"]


async def test_four_calls_at_once_each_hear_their_own_caller() -> None:
    texts = (
        "I want to cancel my appointment.",
        "How much is a cleaning?",
        "Are you open on Saturday?",
        "May I speak to a person?",
    )
    heard: dict[str, list[str]] = {}

    async def one(text: str) -> None:
        async with listening() as ears:
            await ears.hear(silence(0.6), said(text), silence(1.0))
            await until(lambda: ears.words)
            heard[text] = ears.words

    await asyncio.gather(*(one(text) for text in texts))
    # A small model hears "the" for "a" at times; another caller's words it would not.
    for text, finals in heard.items():
        assert len(finals) == 1
        assert SequenceMatcher(None, plain(text), finals[0]).ratio() > 0.8, (text, finals)


def test_what_is_waited_for_goes_first() -> None:
    decoder = shared_decoder(1)
    order: list[str] = []
    done = threading.Event()
    audio = said("Good morning, how are you today?").astype(np.float32) / np.float32(32768)
    jobs = [
        ("running", INTERIM),
        ("more", INTERIM),
        ("first", FIRST),
        ("pause", PAUSE),
        ("final", FINAL),
    ]
    for name, urgency in jobs:
        future = decoder.submit(audio, RATE, urgency=urgency)

        def note(_: object, name: str = name) -> None:
            order.append(name)
            if len(order) == len(jobs):
                done.set()

        future.add_done_callback(note)
    assert done.wait(60)
    assert [one for one in order if one != "running"] == ["final", "pause", "first", "more"]


def test_a_decoder_is_busy_until_nobody_waits_for_it() -> None:
    decoder = shared_decoder(1)
    audio = said("Good morning, how are you today?").astype(np.float32) / np.float32(32768)
    jobs = [decoder.submit(audio, RATE, urgency=INTERIM) for _ in range(3)]
    assert decoder.busy
    for job in jobs:
        job.result(60)
    # What a call of another test had asked for was asked for before.
    assert not decoder.busy


def test_the_model_is_loaded_once_even_when_two_ask_at_once() -> None:
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(shared_decoder(1))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, found))) == 1


@pytest.mark.parametrize(
    ("text", "voiced", "kept"),
    [
        ("You", 2.0, ""),
        ("You.", 0.1, ""),
        ("Thank you.", 0.05, ""),
        ("Thank you.", 0.6, "Thank you."),
        ("© transcript Emily Beynon", 1.0, ""),
        ("??", 1.0, ""),
        ("Do you?", 0.4, "Do you?"),
        ("five five five five", 2.0, "five five five five"),
        ("555, 555, 555", 3.0, "555, 555, 555"),
        ("No, no, no.", 1.0, "No, no, no."),
        ("medium row row row row row row row.", 1.6, "medium row."),
        ("Can I get a trip? Can I get a trip? Can I get a trip? Can I", 1.0,
         "Can I get a trip? Can I"),
    ],
)  # fmt: skip
def test_invented_words_are_dropped_and_real_ones_kept(text: str, voiced: float, kept: str) -> None:
    assert clean(text, voiced=voiced) == kept


@given(st.lists(st.sampled_from(["one", "two", "no", "the", "5", "yes,"]), max_size=30))
def test_cutting_loops_invents_nothing_and_keeps_what_does_not_repeat(words: list[str]) -> None:
    kept = cut_loops(" ".join(words), voiced=60).split()
    left = iter(words)
    assert all(word in left for word in kept), "a subsequence of what was there"
    assert set(kept) == set(words)


@given(st.lists(st.sampled_from("zero one two three 4 55 nine".split()), min_size=1, max_size=16))
def test_digits_that_had_time_to_be_said_are_never_cut(words: list[str]) -> None:
    assert cut_loops(" ".join(words), voiced=len(words) / 3) == " ".join(words)


def test_the_quietest_point_is_the_pause() -> None:
    rng = np.random.default_rng(2)
    loud = rng.normal(0, 0.1, 3 * RATE).astype(np.float32)
    loud[int(2.0 * RATE) : int(2.2 * RATE)] *= 0.01
    assert abs(quietest(loud, RATE, after=1.0) / RATE - 2.1) < 0.08


def test_voice_is_what_stands_out_of_the_noise() -> None:
    rng = np.random.default_rng(3)
    line = rng.normal(0, 0.002, 2 * RATE).astype(np.float32)
    assert voiced_seconds(line, RATE) == 0
    line[RATE // 2 : RATE] += rng.normal(0, 0.05, RATE // 2).astype(np.float32)
    assert voiced_seconds(line, RATE) == pytest.approx(0.5, abs=0.04)


@given(st.lists(st.integers(1, 4000), max_size=12))
def test_the_ear_finds_any_sample_by_its_place(sizes: Sequence[int]) -> None:
    ear, at = Ear(8000), 0
    for size in sizes:
        ear.feed(np.arange(at, at + size).astype(np.int16).tobytes())
        at += size
        ear.forget()
    assert ear.end == at
    first = max(ear.begin, at - 100)
    expected = np.arange(first, at).astype(np.int16).astype(np.float32) / 32768
    assert np.array_equal(ear.samples(first, at), expected)
    assert at - ear.begin <= 1.5 * 8000


@pytest.mark.skipif("TIPRING_SPEECH" not in os.environ, reason="needs recorded human speech")
async def test_recorded_people_are_heard() -> None:
    folder = Path(os.environ["TIPRING_SPEECH"]) / "misc"
    async with listening() as ears:
        for name in ("no_1000ms", "noise_1000ms", "silence_1000ms", "speech_with_pause"):
            audio, rate = soundfile.read(folder / f"{name}.flac", dtype="float32", always_2d=True)
            phone = soxr.resample(soxr.resample(audio[:, 0], rate, 8000), 8000, RATE)
            await ears.hear(silence(0.5), (phone * 32000).astype(np.int16), silence(0.8))
        await until(lambda: "heavy rain" in " ".join(ears.words))
        assert ears.words[0] == "no"
        assert 2 <= len(ears.words) <= 3
