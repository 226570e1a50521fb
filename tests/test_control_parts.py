"""The parts of the control plane, each alone: on a clock that jumps where no socket is needed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from aiohttp import web
from pipecat.frames.frames import (
    ControlFrame,
    Frame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TTSSpeakFrame,
)
from pipecat.processors.frame_processor import FrameDirection
from pipecat.tests.utils import run_test
from starlette.websockets import WebSocket, WebSocketState
from tipring.control.gate import ReplyGate
from tipring.control.null import NullControl
from tipring.control.outbox import Outbox
from tipring.control.poll import KillPoll
from tipring.control.protocol import MAX_BODY, Kill, event_message, read
from tipring.journal import Event
from tipring.phone.socket import PhoneSocket
from tipring.phone.stream import Start

from tests.fast_loop import run_fast


def event(name: str, **detail: Any) -> Event:
    return Event(at=1.0, name=name, detail=detail)


# Messages


def test_an_event_that_is_too_large_goes_without_its_detail() -> None:
    said = json.loads(event_message(3, event("transcript.final", text="é" * MAX_BODY)))
    assert (said["seq"], said["name"], said["at"]) == (3, "transcript.final", 1.0)
    assert list(said["detail"]) == ["left_out"]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"type":"event"}', '{"type":"kill"}', "x" * 70_000]
)
def test_what_is_no_message_is_read_as_none(text: str) -> None:
    assert read(text) is None


async def test_without_an_owner_nothing_is_told_and_nobody_is_asked() -> None:
    control = NullControl()
    control.event(event("call.began"))
    control.expect()
    assert await control.kill() == "none"
    assert not await control.told(within=60)


# The outbox


async def test_events_are_numbered_kept_and_the_guesses_left_out() -> None:
    box = Outbox(keep=2)
    for name in ("call.began", "transcript.interim", "turn.started", "turn.committed"):
        box.put(event(name))
    kept = [(seq, json.loads(text)["name"]) for seq, text in box.after(0)]
    assert kept == [(2, "turn.started"), (3, "turn.committed")]
    assert [seq for seq, _ in box.after(2)] == [3]


async def test_what_is_sent_on_another_thread_is_waited_for() -> None:
    box = Outbox()
    box.put(event("call.ended"))
    assert not await box.sent(within=60)  # nobody reads, so nobody is waited for
    wake, began = threading.Event().set, threading.Event()
    box.enter(wake)

    def reader() -> None:
        began.wait(30)
        box.passed_on(1)

    thread = threading.Thread(target=reader)
    thread.start()
    waiting = asyncio.create_task(box.sent(within=30))
    await asyncio.sleep(0)
    assert not waiting.done()
    began.set()
    assert await waiting
    await asyncio.to_thread(thread.join)


def test_a_reader_that_does_not_read_is_waited_for_so_long_and_no_longer() -> None:
    async def main() -> None:
        box = Outbox()
        box.enter(lambda: None)
        box.put(event("call.ended"))
        assert not await box.sent(within=1)

    run_fast(main())


# The poll


@pytest.mark.loopback
async def test_the_switch_is_asked_for_before_anybody_waits_and_once_for_a_reply() -> None:
    asked = asyncio.Event()
    count = 0

    async def handle(_: web.Request) -> web.Response:
        nonlocal count
        count += 1
        asked.set()
        return web.json_response({"kill": "warm"})

    app = web.Application()
    app.router.add_get("/kill", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with httpx.AsyncClient() as client:
        poll = KillPoll(client, f"http://127.0.0.1:{runner.addresses[0][1]}/kill", call="CA1")
        poll.begin()
        async with asyncio.timeout(30):
            await asked.wait()
        poll.begin()
        assert (await poll.answer(), count) == ("warm", 1)
        assert (await poll.answer(), count) == ("warm", 2)
    await runner.cleanup()


@pytest.mark.loopback
async def test_nobody_at_the_address_is_none() -> None:
    async with httpx.AsyncClient() as client:
        assert await KillPoll(client, "http://127.0.0.1:9/kill", call="CA1").answer() == "none"


# The gate

REPLY: list[Frame] = [
    LLMFullResponseStartFrame(),
    LLMTextFrame("Gladly."),
    LLMFullResponseEndFrame(),
]


async def through(
    kill: Kill, frames: list[Frame]
) -> tuple[list[type[Frame]], list[Kill], list[str]]:
    """What comes out behind the gate, what it had done, and what it says was said."""
    obeyed: list[Kill] = []
    said: list[str] = []

    async def ask() -> Kill:
        return kill

    async def obey(how: Kill) -> None:
        obeyed.append(how)

    gate = ReplyGate(ask=ask, obey=obey, said=said.append)
    down, _ = await run_test(gate, frames_to_send=frames)
    return [type(frame) for frame in down], obeyed, said


async def test_a_reply_passes_when_the_switch_is_not_set() -> None:
    assert await through("none", REPLY) == ([type(frame) for frame in REPLY], [], ["Gladly."])


@pytest.mark.parametrize("kill", ["warm", "hard"])
async def test_a_reply_is_dropped_when_it_is_and_what_the_host_says_is_not(kill: Kill) -> None:
    frames = [*REPLY, TTSSpeakFrame("Goodbye.")]
    assert await through(kill, frames) == ([TTSSpeakFrame], [kill], [])


class Stop(ControlFrame):
    """The call is to end."""


async def test_the_rest_of_a_reply_is_dropped_when_the_call_ends_in_the_middle_of_it() -> None:
    said: list[str] = []

    class Ending(ReplyGate):
        async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
            if isinstance(frame, Stop):
                self.drop()
            await super().process_frame(frame, direction)

    async def obey(how: Kill) -> None:
        raise AssertionError(how)

    begin, sentence, end = REPLY
    frames = [begin, sentence, Stop(), LLMTextFrame("And the rest."), end, *REPLY]
    gate = Ending(ask=NullControl().kill, obey=obey, said=said.append)
    down, _ = await run_test(gate, frames_to_send=frames)
    # The next reply is another one.
    assert said == ["Gladly.", "Gladly."]
    assert [frame.text for frame in down if isinstance(frame, LLMTextFrame)] == said


# The socket of a call


class Stream:
    """One stream: a real websocket of starlette's, whose other end is here."""

    def __init__(self, sid: str) -> None:
        self.start = Start(stream=sid, call="CA1")
        self.incoming: asyncio.Queue[Any] = asyncio.Queue()
        self.sent: list[Any] = []
        self.socket = WebSocket({"type": "websocket"}, self.incoming.get, self._send)
        self.socket.client_state = self.socket.application_state = WebSocketState.CONNECTED

    async def _send(self, message: Any) -> None:
        told = message["type"] if message["type"] == "websocket.close" else message["text"]
        self.sent.append(told)

    def says(self, text: str) -> None:
        self.incoming.put_nowait({"type": "websocket.receive", "text": text})

    def breaks(self) -> None:
        self.incoming.put_nowait({"type": "websocket.disconnect", "code": 1006})


