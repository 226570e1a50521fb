"""The ElevenLabs voice, over real sockets to an emulator that fails like ElevenLabs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest
from elevenlabs.types import AudioOutputMulti, FinalOutputMulti, WebsocketTtsClientMessageMulti
from pipecat.frames.frames import (
    DataFrame,
    ErrorFrame,
    Frame,
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TTSAudioRawFrame,
    TTSSpeakFrame,
    TTSStoppedFrame,
    TTSTextFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMAssistantAggregator
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.elevenlabs.tts import ElevenLabsTTSService
from pipecat.services.tts_service import TTSService
from pipecat.utils.errors import ErrorCategory
from pipecat.workers.runner import WorkerRunner
from pydantic import SecretStr, ValidationError
from tipring.errors import PluginError
from tipring.providers import Call
from tipring.speech.speakable import transform
from tipring_tts_elevenlabs import ElevenLabsSettings, build, online, register_tts, render

from tests.emulators.elevenlabs import CHUNK, KEY, VOICE, Answer, ElevenLabs, Speech, seconds, tone
from tests.emulators.socket import Fault, Refusal

pytestmark = pytest.mark.loopback

CALL = Call(id="test")
RATE = CALL.audio_out_rate

ONE = "Good morning, how are you doing today?"
TWO = "We are open until six this evening."
THREE = "Would you like to book a table?"

T = TypeVar("T")


@dataclass
class Last(DataFrame):
    """Goes through the pipeline behind everything else."""


class Ear(FrameProcessor):
    """Stands where the phone is: keeps what comes, and lets a test wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.frames: list[Frame] = []
        self._changed = asyncio.Event()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        self.keep(frame)
        await self.push_frame(frame, direction)

    def keep(self, frame: Frame) -> None:
        self.frames.append(frame)
        self._changed.set()

    async def until(self, found: Callable[[], T], within: float = 15.0) -> T:
        async with asyncio.timeout(within):
            while not (result := found()):
                self._changed.clear()
                await self._changed.wait()
        return result

    def of(self, kind: type[T]) -> list[T]:
        return [frame for frame in self.frames if isinstance(frame, kind)]

    @property
    def seconds(self) -> float:
        return sum(len(f.audio) for f in self.of(TTSAudioRawFrame)) / 2 / RATE

    @property
    def words(self) -> str:
        return " ".join(f.text for f in self.of(TTSTextFrame))


@dataclass
class Agent:
    """A voice, an ear, and what the agent remembers having said."""

    ear: Ear
    end: Ear
    context: LLMContext
    service: TTSService
    worker: PipelineWorker
    errors: list[ErrorFrame] = field(default_factory=list)

    async def say(self, *sentences: str, end: bool = True) -> None:
        frames: list[Frame] = [LLMFullResponseStartFrame()]
        frames += [LLMTextFrame(f"{sentence} ") for sentence in sentences]
        await self.worker.queue_frames([*frames, LLMFullResponseEndFrame()] if end else frames)

    async def go_on(self, *sentences: str) -> None:
        await self.worker.queue_frames(
            [*(LLMTextFrame(f"{sentence} ") for sentence in sentences), LLMFullResponseEndFrame()]
        )

    async def finished(self) -> None:
        """Wait until all that was queued has run through the whole pipeline."""
        last = Last()
        await self.worker.queue_frame(last)
        await self.end.until(lambda: last in self.end.frames)

    @property
    def remembers(self) -> str:
        said = [m["content"] for m in self.context.get_messages() if m["role"] == "assistant"]  # type: ignore[index]
        return " ".join(str(text) for text in said)

    @property
    def told(self) -> list[str]:
        return [frame.error for frame in self.errors]


def settings_for(emulator: ElevenLabs, **changes: Any) -> ElevenLabsSettings:
    given: dict[str, Any] = {
        "api_key": SecretStr(KEY),
        "voice": VOICE,
        "url": emulator.url,
        "base_url": emulator.base_url,
        "patience": 1.0,
    }
    return ElevenLabsSettings(**{**given, **changes})


