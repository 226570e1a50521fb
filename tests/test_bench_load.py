"""The load bench: its phones speak as Twilio does, and its verdicts follow from its figures."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tipring.phone import mulaw
from websockets.asyncio.server import ServerConnection, serve

from bench.load.__main__ import a_call, ratios
from bench.load.phones import Phone, Speech
from bench.load.run import After, Level, beyond, failed, grown, held, measure

SPEECH = np.arange(-800, 800, dtype=np.int16) * 10


class Host:
    """Answers the webhook and the stream, and keeps what comes."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.came = asyncio.Event()

    async def hold(self, ws: ServerConnection) -> None:
        """Speak for 0.2 s with a mark behind it; then a minute, and think better of it."""
        async for raw in ws:
            self.messages.append(json.loads(raw))
            self.came.set()
            if self.messages[-1]["event"] == "start":
                await self._say(ws, 1600, "first")
                await self._say(ws, 480_000, "second")
            elif self.messages[-1].get("mark", {}).get("name") == "first":
                await ws.send(json.dumps({"event": "clear", "streamSid": "MZ"}))

    async def _say(self, ws: ServerConnection, size: int, mark: str) -> None:
        payload = base64.b64encode(bytes(size)).decode()
        await ws.send(
            json.dumps({"event": "media", "streamSid": "MZ", "media": {"payload": payload}})
        )
        await ws.send(json.dumps({"event": "mark", "streamSid": "MZ", "mark": {"name": mark}}))

    async def until(self, count: int, event: str) -> list[dict[str, Any]]:
        """So many messages of a kind."""
        async with asyncio.timeout(60):
            while len(found := [one for one in self.messages if one["event"] == event]) < count:
                self.came.clear()
                await self.came.wait()
        return found


@asynccontextmanager
async def dialled() -> AsyncIterator[tuple[Host, Phone]]:
    host = Host()
    async with serve(host.hold, "127.0.0.1", 0) as server:
        phone = Phone(Speech.of(SPEECH), "CA1")
        port = server.sockets[0].getsockname()[1]
        await phone.open(f"ws://127.0.0.1:{port}/media/CA1")
        yield host, phone
        await phone.hang_up()


async def test_a_phone_of_the_bench_introduces_itself_and_sends_160_bytes_at_a_time() -> None:
    async with dialled() as (host, phone):
        media = await host.until(5, "media")
        assert [one["event"] for one in host.messages[:2]] == ["connected", "start"]
        assert host.messages[1]["start"]["callSid"] == "CA1"
        assert {len(base64.b64decode(one["media"]["payload"])) for one in media} == {160}
    assert not phone.heard.closed


async def test_a_mark_comes_back_when_what_was_before_it_has_been_played_or_dropped() -> None:
    async with dialled() as (host, phone):
        names = [one["mark"]["name"] for one in await host.until(2, "mark")]
        assert names == ["first", "second"]
        at = [n for n, one in enumerate(host.messages) if one["event"] == "mark"]
        before = sum(one["event"] == "media" for one in host.messages[: at[0]])
        assert before >= 8  # 0.2 s of it, less a frame at each end
        assert at[1] - at[0] < 2500  # and not the minute that was cleared


def test_what_the_callers_say_is_the_speech_and_then_silence() -> None:
    speech = Speech.of(SPEECH)
    payloads = [json.loads(one[8:])["media"]["payload"] for one in speech.frames]
    sound = b"".join(base64.b64decode(one) for one in payloads)
    assert sound[: len(SPEECH)] == mulaw.encode(SPEECH)
    assert set(sound[len(SPEECH) :]) == {mulaw.SILENCE}
    assert speech.spoken == 10


LEVEL = Level(
    system="tipring", calls=1, lag_p99_ms=5, commit_p50_ms=400, commit_p95_ms=420,
    answer_p50_ms=800, answer_p95_ms=900, turns=40, missed=0, cpu_a_call=4.0, cpu=4.0, rss_mb=150,
    ready_mb=140, threads=5, late_frames=0.0, broken=0,
)  # fmt: skip


@pytest.mark.parametrize(
    "worse",
    [{"lag_p99_ms": 20.1}, {"commit_p95_ms": 631}, {"missed": 1, "turns": 49}, {"broken": 1}],
)
def test_a_load_is_held_up_to_the_first_that_breaks_a_rule(worse: dict[str, Any]) -> None:
    levels = [replace(LEVEL, calls=calls, rss_mb=150 + 2 * calls) for calls in (1, 4, 8, 16)]
    assert held(levels) == 16
    levels[2] = replace(levels[2], **worse)
    assert held(levels) == 4
    assert a_call(levels) == 2.0


def test_ratios_are_ours_by_theirs() -> None:
    ours = [replace(LEVEL, calls=calls, rss_mb=150 + 2 * calls) for calls in (1, 8)]
    theirs = [replace(LEVEL, calls=calls, rss_mb=150 + 80 * calls) for calls in (1, 8)]
    told = ratios(theirs, [ours[0], replace(ours[1], cpu_a_call=3.0)])
    assert told["memory a call"] == 2 / 80
    assert told["CPU a call, 8 calls"] == 0.75
    assert told["calls held"] == 1


def test_a_system_that_is_quick_for_one_call_is_not_punished_for_it_by_the_other_rule() -> None:
    stock = [replace(LEVEL, calls=calls, commit_p95_ms=500) for calls in (1, 8, 16)]
    quick = [replace(LEVEL, calls=calls, commit_p95_ms=80 + 10 * calls) for calls in (1, 8, 16)]
    assert held(quick) == 1
    assert held(quick, stock[0]) == 16
    told = ratios(stock, quick)
    assert (told["calls held"], told["calls held, one rule for both"]) == (1 / 16, 1)


def test_a_load_whose_host_breaks_is_not_held_and_the_others_still_count() -> None:
    levels = [replace(LEVEL, calls=calls, rss_mb=150 + 2 * calls) for calls in (1, 4, 8)]
    broken = [*levels, failed("tipring", 16, "TimeoutError")]
    assert held(broken) == 8
    assert a_call(broken) == 2.0
    assert "CPU a call, 16 calls" not in ratios(broken, broken)
    assert "CPU a call, 8 calls" in ratios(broken, levels)


async def test_a_host_that_does_not_start_is_told_as_a_load_that_is_not_held() -> None:
    level = await measure("nobody", 3, speech=Speech.of(SPEECH), seconds=1, core=None)
    assert level.failed == "ConnectionError: nobody did not start"
    assert held([level]) == 0


def test_greater_loads_are_not_tried_when_two_in_a_row_were_not_held() -> None:
    levels = [replace(LEVEL, calls=calls) for calls in (1, 8, 16)]
    late = [replace(LEVEL, calls=calls, lag_p99_ms=50) for calls in (24, 32)]
    assert not beyond(levels)
    assert not beyond([*levels, late[0]])
    assert not beyond([*levels, late[0], replace(LEVEL, calls=32)])
    assert beyond([*levels, *late])
    assert not beyond(levels[:1])


def test_memory_has_grown_when_the_last_calls_find_more_than_the_early_ones() -> None:
    flat = [After(calls=8 * n, rss_mb=100.0 if n else 300.0, tasks=0) for n in range(20)]
    assert grown(flat) == 0
    more = [replace(one, rss_mb=one.rss_mb + (10 if one.calls > 120 else 0)) for one in flat]
    assert grown(more) == pytest.approx(0.1)
