"""The caller's word silences the phone at once, and Pipecat's interruption finds nothing to do."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from pipecat.frames.frames import CancelFrame, Frame, InterruptionFrame, TTSSpeakFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport
from pipecat.workers.runner import WorkerRunner
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket
from tipring.journal import Journal
from tipring.phone.ledger import HeardLedger
from tipring.phone.stream import TwilioStream, greet
from tipring.speech.player import PhraseDesk, PhrasePlayer
from tipring.testing import Clip, Phone
from tipring.testing.hosted import hosted
from tipring.turns.floor import Floor

from tests.emulated_host import KEYRING, TONES, emulated
from tests.emulators.elevenlabs import ElevenLabs
from tests.faults.call import on_a_port
from tests.told import Told

pytestmark = pytest.mark.line

RATE = 8000
WORD = 0.5
"""Seconds of a word."""
LONG = "We have a table by the window, another one by the door, and a third one in the garden."


def clip(*words: str) -> Clip:
    return Clip.from_samples(np.frombuffer(TONES.speak(*words), np.int16), 16000)


def clears(phone: Phone) -> list[float]:
    return [event.at for event in phone.timeline if event.name == "clear"]


def silent(phone: Phone, begin: float, end: float) -> bool:
    """Whether not one sample of the agent was heard in between."""
    return not np.any(phone.heard[round(begin * RATE) + 1 : round(end * RATE) - 1])


@pytest.mark.timeout(120)
async def test_the_phone_is_told_before_the_interruption_has_walked_the_line(
    tmp_path: Path,
) -> None:
    told = Told()
    async with (
        emulated(tmp_path, LONG, "Gladly.", voice=ElevenLabs(sound=TONES.spell)) as providers,
        hosted(config=providers.config, environ=KEYRING, on_event=told) as host,
        await Phone.dial(host.url, auth_token=host.auth_token) as phone,
    ):
        await phone.agent_speaks(within=30)
        await phone.agent_silent(within=30)
        phone.say(clip("table"))
        answered = await phone.agent_speaks(within=30)
        await phone.until(answered + 1.0)
        phone.say(clip("window", "tonight", "bill"))
        await phone.when(lambda: bool(clears(phone)), within=30)
        again = await phone.agent_speaks(within=30)
        await phone.agent_silent(within=30)
        await phone.hang_up()
        await told.until(phone.call_sid, "call.ended")

    [cleared] = clears(phone)
    assert cleared < again and silent(phone, cleared, again)
    names = [event["event"] for event in told.events]
    at = names.index("interruption")
    assert names[at : at + 3] == ["interruption", "turn.started", "clear"]
    assert names.index("agent.cut") > at + 2  # that is the ledger, next to the phone
    assert told.of(phone.call_sid, "agent.said")[-1]["text"] == "Gladly."


class Late(FrameProcessor):
    """A line as busy as a line can be: the interruption comes down it when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.free = asyncio.Event()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if isinstance(frame, InterruptionFrame):
            self.create_task(self._keep(frame, direction))
        else:
            await super().process_frame(frame, direction)
            await self.push_frame(frame, direction)

    async def _keep(self, frame: Frame, direction: FrameDirection) -> None:
        await self.free.wait()
        await super().process_frame(frame, direction)
        await self.push_frame(frame, direction)


class Rendered:
    """Phrases whose every word lasts as long."""

    rate = RATE

    def get(self, text: str) -> bytes | None:
        word = np.sin(np.arange(round(RATE * WORD)) / 4)
        return (8000 * np.tile(word, len(text.split()))).astype("<i2").tobytes()