@asynccontextmanager
async def agent(
    emulator: ElevenLabs, service: TTSService | None = None, **changes: Any
) -> AsyncIterator[Agent]:
    service = service or build(settings_for(emulator, **changes), CALL)
    ear, end, context = Ear(), Ear(), LLMContext()
    worker = PipelineWorker(
        Pipeline([service, ear, LLMAssistantAggregator(context), end]),
        enable_rtvi=False,
        idle_timeout_secs=None,
        params=PipelineParams(audio_out_sample_rate=RATE),
    )
    one = Agent(ear, end, context, service, worker)

    async def on_error(_: object, error: ErrorFrame) -> None:
        one.errors.append(error)
        ear.keep(error)

    service.add_event_handler("on_error", on_error)
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    running = asyncio.create_task(runner.run())
    try:
        yield one
    finally:
        await runner.cancel()
        await running


# ── the plain way ───────────────────────────────────────────────────────────────────────────────


async def test_an_answer_is_spoken_as_pcm_at_the_rate_of_the_phone_and_remembered() -> None:
    async with ElevenLabs() as emulator, agent(emulator) as one:
        await one.say(ONE, TWO)
        await one.finished()
        assert one.ear.words == f"{ONE} {TWO}"
        assert one.remembers == f"{ONE} {TWO}"
        assert {f.sample_rate for f in one.ear.of(TTSAudioRawFrame)} == {8000}
        assert one.ear.seconds == pytest.approx(seconds(f"{ONE} {TWO} "))
        assert not one.told


async def test_the_socket_is_asked_for_whole_sentences_in_8_khz_pcm() -> None:
    async with ElevenLabs() as emulator, agent(emulator, speed=1.1, stability=0.3) as one:
        await one.say(ONE)
        await one.finished()
        (shake,) = emulator.said("handshake")
        assert shake.payload.path.startswith(f"/v1/text-to-speech/{VOICE}/multi-stream-input?")
        for part in (
            "output_format=pcm_8000",
            "model_id=eleven_flash_v2_5",
            "auto_mode=true",
            "language_code=en",
        ):
            assert part in shake.payload.path
        (first,) = emulator.said("init")
        assert first.payload["voice_settings"] == {
            "stability": 0.3,
            "similarity_boost": 0.75,
            "speed": 1.1,
        }


async def test_every_message_either_way_is_one_the_official_models_know() -> None:
    async with ElevenLabs() as emulator:
        async with agent(emulator) as one:
            await one.say(ONE, TWO)
            await one.finished()
        await emulator.until_said("close_socket")
        sent = [
            line.payload
            for line in emulator.transcript
            if line.direction == "in" and line.label != "handshake"
        ]
        assert {key for message in sent for key in message} >= {"text", "flush", "close_context"}
        for message in sent:
            read = WebsocketTtsClientMessageMulti.model_validate(message)
            known = read.model_dump(by_alias=True, exclude_unset=True, exclude={"context_id"})
            ours = {k: v for k, v in message.items() if k not in ("context_id", "voice_settings")}
            assert {k: v for k, v in known.items() if k in ours} == ours
        for line in emulator.said("audio"):
            alignment = AudioOutputMulti.model_validate(line.payload).alignment
            assert alignment is not None and alignment.char_durations_ms
        for line in emulator.said("final"):
            assert FinalOutputMulti.model_validate(line.payload).context_id
        assert emulator.said("audio") and emulator.said("final")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Call 555-010-4477 today.", "Call 5 5 5, 0 1 0, 4 4 7 7 today."),
        (
            "It is +44 20 7946 0958, ext. 12, for now.",
            "It is plus 4 4, 2 0, 7 9 4 6, 0 9 5 8, extension 1 2, for now.",
        ),
        ("Your order #100234 is ready.", "Your order number 1 0 0 2 3 4 is ready."),
        ("Write to jo@example.com today.", "Write to jo at example dot com today."),
        ("It costs $12.50 at 3:30.", "It costs $12.50 at 3:30."),
    ],
)
async def test_what_is_said_digit_by_digit_is_remembered_as_it_was_written(
    written: str, said: str
) -> None:
    async with ElevenLabs() as emulator, agent(emulator) as one:
        one.service.add_text_transformer(transform)
        await one.say(written, TWO)
        await one.finished()
        assert emulator.texts() == [said, TWO]
        assert one.remembers == f"{written} {TWO}"


