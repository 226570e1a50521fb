"""What of the agent's speech was heard, to the word, and how it goes on after a stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pipecat.frames.frames import (
    CancelFrame,
    Frame,
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    OutputAudioRawFrame,
    StartFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    TTSTextFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import TransportParams
from pipecat.utils.text.base_text_aggregator import TextType
from pipecat.workers.runner import WorkerRunner
from tipring.journal import Journal
from tipring.phone.ledger import HeardLedger
from tipring.speech.player import PhrasePlayer
from tipring.speech.script import Script
from tipring.turns.floor import Floor

from tests.fast_loop import run_fast

RATE = 8000
SECOND = 2 * RATE


class Wire(BaseOutputTransport):
    """A telephone that plays what it gets at the pace of speech, on the test's clock."""

    def __init__(self) -> None:
        super().__init__(TransportParams(audio_out_enabled=True))
        self.played = bytearray()
        self.ledger: HeardLedger

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)

    async def write_audio_frame(self, frame: OutputAudioRawFrame) -> bool:
        self.played += frame.audio
        self.ledger.sent(len(frame.audio) // 2)
        await asyncio.sleep(len(frame.audio) / SECOND)
        return True


class Rendered:
    """Phrases whose every word lasts half a second, each with a sound of its own."""

    rate = RATE

    def get(self, text: str) -> bytes | None:
        return sound(text)


def sound(text: str) -> bytes:
    return b"".join(tone(word) for word in text.split())


def tone(word: str) -> bytes:
    """Half a second of audio that is this word's."""
    return bytes([1 + sum(word.encode()) % 100, 0]) * (RATE // 2)


def whole(played: bytearray, audio: bytes) -> bool:
    """Whether it is all that was played, but for the silence that fills up the last piece."""
    return played.startswith(audio) and not any(played[len(audio) :])


class Phone:
    """A call from the voice to the caller's ear."""

    def __init__(self) -> None:
        self.journal = Journal(clock=asyncio.get_running_loop().time)
        self.floor = Floor()
        self.left = 0
        self.wire = Wire()
        self.ledger = HeardLedger(
            stream="MZ1", journal=self.journal, floor=self.floor, farewell=self._farewell
        )
        self.wire.ledger = self.ledger
        self.player = PhrasePlayer(Rendered(), self.ledger.script)
        self.context = LLMContext()
        pair = LLMContextAggregatorPair(self.context)
        self.worker = PipelineWorker(
            Pipeline([self.player, self.ledger, self.wire, pair.assistant()]),
            params=PipelineParams(audio_out_sample_rate=RATE),
            enable_rtvi=False,
            enable_turn_tracking=False,
            idle_timeout_secs=None,
        )

    async def _farewell(self) -> None:
        self.left += 1

    @property
    def remembered(self) -> list[str]:
        messages: list[Any] = self.context.get_messages()
        return [message["content"] for message in messages]

    async def send(self, *frames: Frame) -> None:
        for frame in frames:
            await self.worker.queue_frame(frame)

    async def voice(self, text: str, *, stamped: bool) -> None:
        """Speak as a voice does: all audio at once, and the words with or without their times."""
        await self.send(LLMFullResponseStartFrame(), TTSStartedFrame(context_id="1"))
        clock = self.ledger.get_clock()
        for n, word in enumerate(text.split()):
            await self.send(TTSAudioRawFrame(tone(word), RATE, 1, context_id="1"))
            if stamped:
                await asyncio.sleep(0)
                if n == 0:
                    began = clock.get_time()
                spoken = TTSTextFrame(word, text_type=TextType.WORD, context_id="1")
                spoken.pts = began + int(n * 0.5e9 + 0.4e9)
                await self.send(spoken)
        if not stamped:
            await self.send(TTSTextFrame(text, text_type=TextType.SENTENCE, context_id="1"))
        await self.send(TTSStoppedFrame(context_id="1"), LLMFullResponseEndFrame())

    def marks(self, kind: str) -> list[str]:
        return [event.detail["name"] for event in self.journal.events if event.name == kind]


@asynccontextmanager
async def phone() -> AsyncIterator[Phone]:
    call = Phone()
    runner = WorkerRunner(handle_sigint=False, handle_sigterm=False)
    started = asyncio.Event()

    async def on_started(_: PipelineWorker, __: Frame) -> None:
        started.set()

    call.worker.add_event_handler("on_pipeline_started", on_started)
    await runner.add_workers(call.worker)
    running = asyncio.create_task(runner.run())
    await started.wait()
    try:
        yield call
    finally:
        await call.worker.queue_frame(CancelFrame())
        await running


# Words of one length: a voice without word times is measured by its letters.
TEXT = "Your room will cost five bob."


@pytest.mark.parametrize("how", ["phrase", "stamped", "unstamped"])
def test_the_floor_knows_the_word_that_is_being_said_and_those_before(how: str) -> None:
    async def main() -> None:
        async with phone() as call:
            began = asyncio.get_running_loop().time()
            await say(call, how)
            await asyncio.sleep(1.2)
            floor = call.floor
            assert [word.strip() for _, word in floor.agent_words] == ["Your", "room"]
            assert floor.agent_next == ("will",)
            await asyncio.sleep(0.5)
            assert floor.agent_next == ("cost",)
            assert floor.agent_words[-1][0] - began == pytest.approx(1.5, abs=0.15)
            await call.send(InterruptionFrame())
            await asyncio.sleep(1)
            assert [word.strip() for _, word in floor.agent_words] == ["Your", "room", "will"]
            assert not floor.agent_next

    run_fast(main())


@pytest.mark.parametrize("how", ["phrase", "stamped", "unstamped"])
def test_an_answer_that_was_stopped_is_remembered_to_the_word(how: str) -> None:
    async def main() -> None:
        async with phone() as call:
            await say(call, how)
            await asyncio.sleep(1.7)
            await call.send(InterruptionFrame())
            await asyncio.sleep(1)
            assert call.remembered == ["Your room will"]

    run_fast(main())


@pytest.mark.parametrize("how", ["phrase", "stamped", "unstamped"])
def test_an_answer_that_is_heard_out_is_remembered_whole_and_once(how: str) -> None:
    async def main() -> None:
        async with phone() as call:
            await say(call, how)
            await asyncio.sleep(2.9)
            assert call.remembered == []
            await asyncio.sleep(0.5)
            assert call.remembered == [TEXT]
            assert whole(call.wire.played, sound(TEXT))

    run_fast(main())


@pytest.mark.parametrize("how", ["phrase", "stamped", "unstamped"])
def test_an_agent_that_goes_on_begins_with_the_word_in_which_it_was_stopped(how: str) -> None:
    async def main() -> None:
        async with phone() as call:
            await say(call, how)
            await asyncio.sleep(1.7)
            await call.send(InterruptionFrame())
            await asyncio.sleep(1)
            heard = bytes(call.wire.played)
            assert heard == sound(TEXT)[: len(heard)] and len(heard) < 1.8 * SECOND
            call.wire.played.clear()
            assert await call.ledger.resume() == ""
            await asyncio.sleep(3)
            # A voice's own times are on the clock of the wall, which is not the test's.
            begins = call.wire.played.index(sound("cost five bob."))
            assert begins < SECOND / 2 if how == "stamped" else begins == 0
            assert call.remembered == ["Your room will", "cost five bob."]

    run_fast(main())


async def say(call: Phone, how: str) -> None:
    if how == "phrase":
        assert await call.player.speak(TEXT)
    else:
        call.ledger.script.say(TEXT)
        await call.voice(TEXT, stamped=how == "stamped")


def test_what_the_voice_had_not_rendered_is_left_for_it_to_say() -> None:
    async def main() -> None:
        async with phone() as call:
            call.ledger.script.say(TEXT)
            call.ledger.script.say("Anything else?")
            await call.voice(TEXT, stamped=True)
            await asyncio.sleep(1.7)
            await call.send(InterruptionFrame())
            await asyncio.sleep(0.1)
            [cut] = [event for event in call.journal.events if event.name == "agent.cut"]
            assert cut.detail["unsaid"] == "cost five bob. Anything else?"
            assert await call.ledger.resume() == "Anything else?"

    run_fast(main())


def test_an_agent_that_had_said_all_has_nothing_to_go_on_with() -> None:
    async def main() -> None:
        async with phone() as call:
            await say(call, "phrase")
            await asyncio.sleep(4)
            await call.send(InterruptionFrame())
            await asyncio.sleep(0.1)
            assert await call.ledger.resume() is None

    run_fast(main())


def test_a_later_answer_takes_the_place_of_what_was_left_unsaid() -> None:
    async def main() -> None:
        async with phone() as call:
            await say(call, "phrase")
            await asyncio.sleep(1.7)
            await call.send(InterruptionFrame())
            await asyncio.sleep(0.1)
            await call.player.speak("Nine, then.")
            await asyncio.sleep(0.1)
            assert await call.ledger.resume() is None

    run_fast(main())


def test_each_sentence_has_a_mark_and_the_floor_knows_what_is_unplayed() -> None:
    async def main() -> None:
        async with phone() as call:
            await call.player.speak("One two. Three four.")
            await asyncio.sleep(3)
            assert call.floor.unplayed
            call.ledger.returned("u1")
            assert call.floor.unplayed
            call.ledger.returned("u2")
            assert call.marks("mark.played") == ["u1", "u2"]
            await call.ledger.heard(within=0)
        assert not call.floor.unplayed

    run_fast(main())


def test_marks_that_a_clear_sent_back_are_no_playback() -> None:
    async def main() -> None:
        async with phone() as call:
            await call.player.speak("One two. Three four.")
            await asyncio.sleep(1.2)
            call.ledger.returned("u1")
            await call.send(InterruptionFrame())
            await asyncio.sleep(0.1)
            call.ledger.returned("u2")
            assert call.marks("mark.played") == ["u1"]
            assert call.marks("mark.cleared") == ["u2"]

    run_fast(main())


def test_words_that_never_became_sound_are_not_remembered() -> None:
    async def main() -> None:
        async with phone() as call:
            await call.send(LLMFullResponseStartFrame(), TTSStartedFrame(context_id="1"))
            await call.send(TTSTextFrame(TEXT, text_type=TextType.SENTENCE, context_id="1"))
            await call.send(TTSStoppedFrame(context_id="1"), LLMFullResponseEndFrame())
            await asyncio.sleep(1)
            assert call.remembered == []

    run_fast(main())


@pytest.mark.parametrize(
    ("said", "voiced", "left"),
    [
        (["One two.", "Three."], "One two.", "Three."),
        (["One two.", "Three."], "one", "two. Three."),
        (["One two."], "One two.", ""),
        (["It is 5."], "It is", "5."),
        ([], "anything", ""),
    ],
)
def test_what_came_back_as_sound_is_told_from_what_did_not(
    said: list[str], voiced: str, left: str
) -> None:
    script = Script()
    for text in said:
        script.say(text)
    script.voiced(voiced)
    assert script.cut() == left
    assert script.cut() == ""
