"""Several voices say one answer: each word once, and no sentence by half."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from pipecat.frames.frames import (
    EndFrame,
    Frame,
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    TTSAudioRawFrame,
    TTSSpeakFrame,
    TTSTextFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.settings import TTSSettings
from pipecat.services.tts_service import TTSService
from pipecat.workers.runner import WorkerRunner
from pydantic import SecretStr
from tipring.llm.sentence_frame import SentenceFrame
from tipring.providers import Call
from tipring.speech.voices import Voices
from tipring_tts_elevenlabs import ElevenLabsSettings
from tipring_tts_elevenlabs import build as elevenlabs
from tipring_tts_hibari import HibariSettings
from tipring_tts_hibari import build as hibari

from tests.emulators.elevenlabs import KEY, VOICE, ElevenLabs, Speech
from tests.fast_loop import run_fast
from tests.scripted_rungs import Ear

ANSWER = ("Gladly, one moment.", "And for how many people?")
SECOND = 8000
"""Bytes of half a second: what a word takes."""


class Mouth(TTSService):
    """Says a word in half a second, and fails when it is told to.

    Args:
        name: Marks its sound.
        breaks: After how many words it fails; None: never.
        lasting: Whether it is then good for nothing any more.
        mute: How many contexts it says nothing in, and reports that.
    """

    def __init__(
        self, name: str, *, breaks: int | None = None, lasting: bool = True, mute: int = 0
    ) -> None:
        super().__init__(
            push_start_frame=True,
            push_stop_frames=True,
            push_text_frames=False,
            sample_rate=8000,
            stop_frame_timeout_s=3.0,
            settings=TTSSettings(model=name, voice=name, language=None),
        )
        self.mark = bytes([ord(name), 0])
        self.breaks = breaks
        self.lasting = lasting
        self.mute = mute
        self.asked: list[str] = []

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        self.asked.append(text)
        if self.mute:
            self.mute -= 1
            await asyncio.sleep(3.0)
            await self.push_error("it said nothing")
            return
        said = 0.0
        for word in text.split():
            if self.breaks == 0:
                self.breaks = None
                await self.push_error("it broke", force_treat_as_permanent=self.lasting)
                return
            if self.breaks is not None:
                self.breaks -= 1
            await asyncio.sleep(0.1)
            yield TTSAudioRawFrame(self.mark * (SECOND // 2), 8000, 1, context_id=context_id)
            said += 0.5
            await self.add_word_timestamps([(word, said)], context_id)

    async def _apply_force_complete(self, context_id: str) -> None:
        """What was not said is not written down."""
        self._aggregated_frame_sequencer.clear()


@dataclass
class Line:
    voices: Voices
    worker: PipelineWorker
    below: Ear
    switched: list[int] = field(default_factory=list)
    lost: list[None] = field(default_factory=list)

    async def answer(self, *sentences: str) -> None:
        for frame in (
            LLMFullResponseStartFrame(),
            *(SentenceFrame(text=text) for text in sentences),
            LLMFullResponseEndFrame(),
        ):
            await self.worker.queue_frame(frame)

    async def answered(self, times: int = 1) -> None:
        await self.below.until(lambda: len(self.below.of(LLMFullResponseEndFrame)) >= times)

    @property
    def words(self) -> str:
        return " ".join(f.text for f in self.below.frames if isinstance(f, TTSTextFrame))

    @property
    def sound(self) -> str:
        """A letter a word: whose sound it was."""
        heard = b"".join(f.audio for f in self.below.frames if isinstance(f, TTSAudioRawFrame))
        return "".join(chr(heard[at]) for at in range(0, len(heard), SECOND))


@asynccontextmanager
async def line(*mouths: TTSService) -> AsyncIterator[Line]:
    below = Ear(FrameDirection.DOWNSTREAM)

    async def switched(number: int) -> None:
        held.switched.append(number)

    async def lost() -> None:
        held.lost.append(None)

    voices = Voices(mouths, on_switched=switched, on_lost=lost)
    worker = PipelineWorker(
        Pipeline([*voices.processors, below]),
        params=PipelineParams(audio_out_sample_rate=8000),
        idle_timeout_secs=None,
        enable_rtvi=False,
    )
    held = Line(voices, worker, below)
    runner = WorkerRunner(handle_sigint=False, handle_sigterm=False)
    await runner.add_workers(worker)
    running = asyncio.create_task(runner.run())
    try:
        yield held
        await worker.queue_frame(EndFrame())
    finally:
        async with asyncio.timeout(60):
            await running


def once_each(held: Line, sentences: Sequence[str]) -> None:
    assert held.words == " ".join(sentences)
    assert len(held.sound) == len(held.words.split())


def test_a_voice_that_works_speaks_alone() -> None:
    async def main() -> None:
        async with line(Mouth("a"), Mouth("b")) as held:
            await held.answer(*ANSWER)
            await held.answered()
            once_each(held, ANSWER)
            assert set(held.sound) == {"a"}
            assert (held.switched, held.lost) == ([], [])

    run_fast(main())


def test_wherever_a_voice_breaks_the_next_one_goes_on_from_the_next_word() -> None:
    words = sum(len(sentence.split()) for sentence in ANSWER)

    async def main(breaks: int) -> None:
        async with line(Mouth("a", breaks=breaks), Mouth("b")) as held:
            await held.answer(*ANSWER)
            await held.answered()
            once_each(held, ANSWER)
            assert held.sound == "a" * breaks + "b" * (words - breaks)
            assert len(held.below.of(LLMFullResponseStartFrame)) == 1
            assert len(held.below.of(LLMFullResponseEndFrame)) == 1
            # It stays with the voice that works.
            await held.answer("As you like.")
            await held.answered(2)
            assert held.sound[words:] == "bbb"
            assert held.switched == [1]

    for breaks in range(words):
        run_fast(main(breaks))


def test_sentences_that_come_while_a_voice_breaks_are_said_behind_its_rest() -> None:
    async def main() -> None:
        async with line(Mouth("a", breaks=1), Mouth("b")) as held:
            await held.worker.queue_frame(LLMFullResponseStartFrame())
            await held.worker.queue_frame(SentenceFrame(text=ANSWER[0]))
            await asyncio.sleep(1.0)
            await held.worker.queue_frame(SentenceFrame(text=ANSWER[1]))
            await asyncio.sleep(1.0)
            await held.worker.queue_frame(LLMFullResponseEndFrame())
            await held.answered()
            once_each(held, ANSWER)
            assert set(held.sound[1:]) == {"b"}

    run_fast(main())


def test_a_voice_that_broke_off_and_is_there_again_goes_on_itself_but_once_a_call() -> None:
    async def main() -> None:
        stumbles = Mouth("a", breaks=5, lasting=False)
        async with line(stumbles, Mouth("b")) as held:
            await held.answer(*ANSWER)
            await held.answered()
            once_each(held, ANSWER)
            assert (held.sound, held.switched) == ("aaaaaaaa", [])
            stumbles.breaks = 1
            await held.answer("As you like.")
            await held.answered(2)
            assert (held.sound[8:], held.switched) == ("abb", [1])
            assert held.words == " ".join((*ANSWER, "As you like."))

    run_fast(main())


def test_a_voice_from_which_no_sound_came_is_not_waited_for_again() -> None:
    async def main() -> None:
        late = Mouth("a", mute=1)
        async with line(late, Mouth("b")) as held:
            await held.answer("Gladly.")
            await held.answered()
            once_each(held, ["Gladly."])
            assert (held.sound, held.switched, len(late.asked)) == ("b", [1], 1)

    run_fast(main())


def test_a_third_voice_takes_over_from_the_second() -> None:
    async def main() -> None:
        async with line(Mouth("a", breaks=1), Mouth("b", breaks=2), Mouth("c")) as held:
            await held.answer(*ANSWER)
            await held.answered()
            once_each(held, ANSWER)
            assert held.sound == "abbccccc"
            assert held.switched == [1, 2]

    run_fast(main())


def test_with_no_voice_left_the_host_is_told_once_and_the_response_ends() -> None:
    async def main() -> None:
        async with line(Mouth("a", breaks=2), Mouth("b", breaks=0)) as held:
            await held.answer(*ANSWER)
            await held.answered()
            await held.answer("Nobody says this.")
            await held.answered(2)
            assert held.sound == "aa"
            assert held.lost == [None]
            assert not held.voices.is_usable

    run_fast(main())


def test_a_voice_that_was_merely_late_is_asked_once_more_where_there_is_no_other() -> None:
    async def main() -> None:
        mouth = Mouth("a", mute=1)
        async with line(mouth) as held:
            await held.answer("Gladly.")
            await held.answered()
            assert (held.words, held.sound) == ("Gladly.", "a")
            assert len(mouth.asked) == 2
            assert held.lost == []

    run_fast(main())


def test_what_the_host_says_itself_is_taken_over_too() -> None:
    async def main() -> None:
        async with line(Mouth("a", breaks=1), Mouth("b")) as held:
            await held.worker.queue_frame(TTSSpeakFrame("Hello and welcome here."))
            await held.below.until(lambda: held.words.endswith("here."))
            once_each(held, ["Hello and welcome here."])
            assert held.sound == "abbb"

    run_fast(main())


def test_an_interruption_leaves_nothing_to_be_taken_over() -> None:
    async def main() -> None:
        async with line(Mouth("a", mute=1), Mouth("b")) as held:
            await held.answer(*ANSWER)
            await asyncio.sleep(1.0)
            await held.worker.queue_frame(InterruptionFrame())
            await held.answer("As you like.")
            await held.below.until(lambda: held.words.endswith("like."))
            assert held.words == "As you like."
            assert held.switched == []

    run_fast(main())


@pytest.mark.loopback
async def test_hibari_finishes_the_sentence_in_which_elevenlabs_refused_for_good() -> None:
    call = Call(id="call")
    quota = Speech(error="quota_exceeded", error_after=1)
    async with asyncio.timeout(60), ElevenLabs(quota, otherwise=quota) as emulator:
        settings = ElevenLabsSettings(
            api_key=SecretStr(KEY), voice=VOICE, url=emulator.url, base_url=emulator.base_url
        )
        first, second = elevenlabs(settings, call), hibari(HibariSettings(), call)
        async with line(first, second) as held:
            await held.answer("And how many of you will there be?")
            await held.answered()
    assert held.words == "And how many of you will there be?"
    assert (held.switched, held.lost) == ([1], [])
    sound = [one for one in held.below.frames if isinstance(one, TTSAudioRawFrame)]
    heard = sum(len(one.audio) for one in sound) / SECOND / 2
    of_the_first = len("And how many of ") * 0.06
    # "You will there be?" takes anybody half a second, and nobody two.
    assert of_the_first + 0.5 < heard < of_the_first + 2