async def test_an_interrupted_answer_is_given_up_and_its_late_audio_is_not_heard() -> None:
    async with ElevenLabs(Speech(pace=0.5, late=True)) as emulator, agent(emulator) as one:
        await one.say(ONE, TWO, THREE)
        await one.ear.until(lambda: one.ear.of(TTSAudioRawFrame))
        await one.worker.queue_frame(InterruptionFrame())
        await emulator.until_said("close_context")
        heard = one.ear.seconds
        await one.say(THREE)
        await one.finished()
        assert one.ear.seconds - heard == pytest.approx(seconds(f"{THREE} "))
        assert one.remembers.endswith(THREE) and TWO not in one.remembers


async def test_a_chunk_cut_inside_a_sample_shifts_nothing() -> None:
    async with ElevenLabs(Speech(odd=True)) as emulator, agent(emulator) as one:
        await one.say(ONE)
        await one.finished()
        heard = b"".join(f.audio for f in one.ear.of(TTSAudioRawFrame))
        assert heard == tone(f"{ONE} ", RATE)


async def test_a_voice_slower_than_speech_is_waited_for() -> None:
    slow = Speech(pace=1.5)
    async with ElevenLabs(slow) as emulator, agent(emulator, patience=2.0) as one:
        await one.say("Yes, of course I can.")
        await one.finished()
        assert one.remembers == "Yes, of course I can."
        assert not one.told


# ── a dropped socket ────────────────────────────────────────────────────────────────────────────