class Held:
    """A call's socket, and what it told."""

    def __init__(self, first: Stream, *, wait: float) -> None:
        self.told: list[str] = []
        self.first = first
        self.heard: asyncio.Queue[str | bytes] = asyncio.Queue()
        self.carrying: list[asyncio.Task[None]] = []
        self.socket = PhoneSocket(
            first.socket,
            wait=wait,
            on_lost=lambda: self.told.append("lost"),
            on_back=lambda start: self.told.append(f"back {start.stream}"),
            before_close=self._before_close,
        )
        self.carry(first)
        self.listening = asyncio.create_task(self.socket.listen(self.heard.put))

    async def _before_close(self) -> None:
        self.told.append(f"closing, {len(self.first.sent)} sent")

    def carry(self, stream: Stream) -> asyncio.Task[None]:
        task = asyncio.create_task(self.socket.carry(stream.socket, stream.start))
        self.carrying.append(task)
        return task


def held(main: Callable[[Held, Stream], Awaitable[None]], *, wait: float = 10.0) -> None:
    async def run() -> None:
        first = Stream("MZ1")
        call = Held(first, wait=wait)
        await main(call, first)
        call.socket.end()
        await asyncio.gather(*call.carrying)
        with contextlib.suppress(asyncio.CancelledError):
            await call.listening

    run_fast(run())