@dataclass
class Spoken:
    """A line from the voice to the phone, as it is assembled for a call."""

    journal: Journal = field(default_factory=Journal)
    late: Late = field(default_factory=Late)
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.ledger = HeardLedger(
            stream="", journal=self.journal, floor=Floor(), farewell=self._farewell
        )
        self.desk = PhraseDesk(Rendered(), self.ledger.script)
        self.player = PhrasePlayer(Rendered(), self.ledger.script)

    async def _farewell(self) -> None:
        """Nobody says goodbye."""

    async def answer(self, websocket: WebSocket) -> None:
        await websocket.accept()
        start = await greet(websocket)
        self.ledger.moved(start.stream)
        self.stream = TwilioStream(
            start,
            journal=self.journal,
            on_mark=self.ledger.returned,
            on_stop=self.over.set,
            on_agent=lambda sound: self.ledger.sent(len(sound)),
        )
        self.transport = FastAPIWebsocketTransport(
            websocket,
            FastAPIWebsocketParams(
                audio_in_enabled=True, audio_out_enabled=True, serializer=self.stream
            ),
        )
        line = [self.transport.input(), self.desk, self.player, self.late, self.ledger]
        self.worker = PipelineWorker(
            Pipeline([*line, self.transport.output()]),
            params=PipelineParams(audio_in_sample_rate=RATE, audio_out_sample_rate=RATE),
            enable_rtvi=False,
            enable_turn_tracking=False,
            idle_timeout_secs=None,
        )

        async def started(*_: object) -> None:
            self.ready.set()

        self.worker.add_event_handler("on_pipeline_started", started)
        runner = WorkerRunner(handle_sigint=False, handle_sigterm=False)
        await runner.add_workers(self.worker)
        running = asyncio.create_task(runner.run())
        await self.over.wait()
        await self.worker.queue_frame(CancelFrame())
        await running

    async def stop(self) -> bool:
        if may := self.ledger.stop():
            await self.transport.output().send_message(self.stream.stop())
        return may

    def noted(self, name: str) -> list[str]:
        return [str(e.detail.get("name", "")) for e in self.journal.events if e.name == name]


@contextlib.asynccontextmanager
async def spoken() -> AsyncIterator[tuple[Spoken, Phone]]:
    line = Spoken()
    app = Starlette(routes=[WebSocketRoute("/media", line.answer)])
    async with on_a_port(lambda _: app) as url:
        phone = await Phone.connect(f"{url.replace('http', 'ws', 1)}/media")
        async with phone:
            await line.ready.wait()
            yield line, phone
            line.late.free.set()
            await phone.hang_up()


async def test_what_is_still_on_its_way_when_the_phone_is_told_is_not_heard() -> None:
    async with spoken() as (line, phone):
        await line.player.speak("One two. Three four five six.")
        began = await phone.agent_speaks(within=30)
        await phone.until(began + 1.7)
        assert await line.stop()
        await line.worker.queue_frame(InterruptionFrame())
        # What the voice has just made comes down the line before the interruption does.
        await line.player.speak("Seven eight.")
        await phone.until(began + 2.7)
        [cleared] = clears(phone)
        line.late.free.set()
        await phone.when(lambda: bool(line.noted("agent.cut")), within=30)
        assert line.noted("mark.played") == ["u1"]

        # The word in which it was stopped is heard again, and every one behind it.
        left = await line.ledger.resume()
        again = await phone.agent_speaks(within=30)
        await phone.agent_silent(within=30)
        await phone.when(lambda: len(line.noted("mark.played")) > 1, within=30)

    assert left == ""
    assert clears(phone) == [cleared] and len(line.noted("clear")) == 1
    assert again > began + 2.7 and silent(phone, cleared, again)
    before, after = phone.utterances
    assert before.end is not None and after.end is not None
    whole = int((before.end - before.begin) / WORD)
    assert after.end - after.begin == pytest.approx((8 - whole) * WORD, abs=0.1)


async def test_what_the_caller_is_to_hear_out_is_not_stopped_by_their_word() -> None:
    async with spoken() as (line, phone):
        notice = TTSSpeakFrame("One two three four.")
        notice.interruptible = False
        await line.worker.queue_frame(notice)
        began = await phone.agent_speaks(within=30)
        await phone.until(began + 0.6)
        assert not await line.stop()
        await phone.agent_silent(within=30)

    [heard] = phone.utterances
    assert heard.end is not None
    assert heard.end - heard.begin == pytest.approx(4 * WORD, abs=0.1)
    assert clears(phone) == []