def chunks(text: str) -> int:
    """In how many chunks the emulated voice comes for a sentence."""
    return -(-len(f"{text} ") // CHUNK)


SENTENCES = (ONE, TWO, THREE)


@pytest.mark.parametrize("after", range(1, sum(map(chunks, SENTENCES))))
async def test_wherever_the_socket_breaks_the_next_one_goes_on_from_the_word_in_which_it_broke(
    after: int,
) -> None:
    reset = Speech(pace=0.02, faults=(Fault(do="reset", after="audio", nth=after),))
    async with ElevenLabs(reset) as emulator, agent(emulator) as one:
        await one.say(*SENTENCES)
        await one.finished()
        text, rest = " ".join(SENTENCES), " ".join(emulator.texts(1))
        assert one.remembers == text
        assert not any("not heard to the end" in told for told in one.told)

        cut = next(n for n in range(3) if after <= sum(map(chunks, SENTENCES[: n + 1])))
        before = " ".join((*SENTENCES[:cut], ""))
        of_it = (after - sum(map(chunks, SENTENCES[:cut]))) * CHUNK
        heard = before + f"{SENTENCES[cut]} "[:of_it]
        assert text.endswith(rest)
        again = heard[len(text) - len(rest) :]
        assert not again.strip() or (" " not in again and rest.split()[0].startswith(again))
        assert one.ear.seconds == pytest.approx(seconds(heard) + seconds(f"{rest} "))


async def test_behind_a_sentence_that_was_given_up_nothing_is_said() -> None:
    cut = Speech(pace=0.02, faults=(Fault(do="reset", after="audio"),))
    async with ElevenLabs(cut, cut) as emulator, agent(emulator) as one:
        await one.say(TWO, ONE)
        await one.finished()
        assert len(emulator.texts(1)) == 2 and emulator.texts(1)[1] == ONE
        assert TWO.startswith(one.remembers) and one.remembers != TWO
        assert any("not heard to the end" in told for told in one.told)


async def test_what_had_not_begun_to_sound_is_said_again_once() -> None:
    reset = Speech(pace=0.05, faults=(Fault(do="reset", before="audio"),))
    async with ElevenLabs(reset) as emulator, agent(emulator) as one:
        await one.say(ONE, TWO)
        await one.finished()
        assert emulator.texts(1) == [ONE, TWO]
        assert one.ear.seconds == pytest.approx(seconds(f"{ONE} {TWO} "))
        assert one.remembers == f"{ONE} {TWO}"


async def test_a_cut_between_two_sentences_loses_nothing() -> None:
    reset = Speech(pace=0.05, faults=(Fault(do="reset", after="audio", nth=chunks(ONE)),))
    async with ElevenLabs(reset) as emulator, agent(emulator) as one:
        await one.say(ONE, TWO)
        await one.finished()
        assert emulator.texts(1) == [TWO]
        assert one.remembers == f"{ONE} {TWO}"
        assert one.ear.seconds == pytest.approx(seconds(f"{ONE} {TWO} "))


async def test_words_after_a_gap_between_two_sockets_are_not_timed_before_their_audio() -> None:
    reset = Speech(faults=(Fault(do="reset", before="audio", nth=2),))
    late = Speech(faults=(Fault(do="pause", before="audio", seconds=0.7),))
    async with ElevenLabs(reset, late) as emulator, agent(emulator, patience=3.0) as one:
        await one.say("Yes.", TWO)
        await one.finished()
        yes, we, *_ = one.ear.of(TTSTextFrame)
        assert (yes.text, we.text) == ("Yes.", "We")
        assert yes.pts is not None and we.pts is not None
        assert we.pts - yes.pts >= 0.7e9 > seconds("Yes. ") * 1e9


async def test_a_sentence_that_was_lost_twice_is_not_said_a_third_time() -> None:
    reset = Speech(faults=(Fault(do="reset", before="audio"),))
    async with ElevenLabs(reset, reset) as emulator, agent(emulator) as one:
        await one.say(ONE)
        await one.finished()
        assert emulator.texts() == [ONE, ONE]
        assert one.remembers == "" and one.ear.seconds == 0
        assert any("a sentence was not heard" in told for told in one.told)


async def test_a_voice_that_drops_every_socket_is_given_up_in_a_sentence() -> None:
    reset = Speech(faults=(Fault(do="reset", before="audio"),))
    async with ElevenLabs(reset, reset, reset) as emulator, agent(emulator) as one:
        await one.say(ONE)
        await one.finished()
        await one.say(TWO)
        await one.finished()
        assert one.told[-1] == (
            "ElevenLabs dropped one socket after the other: its voice is given up for this call."
        )
        assert not one.service.is_usable and one.remembers == ""


async def test_an_interruption_while_the_socket_is_replaced_leaves_nothing_to_say_again() -> None:
    reset = Speech(faults=(Fault(do="reset", before="audio"),))
    async with (
        ElevenLabs(reset, Speech(refuse=Refusal(status=503))) as emulator,
        agent(emulator, patience=5.0) as one,
    ):
        await one.say(ONE, TWO)
        await emulator.until_said("refused")
        await one.worker.queue_frame(InterruptionFrame())
        await one.say(THREE)
        await one.finished()
        assert emulator.texts(2) == [THREE]
        assert one.remembers == THREE


async def test_a_sentence_that_arrives_while_the_socket_is_replaced_waits_for_its_turn() -> None:
    reset = Speech(faults=(Fault(do="reset", before="audio"),))
    # The second handshake takes its time.
    busy = Speech(refuse=Refusal(status=503))
    async with ElevenLabs(reset, busy, busy) as emulator, agent(emulator, patience=3.0) as one:
        await one.say(ONE, end=False)
        await one.worker.queue_frame(LLMTextFrame("We "))
        await emulator.until_said("reset")
        await one.go_on(TWO.removeprefix("We "), THREE)
        await one.finished()
        assert emulator.texts(3) == [ONE, TWO, THREE]
        assert one.remembers == f"{ONE} {TWO} {THREE}"


async def test_a_socket_lost_between_two_answers_costs_nothing() -> None:
    faults = (Fault(do="reset", after="final"),)
    async with ElevenLabs(Speech(faults=faults)) as emulator, agent(emulator) as one:
        await one.say(ONE)
        await one.finished()
        await emulator.until_said("handshake", count=2)
        await one.say(TWO)
        await one.finished()
        assert one.remembers == f"{ONE} {TWO}"
        assert not one.told


async def test_a_greeting_lost_with_the_socket_is_said_again_and_committed_once() -> None:
    reset = Speech(faults=(Fault(do="reset", before="audio"),))
    async with ElevenLabs(reset) as emulator, agent(emulator) as one:
        await one.worker.queue_frame(TTSSpeakFrame(ONE))
        await one.ear.until(lambda: one.ear.of(TTSStoppedFrame))
        await one.say(TWO)
        await one.finished()
        messages = [m["content"] for m in one.context.get_messages()]  # type: ignore[index]
        assert messages == [ONE, TWO]


@pytest.mark.stock
async def test_plain_pipecat_remembers_a_sentence_that_nobody_heard() -> None:
    reset = Speech(faults=(Fault(do="reset", before="audio"),))
    async with ElevenLabs(reset) as emulator:
        plain = ElevenLabsTTSService(
            api_key=KEY,
            url=emulator.url,
            settings=ElevenLabsTTSService.Settings(voice=VOICE, language="en"),
        )
        async with agent(emulator, plain) as one:
            await one.say(ONE)
            await one.finished()
            assert emulator.texts(1) == [] and one.ear.seconds == 0
            assert one.remembers == ONE


# ── what ElevenLabs says is wrong ───────────────────────────────────────────────────────────────


async def test_a_quota_that_ran_out_is_told_in_a_sentence_and_not_tried_again() -> None:
    async with ElevenLabs(Speech(error="quota_exceeded")) as emulator, agent(emulator) as one:
        began = time.monotonic()
        await one.say(ONE)
        await one.finished()
        assert one.told == [
            "The ElevenLabs quota is used up: raise the plan, or wait for its next month."
        ]
        assert one.errors[0].category is ErrorCategory.QUOTA
        assert not one.service.is_usable
        assert one.remembers == ""
        assert len(emulator.said("handshake")) == 1
        # Nobody waited out the silence.
        assert time.monotonic() - began < 10
        await one.say(TWO)
        await one.finished()
        assert one.remembers == "", "what is not spoken later is not remembered either"


async def test_an_input_timeout_is_told_and_the_sentence_is_said_over_the_next_socket() -> None:
    error = Speech(error="input_timeout_exceeded")
    async with ElevenLabs(error) as emulator, agent(emulator) as one:
        await one.say(ONE)
        await one.finished()
        assert one.told[0] == "ElevenLabs closed the voice after a long wait for text."
        assert emulator.texts(1) == [ONE]
        assert one.remembers == ONE


async def test_an_error_of_one_voice_alone_is_told_and_its_text_is_not_remembered() -> None:
    async with ElevenLabs(Speech(scold="invalid_message")) as emulator, agent(emulator) as one:
        await one.say(ONE)
        await one.finished()
        assert one.told[0] == "ElevenLabs refused (invalid_message)."
        assert one.remembers == ""


async def test_no_audio_is_an_error_within_patience_and_the_text_is_not_remembered() -> None:
    async with ElevenLabs(Speech(silent=True)) as emulator, agent(emulator, patience=0.3) as one:
        await one.say(ONE, TWO)
        await one.finished()
        assert one.told == ["ElevenLabs sent no audio: 2 sentences were not heard to the end."]
        assert one.errors[0].category is ErrorCategory.SERVER
        assert one.service.is_usable
        assert one.remembers == ""


async def test_a_voice_silent_three_times_running_is_given_up() -> None:
    silent = [Speech(silent=True)] * 3  # a silent connection is replaced
    async with ElevenLabs(*silent) as emulator, agent(emulator, patience=0.2) as one:
        for _ in range(3):
            await one.say(ONE)
            await one.finished()
        assert one.told[-1].endswith("It was silent 3 times running.")
        assert not one.service.is_usable


async def test_an_end_that_is_never_told_costs_patience_and_no_word() -> None:
    async with ElevenLabs(Speech(final=False)) as emulator, agent(emulator, patience=0.3) as one:
        await one.say(ONE, TWO)
        await one.finished()
        assert one.remembers == f"{ONE} {TWO}"
        assert one.ear.of(TTSStoppedFrame)
        assert not one.told


async def test_audio_without_alignment_is_spoken_and_remembered() -> None:
    async with ElevenLabs(Speech(aligned=False)) as emulator, agent(emulator) as one:
        await one.say(ONE)
        await one.finished()
        assert one.remembers == ONE and not one.told


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"api_key": SecretStr("wrong")}, "Set ELEVENLABS_API_KEY"),
        ({"voice": "nobody"}, "ElevenLabs has no voice 'nobody'"),
    ],
)
async def test_a_refused_handshake_is_told_once_and_lasts(
    changes: dict[str, Any], sentence: str
) -> None:
    async with ElevenLabs() as emulator, agent(emulator, **changes) as one:
        await one.ear.until(lambda: one.told)
        assert sentence in one.told[0]
        assert not one.service.is_usable
        await one.say(ONE)
        await one.finished()
        assert len(one.told) == 1
        assert len(emulator.said("handshake")) == 1
        assert one.remembers == ""