def media(sid: str) -> str:
    return json.dumps({"event": "media", "streamSid": sid})


def test_a_stream_that_does_not_come_back_in_time_is_gone() -> None:
    async def main(call: Held, first: Stream) -> None:
        first.says("one")
        first.breaks()
        assert await call.heard.get() == "one"
        before = asyncio.get_running_loop().time()
        await call.listening
        assert asyncio.get_running_loop().time() - before == 10
        assert call.told == ["lost"] and call.socket.over

    held(main)


def test_a_call_that_waits_for_nothing_ends_with_its_stream() -> None:
    async def main(call: Held, first: Stream) -> None:
        first.breaks()
        await call.listening
        assert call.socket.client_state is WebSocketState.DISCONNECTED
        assert asyncio.get_running_loop().time() == 0 and call.told == []

    held(main, wait=0.0)


def test_what_is_sent_into_the_gap_goes_to_the_next_stream_in_its_name() -> None:
    async def main(call: Held, first: Stream) -> None:
        await call.socket.send_text(media("MZ1"))
        first.breaks()
        await call.carrying[0]
        await call.socket.send_text(media("MZ1"))
        second = Stream("MZ2")
        call.carry(second)
        second.says("two")
        assert await call.heard.get() == "two"
        await call.socket.send_text(media("MZ2"))
        assert first.sent == [media("MZ1")]
        assert second.sent == [media("MZ2"), media("MZ2")]
        assert call.told == ["lost", "back MZ2"]

    held(main)


def test_what_is_sent_before_the_gap_is_noticed_goes_to_the_next_stream_too() -> None:
    async def main(call: Held, first: Stream) -> None:
        first.socket.application_state = WebSocketState.DISCONNECTED
        await call.socket.send_text(media("MZ1"))
        first.breaks()
        await call.carrying[0]
        second = Stream("MZ2")
        call.carry(second)
        second.says("two")
        assert await call.heard.get() == "two"
        assert first.sent == [] and second.sent == [media("MZ2")]

    held(main)


def test_what_was_said_into_the_gap_and_interrupted_is_not_heard() -> None:
    async def main(call: Held, first: Stream) -> None:
        first.breaks()
        await call.carrying[0]
        await call.socket.send_text(media("MZ1"))
        await call.socket.send_text(json.dumps({"event": "clear", "streamSid": "MZ1"}))
        second = Stream("MZ2")
        call.carry(second)
        second.says("two")
        await call.heard.get()
        assert second.sent == []

    held(main)


def test_what_the_phone_says_before_anybody_listens_is_not_lost() -> None:
    async def main(call: Held, first: Stream) -> None:
        call.listening.cancel()
        for word in ("one", "two"):
            first.says(word)
        await asyncio.sleep(1)
        assert call.heard.empty()
        call.listening = asyncio.create_task(call.socket.listen(call.heard.put))
        assert [await call.heard.get(), await call.heard.get()] == ["one", "two"]

    held(main)


def test_a_stream_that_breaks_when_nobody_listens_any_longer_is_not_written_to() -> None:
    async def main(call: Held, first: Stream) -> None:
        first.says("one")
        await call.heard.get()
        call.listening.cancel()
        first.says("two")
        first.breaks()
        await call.carrying[0]
        await call.socket.send_text(media("MZ1"))
        assert first.sent == [] and call.heard.empty()

    held(main)


def test_a_second_stream_takes_over_from_one_that_lives() -> None:
    async def main(call: Held, first: Stream) -> None:
        first.says("one")
        assert await call.heard.get() == "one"
        second = Stream("MZ2")
        call.carry(second)
        await call.carrying[0]  # the first is let go
        second.says("two")
        assert await call.heard.get() == "two"
        assert call.told == ["back MZ2"]

    held(main)


def test_the_end_is_told_before_the_stream_is_closed_and_once() -> None:
    async def main(call: Held, first: Stream) -> None:
        await call.socket.close()
        await call.listening
        assert call.told == ["closing, 0 sent"]
        assert first.sent == ["websocket.close"]
        await call.carrying[0]

    held(main)
