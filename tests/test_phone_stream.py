"""The emulated phone on a real socket: what it sends, plays, and complains about."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import numpy as np
import pytest
from tipring.phone import mulaw
from tipring.testing import CallOver, Clip, Faults, Phone
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped, unused-ignore]

from tests import loopback_loop
from tests.emulators.agent import Agent, Behaviour, answering, tone, until_gone

T = TypeVar("T")


def call(
    behaviour: Behaviour | None,
    caller: Callable[[Phone], Awaitable[T]],
    **options: Any,
) -> tuple[T, Phone, Agent]:
    """One call on a clock that jumps: what the caller gives back, its phone, and the agent."""

    async def main() -> tuple[T, Phone, Agent]:
        async with answering(behaviour) as (url, agents):
            async with await Phone.connect(url, **options) as phone:
                result = await caller(phone)
            return result, phone, agents[0]

    return loopback_loop.run(main())


def names(phone: Phone) -> list[str]:
    return [event.name for event in phone.timeline]


def at(phone: Phone, name: str, **detail: object) -> float:
    """When the first event of that name and detail was, to a millisecond."""
    for event in phone.timeline:
        if event.name == name and detail.items() <= event.detail.items():
            return round(event.at, 3)
    raise AssertionError(f"no {name} {detail} in {names(phone)}")


async def a_second(phone: Phone) -> None:
    await phone.until(1.0)


# What the host gets


def test_a_stream_is_connected_start_media_and_stop_in_twilios_shapes() -> None:
    _, phone, agent = call(None, a_second, parameters={"token": "t1"})
    first, start, media = agent.messages[:3]
    assert first == {"event": "connected", "protocol": "Call", "version": "1.0.0"}
    assert start["sequenceNumber"] == "1"
    assert start["streamSid"] == start["start"]["streamSid"] == phone.stream_sid
    assert start["start"]["callSid"] == phone.call_sid
    assert start["start"]["tracks"] == ["inbound"]
    assert start["start"]["customParameters"] == {"token": "t1"}
    assert start["start"]["mediaFormat"] == {
        "encoding": "audio/x-mulaw",
        "sampleRate": 8000,
        "channels": 1,
    }
    assert media == {
        "event": "media",
        "sequenceNumber": "2",
        "streamSid": phone.stream_sid,
        "media": {
            "track": "inbound",
            "chunk": "1",
            "timestamp": "0",
            "payload": base64.b64encode(b"\xff" * 160).decode(),
        },
    }
    stop = agent.messages[-1]
    assert stop["stop"] == {
        "accountSid": start["start"]["accountSid"],
        "callSid": phone.call_sid,
    }
    assert agent.ws.close_code == 1000


def test_every_message_after_connected_is_numbered_without_a_gap() -> None:
    async def caller(phone: Phone) -> None:
        await phone.until(0.2)
        phone.press("5")
        await phone.until(0.4)

    async def behaviour(agent: Agent) -> None:
        await agent.mark("m")
        await until_gone(agent)

    _, _, agent = call(behaviour, caller)
    numbers = [int(message["sequenceNumber"]) for message in agent.messages[1:]]
    assert numbers == list(range(1, len(numbers) + 1))
    assert agent.of("dtmf")[0]["dtmf"] == {"track": "inbound_track", "digit": "5"}
    assert agent.marks == ["m"]


def test_ten_seconds_are_five_hundred_frames_and_their_timestamps_never_drift() -> None:
    async def caller(phone: Phone) -> int:
        await phone.until(10.0)
        return phone.frames_sent

    sent, phone, agent = call(None, caller)
    assert sent == 500
    media = [message["media"] for message in agent.of("media")]
    assert [int(m["timestamp"]) for m in media] == [20 * i for i in range(len(media))]
    assert [int(m["chunk"]) for m in media] == list(range(1, len(media) + 1))
    assert {len(base64.b64decode(m["payload"])) for m in media} == {160}
    assert phone.late_frames == 0


def test_a_pause_of_the_machine_is_caught_up_with_and_counted() -> None:
    async def caller(phone: Phone) -> int:
        await phone.until(0.1)
        loopback_loop.stall(0.21)
        await phone.until(1.0)
        return phone.frames_sent

    sent, phone, agent = call(None, caller)
    assert sent == 50
    media = [message["media"] for message in agent.of("media")]
    assert [int(m["timestamp"]) for m in media] == [20 * i for i in range(len(media))]
    # Those that were due at 0.12, 0.14 … 0.26 left at 0.31.
    assert phone.late_frames == 8
    assert phone.latest == pytest.approx(0.19, abs=0.001)
    assert names(phone).count("frames.late") == 1


def test_what_is_said_arrives_whole_at_the_time_it_is_said_to() -> None:
    speech = Clip.from_samples(np.random.default_rng(3).normal(0, 0.1, 5000), 8000)

    async def caller(phone: Phone) -> Any:
        await phone.until(0.3)
        said = phone.say(speech)
        again = phone.say(tone(0.1))  # waits for the first to end
        await phone.until(again.end + 0.1)
        return said, again

    (said, again), phone, agent = call(None, caller)
    line = mulaw.decode(
        b"".join(base64.b64decode(m["media"]["payload"]) for m in agent.of("media"))
    )
    begin = round(said.begin * 8000)
    assert 0.3 <= said.begin <= 0.32
    assert np.array_equal(line[begin : begin + 5000], mulaw.decode(mulaw.encode(speech.samples)))
    assert not line[:begin].any()
    assert again.begin == said.end == said.begin + 5000 / 8000
    assert np.array_equal(phone.sent[begin : begin + 5000], speech.samples)
    assert [name for name in names(phone) if name.startswith("said")] == [
        "said.began",
        "said.ended",
    ] * 2
    assert at(phone, "said.ended") == round(said.end, 3)


def test_hanging_up_in_mid_sentence_cuts_it() -> None:
    async def caller(phone: Phone) -> None:
        phone.say(tone(5.0))
        await phone.until(1.0)

    _, phone, _ = call(None, caller)
    assert at(phone, "said.ended", cut=True) == pytest.approx(1.0, abs=0.03)
    assert len(phone.sent) == len(phone.heard) == pytest.approx(8000, abs=200)


# What the caller hears


def test_audio_is_heard_in_real_time_and_marks_come_back_when_it_was() -> None:
    async def behaviour(agent: Agent) -> None:
        await agent.mark("empty")
        await agent.play(tone(0.5))
        await agent.mark("half")
        await agent.play(tone(0.5))
        await agent.mark("whole")
        await agent.hears(lambda: "whole" in agent.marks)
        await until_gone(agent)

    async def caller(phone: Phone) -> bool:
        began = await phone.agent_speaks(within=2)
        await phone.agent_silent(for_=0.5, within=5)
        return began < 0.1

    early, phone, agent = call(behaviour, caller)
    assert early
    assert agent.marks == ["empty", "half", "whole"]
    begin = at(phone, "heard.began")
    assert at(phone, "mark.echoed", mark="empty", played=True) <= begin
    assert at(phone, "mark.received", mark="whole") < begin + 0.1
    assert at(phone, "mark.echoed", mark="half") == pytest.approx(begin + 0.5, abs=0.02)
    assert at(phone, "mark.echoed", mark="whole") == pytest.approx(begin + 1.0, abs=0.02)
    assert at(phone, "heard.ended") == pytest.approx(begin + 1.0, abs=0.02)
    heard = np.flatnonzero(phone.heard)
    assert heard[-1] - heard[0] == 7999
    assert phone.errors == []


def test_clear_silences_the_agent_and_returns_its_marks_as_not_played() -> None:
    async def behaviour(agent: Agent) -> None:
        await agent.play(tone(5.0))
        await agent.mark("end")
        await agent.hears(lambda: len(agent.of("media")) >= 50)
        await agent.clear()
        await agent.hears(lambda: "end" in agent.marks)
        await agent.play(tone(0.2))
        await until_gone(agent)

    async def caller(phone: Phone) -> None:
        await phone.until(2.5)

    _, phone, _ = call(behaviour, caller)
    cleared = at(phone, "clear")
    assert cleared == pytest.approx(1.0, abs=0.03)
    assert at(phone, "mark.echoed", mark="end", played=False) == cleared
    first, second = phone.utterances
    assert first.end == pytest.approx(cleared, abs=0.011)
    assert second.begin == pytest.approx(cleared, abs=0.05)
    assert second.end == pytest.approx(second.begin + 0.2, abs=0.011)
    dropped = next(e.detail["dropped"] for e in phone.timeline if e.name == "clear")
    assert dropped == pytest.approx(5.0 - cleared, abs=0.05)


def test_comfort_noise_is_not_the_agent_speaking() -> None:
    async def behaviour(agent: Agent) -> None:
        await agent.play(Clip.from_samples(np.random.default_rng(5).normal(0, 0.001, 8000), 8000))
        await until_gone(agent)

    async def caller(phone: Phone) -> None:
        with pytest.raises(TimeoutError):
            await phone.agent_speaks(within=2)

    _, phone, _ = call(behaviour, caller)
    assert phone.heard.any()
    assert phone.utterances == ()


def test_what_was_still_queued_when_the_agent_closed_was_not_heard() -> None:
    async def behaviour(agent: Agent) -> None:
        await agent.play(tone(3.0))
        await agent.hears(lambda: len(agent.of("media")) >= 25)

    async def caller(phone: Phone) -> Any:
        return await phone.closed(within=5)

    ending, phone, _ = call(behaviour, caller)
    assert (ending.by, ending.why, ending.code) == ("agent", "closed", 1000)
    assert ending.at == pytest.approx(0.5, abs=0.05)
    assert len(phone.heard) == pytest.approx(ending.at * 8000, abs=2)
    assert phone.utterances[0].end == pytest.approx(ending.at, abs=0.02)
    assert names(phone)[-1] == "closed"


def test_waiting_for_an_agent_that_hangs_up_ends_with_the_call() -> None:
    async def behaviour(agent: Agent) -> None:
        await agent.hears(lambda: len(agent.of("media")) >= 5)

    async def caller(phone: Phone) -> None:
        with pytest.raises(CallOver):
            await phone.agent_speaks(within=60)

    call(behaviour, caller)


# What Twilio would report

WRONG: dict[str, tuple[Any, str]] = {
    "not JSON": ("{", "not JSON"),
    "JSON without a bottom": ("[" * 200_000, "not JSON"),
    "no object": ("[]", "not a JSON object"),
    "unknown event": ({"event": "medja"}, "unknown"),
    "no event": ({}, "unknown"),
    "an event that is no name": ({"event": ["media"]}, "unknown"),
    "missing media": ({"event": "media"}, "has no media"),
    "missing payload": ({"event": "media", "media": {}}, "has no payload"),
    "missing stream": ({"event": "clear", "streamSid": None}, "names a stream"),
    "extra field": ({"event": "clear", "mark": {"name": "x"}}, "does not belong there: mark"),
    "extra inner field": (
        {"event": "media", "media": {"payload": "", "track": "outbound"}},
        "does not belong there: track",
    ),
    "wrong stream": ({"event": "clear", "streamSid": "MZ0"}, "names a stream"),
    "media that is text": ({"event": "media", "media": "x"}, "not an object"),
    "payload that is a number": ({"event": "media", "media": {"payload": 1}}, "not a string"),
    "payload that is not base64": ({"event": "media", "media": {"payload": "#"}}, "not base64"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_message_that_twilio_would_report_is_reported_and_ignored(wrong: str) -> None:
    message, sentence = WRONG[wrong]

    async def behaviour(agent: Agent) -> None:
        if isinstance(message, str):
            await agent.ws.send(message)
        else:
            await agent.send(message)
        await agent.mark("after")
        await until_gone(agent)

    async def caller(phone: Phone) -> None:
        await phone.when(lambda: "mark.echoed" in names(phone), within=5)

    _, phone, _ = call(behaviour, caller)
    assert [(report.code, sentence in report.what) for report in phone.errors] == [(31951, True)]
    assert "clear" not in names(phone)
    assert not phone.heard.any()


def test_binary_frames_are_reported_once_a_stream() -> None:
    async def behaviour(agent: Agent) -> None:
        await agent.ws.send(b"\xff" * 160)
        await agent.ws.send(b"\xff" * 160)
        await agent.mark("after")
        await until_gone(agent)

    async def caller(phone: Phone) -> None:
        await phone.when(lambda: "mark.echoed" in names(phone), within=5)

    _, phone, _ = call(behaviour, caller)
    assert [report.code for report in phone.errors] == [31950]


def test_more_than_ten_minutes_in_the_buffer_are_reported_and_discarded() -> None:
    async def behaviour(agent: Agent) -> None:
        for _ in range(12):
            await agent.play(tone(60.0))
        await agent.mark("after")
        await agent.clear()
        await until_gone(agent)

    async def caller(phone: Phone) -> None:
        await phone.when(lambda: "clear" in names(phone), within=60)

    _, phone, _ = call(behaviour, caller)
    assert [report.code for report in phone.errors] == [31931]
    dropped = next(e.detail["dropped"] for e in phone.timeline if e.name == "clear")
    assert 590 < dropped <= 600


# A bad line


def test_without_a_start_media_follows_connected() -> None:
    _, _, agent = call(None, a_second, faults=Faults(start=False))
    assert [m["event"] for m in agent.messages[:2]] == ["connected", "media"]
    assert agent.of("start") == []


def test_a_host_sees_stop_before_a_delayed_close() -> None:
    async def caller(phone: Phone) -> float:
        await phone.until(0.5)
        return (await phone.hang_up()).at

    async def behaviour(agent: Agent) -> None:
        await agent.hears(lambda: bool(agent.of("stop")))
        await agent.play(tone(0.5))  # too late to be heard
        await until_gone(agent)

    ended, phone, _ = call(behaviour, caller, faults=Faults(close_after=2.0))
    assert ended == pytest.approx(2.5, abs=0.05)
    assert not phone.heard.any()
    assert phone.ending is not None
    assert (phone.ending.by, phone.ending.why) == ("caller", "hung up")


def test_a_close_without_a_stop() -> None:
    _, _, agent = call(None, a_second, faults=Faults(stop=False))
    assert agent.of("stop") == []
    assert agent.ws.close_code == 1000


def test_a_host_can_ask_for_the_end_of_the_call_over_rest() -> None:
    async def caller(phone: Phone) -> Any:
        await phone.until(0.2)
        return await phone.hang_up(by="agent")

    ending, _, agent = call(None, caller)
    assert (ending.by, ending.why) == ("agent", "hung up")
    assert agent.of("stop")


def test_an_aborted_call_is_a_cut_connection() -> None:
    async def caller(phone: Phone) -> Any:
        await phone.until(0.2)
        return await phone.abort()

    ending, _, agent = call(None, caller)
    assert (ending.by, ending.why) == ("caller", "aborted")
    assert agent.of("stop") == []
    assert agent.ws.close_code == 1006


def test_marks_that_never_come_back() -> None:
    async def behaviour(agent: Agent) -> None:
        await agent.mark("lost")
        await until_gone(agent)

    _, phone, agent = call(behaviour, a_second, faults=Faults(echo_marks=False))
    assert agent.marks == []
    assert "mark.received" in names(phone)
    assert "mark.echoed" not in names(phone)


def test_anything_can_be_sent() -> None:
    heard: list[str | bytes] = []

    async def main() -> None:
        from websockets.asyncio.server import ServerConnection, serve

        async def handle(ws: ServerConnection) -> None:
            async for raw in ws:
                heard.append(raw)

        async with serve(handle, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with await Phone.connect(f"ws://127.0.0.1:{port}/") as phone:
                phone.send_raw("{")
                phone.send_raw(b"\x00")

    loopback_loop.run(main())
    assert "{" in heard
    assert b"\x00" in heard


def test_lost_frames_are_a_jump_of_the_timestamp_and_the_same_ones_for_the_same_seed() -> None:
    async def caller(phone: Phone) -> None:
        await phone.until(4.0)

    def timestamps(seed: int) -> list[int]:
        _, _, agent = call(None, caller, faults=Faults(loss=0.1, jitter=0.03, seed=seed))
        media = [message["media"] for message in agent.of("media")]
        assert [int(m["chunk"]) for m in media] == list(range(1, len(media) + 1))
        return [int(m["timestamp"]) for m in media if int(m["timestamp"]) < 3900]

    once = timestamps(7)
    assert once == timestamps(7)
    assert once != timestamps(8)
    assert once == sorted(once)
    assert 150 < len(once) < 190


def test_a_line_that_jitters_is_not_a_machine_that_is_late() -> None:
    _, phone, _ = call(None, a_second, faults=Faults(jitter=0.1))
    assert phone.late_frames == 0


def test_the_upgrade_is_signed_over_the_exact_address() -> None:
    async def main() -> tuple[str, str]:
        async with answering() as (url, agents), await Phone.connect(url, auth_token="12345"):
            return url, agents[0].headers["x-twilio-signature"]

    url, signature = loopback_loop.run(main())
    assert RequestValidator("12345").validate(url, {}, signature)


def test_a_subscriber_is_told_as_it_happens() -> None:
    told: list[str] = []

    async def caller(phone: Phone) -> None:
        phone.subscribe(lambda event: told.append(event.name))
        phone.press("1")
        phone.say(tone(0.1))
        await phone.until(0.5)
        assert told == ["key", "said.began", "said.ended"]

    _, phone, _ = call(None, caller)
    assert sorted(told) == sorted(names(phone))


def test_a_call_leaves_no_task_behind() -> None:
    async def main() -> set[asyncio.Task[Any]]:
        async with answering() as (url, _):
            async with await Phone.connect(url) as phone:
                await phone.until(0.1)
        return asyncio.all_tasks() - {asyncio.current_task()}

    assert loopback_loop.run(main()) == set()