async def test_a_key_without_the_permission_is_told_as_that() -> None:
    refuse = Refusal(status=403, body='{"detail": {"status": "missing_permissions"}}')
    async with ElevenLabs(Speech(refuse=refuse)) as emulator, agent(emulator) as one:
        await one.ear.until(lambda: one.told)
        assert "give it the text to speech permission" in one.told[0]
        assert one.errors[0].category is ErrorCategory.AUTHORIZATION
        assert not one.service.is_usable


@pytest.mark.parametrize(
    "passing",
    [
        Speech(refuse=Refusal(status=429)),
        Speech(refuse=Refusal(status=503)),
        Speech(reset=True),
    ],
)
async def test_a_handshake_that_a_moment_may_mend_is_tried_again(passing: Speech) -> None:
    async with ElevenLabs(passing, passing) as emulator, agent(emulator, patience=5.0) as one:
        await one.say(ONE)
        await one.finished()
        assert one.remembers == ONE and not one.told
        assert len(emulator.said("handshake")) == 3


async def test_an_unreachable_voice_is_told_and_its_text_is_not_remembered() -> None:
    async with ElevenLabs() as emulator, agent(emulator, url="ws://127.0.0.1:1") as one:
        await one.say(ONE, TWO)
        await one.finished()
        first, *others = one.told
        assert "could not be reached at ws://127.0.0.1:1" in first, "the reason, once"
        assert others == ["ElevenLabs could not be reached in time: a sentence was not spoken."]
        assert one.remembers == "" and one.service.is_usable


async def test_the_keep_alive_opens_no_voice_after_the_last_was_closed() -> None:
    async with ElevenLabs(Speech(final=False)) as emulator, agent(emulator, patience=5.0) as one:
        await one.say(ONE)
        await emulator.until_said("close_context")
        await one.service._send_keepalive()  # type: ignore[attr-defined]
        line = await emulator.until_said("keepalive")
        assert line.payload == {"text": ""}


# ── over HTTP ───────────────────────────────────────────────────────────────────────────────────


async def test_a_phrase_is_rendered_as_pcm_at_the_rate_of_the_call() -> None:
    async with ElevenLabs() as emulator:
        pcm = await asyncio.to_thread(render, settings_for(emulator, speed=0.9), CALL, ONE)
        assert pcm == tone(ONE, RATE)
        (asked,) = emulator.said("speech")
        assert asked.payload["query"]["output_format"] == "pcm_8000"
        assert asked.payload["body"]["voice_settings"]["speed"] == 0.9


async def test_a_rendering_that_a_moment_may_mend_is_tried_again() -> None:
    busy = [Answer(status=429), Answer(status=503), Answer(status=500, reset=True)]
    async with ElevenLabs(answers={"speech": busy}) as emulator:
        assert await asyncio.to_thread(render, settings_for(emulator), CALL, ONE) == tone(ONE, RATE)
        assert len(emulator.said("speech")) == 4


@pytest.mark.parametrize(
    ("changes", "sentence", "fix", "requests"),
    [
        ({"api_key": SecretStr("wrong")}, "does not know this key", "ELEVENLABS_API_KEY", 1),
        ({"voice": "nobody"}, "no voice 'nobody'", "choose another", 1),
        ({"model": "eleven_unknown"}, "cannot speak with the model 'eleven_unknown'", "model", 1),
        ({"base_url": "http://127.0.0.1:1"}, "could not be reached", "base_url", 0),
    ],
)
async def test_a_rendering_that_is_refused_says_why_and_what_mends_it(
    changes: dict[str, Any], sentence: str, fix: str, requests: int
) -> None:
    async with ElevenLabs() as emulator:
        with pytest.raises(PluginError, match=sentence) as told:
            await asyncio.to_thread(render, settings_for(emulator, **changes), CALL, ONE)
        assert fix in told.value.fix and told.value.fix not in told.value.what
        assert len(emulator.said("speech")) == requests


def test_a_rate_that_elevenlabs_has_not_got_is_refused() -> None:
    settings = ElevenLabsSettings(api_key=SecretStr("k"))
    odd = Call(id="test", audio_out_rate=11025)
    with pytest.raises(PluginError, match="no PCM at 11025 Hz"):
        build(settings, odd)
    with pytest.raises(PluginError, match="no PCM at 11025 Hz"):
        render(settings, odd, ONE)


MISSING = Answer(status=401, detail={"status": "missing_permissions", "message": "user_read"})


@pytest.mark.parametrize(
    ("changes", "answers", "found"),
    [
        ({}, {}, []),
        ({"api_key": SecretStr("wrong")}, {}, ["does not know this key"]),
        ({"voice": "nobody"}, {}, ["no voice 'nobody'"]),
        ({"model": "eleven_unknown"}, {}, ["model 'eleven_unknown'"]),
        ({"model": "eleven_english_sts_v2"}, {}, ["It has eleven_flash_v2_5"]),
        (
            {"voice": "nobody", "model": "eleven_unknown"},
            {},
            ["no voice 'nobody'", "model 'eleven_unknown'"],
        ),
        ({"base_url": "http://127.0.0.1:1"}, {}, ["could not be reached at http://127.0.0.1:1"]),
        ({}, {"user": [MISSING]}, []),
        ({}, {"voice": [MISSING], "models": [MISSING]}, ["voices_read", "models_read"]),
        ({}, {"user": [Answer(status=503)], "models": [Answer(status=429)]}, []),
    ],
)
async def test_key_voice_and_model_are_proved_apart(
    changes: dict[str, Any], answers: dict[str, list[Answer]], found: list[str]
) -> None:
    async with ElevenLabs(answers=answers) as emulator:
        problems = await asyncio.to_thread(online, settings_for(emulator, **changes))
        assert len(problems) == len(found)
        assert all(part in problem for part, problem in zip(found, problems, strict=True))


# ── settings ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"model": "eleven_v3"}, "not offered over"),
        ({"url": "https://api.elevenlabs.io"}, "begins with ws://"),
        ({"base_url": "api.elevenlabs.io"}, "begins with http://"),
        ({"speed": 2.0}, "less than or equal to 1.2"),
        ({"voice": "a/b"}, "pattern"),
        ({"encoding": "mulaw"}, "Extra inputs"),
    ],
)
def test_settings_that_cannot_work_are_refused_with_the_reason(
    changes: dict[str, Any], why: str
) -> None:
    with pytest.raises(ValidationError, match=why):
        ElevenLabsSettings(**{"api_key": SecretStr("k"), **changes})


def test_the_declaration_has_everything_a_host_asks_for() -> None:
    (declared,) = register_tts()
    assert declared.name == "elevenlabs"
    assert declared.render and declared.online and declared.summary


# ── the emulator itself ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("messages", "error"),
    [
        ([{"text": "Hello ", "context_id": "a"}], "invalid_message"),
        ([{"text": " ", "context_id": "a", "voice": "x"}], "invalid_message"),
        (
            [
                {"text": " ", "context_id": "a", "voice_settings": {"speed": 1.0}},
                {"text": "Hi ", "context_id": "a", "voice_settings": {"speed": 1.1}},
            ],
            "voice_settings_changed",
        ),
        ([{"text": " ", "context_id": str(n)} for n in range(6)], "max_active_conversations"),
    ],
)
async def test_the_emulator_refuses_what_elevenlabs_refuses(
    messages: list[dict[str, Any]], error: str
) -> None:
    import json

    from websockets.asyncio.client import connect

    async with ElevenLabs() as emulator:
        url = (
            f"{emulator.url}/v1/text-to-speech/{VOICE}/multi-stream-input"
            "?model_id=eleven_flash_v2_5&output_format=pcm_8000&auto_mode=true"
        )
        async with connect(url, additional_headers={"xi-api-key": KEY}) as socket:
            for message in messages:
                await socket.send(json.dumps(message))
            said = json.loads(await socket.recv())
            await socket.wait_closed()
            assert said["error"] == error and said["code"] == 1008
            assert socket.close_code == 1008


async def test_the_emulator_refuses_a_query_it_does_not_know_and_ends_an_idle_socket() -> None:
    import json

    from websockets.asyncio.client import connect
    from websockets.exceptions import InvalidStatus

    async with ElevenLabs(scale=0.01) as emulator:
        root = f"{emulator.url}/v1/text-to-speech/{VOICE}/multi-stream-input"
        url = f"{root}?model_id=eleven_flash_v2_5&output_format=pcm_8000&auto_mode=true"
        key = {"xi-api-key": KEY}
        with pytest.raises(InvalidStatus):
            await connect(f"{url}&encoding=mulaw", additional_headers=key)
        async with connect(url, additional_headers=key) as socket:
            assert json.loads(await socket.recv())["error"] == "input_timeout_exceeded"
