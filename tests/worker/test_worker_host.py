"""The real host in the containers, its providers emulated: whole calls through the Worker."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from tests.emulated_host import KEYRING, TONES, Providers, emulated
from tests.worker.caller import calling
from tests.worker.cloud import (
    Cloud,
    host,
    new_call,
    redirect_path,
    running,
    sign,
    stream_path,
)

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]

# A deadline, for a machine that is busy with other things.
LONG = 60.0


@dataclass
class World:
    """A Worker whose containers run the real host, and the providers that it uses."""

    cloud: Cloud
    providers: Providers

    async def greeted(self, call: str) -> None:
        """Wait until the greeting was said."""
        await self.cloud.event(call, "agent.stopped", within=LONG)


Begin = Callable[..., Awaitable[World]]


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where phrases are kept that were rendered ahead."""
    return tmp_path_factory.mktemp("cache")


@pytest_asyncio.fixture(loop_scope="module")
async def begin(bundle: Path, tmp_path: Path, cache: Path) -> AsyncIterator[Begin]:
    """Start the world: what the model says, and the Worker's variables."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(*replies: str, **settings: str) -> World:
            providers = await stack.enter_async_context(emulated(tmp_path, *replies))
            image = host(providers.config, cache)
            # What a boot may take is for a machine that is busy with other things, too.
            patience = {"RING_SECONDS": "30", "PORT_SECONDS": "90", "READY_SECONDS": "90"}
            told = {**patience, **KEYRING, **settings}
            cloud = await stack.enter_async_context(running(tmp_path, told, image))
            return World(cloud, providers)

        yield start


async def test_two_calls_at_once_are_two_conversations(begin: Begin) -> None:
    """With what admits a caller: a forged signature and a replayed ticket do not."""
    world = await begin("Gladly.", "Gladly.")
    cloud = world.cloud
    one, two = new_call(), new_call()
    paths = await asyncio.gather(cloud.answered(one), cloud.answered(two))
    assert await cloud.refused(paths[0], signature=sign("wss://elsewhere.example.com")) == 403
    async with calling(cloud, paths[0], one) as first, calling(cloud, paths[1], two) as second:
        assert await cloud.refused(paths[0]) == 409
        await asyncio.gather(world.greeted(one), world.greeted(two))
        first.say(TONES, "table", "tonight")
        second.say(TONES, "window", "bill")
        await asyncio.gather(
            cloud.event(one, "agent.stopped", count=2, within=LONG),
            cloud.event(two, "agent.stopped", count=2, within=LONG),
        )
        assert first.heard and second.heard
        await asyncio.gather(first.hang_up(), second.hang_up())
    for call, words in ((one, "table tonight"), (two, "window bill")):
        assert [turn["text"] for turn in await cloud.events(call, "turn.committed")] == [words]
        said = [one["text"] for one in await cloud.events(call, "agent.said")]
        assert said == ["Kitchen.", "Gladly."]
        over = await cloud.event(call, "call.over")
        assert over["detail"]["reason"] == "caller hung up"
    await cloud.engine.until(lambda: not cloud.engine.running)
    assert [(box.signals, box.code) for box in cloud.engine.started] == [(["SIGTERM"], 0)] * 2
    assert cloud.twilio.hung_up == []
    # Each host asked for its kill switch, and got an answer: none of them waited for one in vain.
    for box in cloud.engine.started:
        assert set(box.asked) == {"http://control.internal/kill"}


async def test_a_call_that_we_place_knows_why_and_is_ended_at_once_by_a_hard_kill(
    begin: Begin,
) -> None:
    world = await begin("Gladly.")
    cloud = world.cloud
    status, told = await cloud.api(
        "POST", "/calls", {"to": "+15005550100", "parameters": {"order": "number 12"}}
    )
    assert status == 201, told
    call = told["call"]
    [(_, form)] = cloud.twilio.requests
    async with calling(cloud, stream_path(form["Twiml"]), "CAdialled") as caller:
        await world.greeted(call)
        caller.say(TONES, "table")
        await cloud.event(call, "agent.stopped", count=2, within=LONG)
        assert (await cloud.kill(call, "hard"))[1]["delivered"] is True
        await caller.closed()
    [asked] = world.providers.asked()
    assert "You placed this call.\norder: number 12" in asked["system"][0]["text"]
    began = await cloud.event(call, "call.began")
    assert (began["detail"]["call"], began["detail"]["stt"]) == (call, "flux")
    await cloud.twilio.until_hung_up("CAdialled")
    assert (await cloud.event(call, "call.ended"))["detail"]["reason"] == "killed"
    # Nothing was said after it, and the host left in order.
    assert [one["text"] for one in await cloud.events(call, "agent.said")] == [
        "Kitchen.",
        "Gladly.",
    ]
    await cloud.engine.until(lambda: not cloud.engine.running)
    assert cloud.engine.started[0].code == 0


async def test_a_warm_kill_lets_the_caller_hear_goodbye(begin: Begin) -> None:
    world = await begin(RING_SECONDS="0.5")
    cloud, call = world.cloud, new_call()
    twiml = await cloud.ring(call)
    # A boot that is longer than the ring budget rings on.
    assert "<Pause" in twiml and "<Stream" not in twiml
    await cloud.event(call, "container.ready", within=2 * LONG)
    twiml = await cloud.ring(call, redirect_path(twiml))
    async with calling(cloud, stream_path(twiml), call) as caller:
        await world.greeted(call)
        status, told = await cloud.kill(call, "warm")
        assert (status, told["delivered"], told["ended"]) == (200, True, False)
        await caller.hears()
        await caller.closed()
    over = await cloud.event(call, "call.over")
    assert over["detail"]["reason"] == "killed"
    assert [one["text"] for one in await cloud.events(call, "agent.said")] == ["Kitchen.", "Bye."]
    _, twiml = await cloud.webhook(f"/resume/{call}", {"CallSid": call})
    assert "<Response><Hangup/></Response>" in twiml
    assert cloud.twilio.hung_up == []


async def test_a_host_that_cannot_be_configured_is_apologised_for(begin: Begin) -> None:
    world = await begin(TIPRING_LIMITS__MAX_CALLS="0", RING_SECONDS="3")
    cloud, call = world.cloud, new_call()
    twiml = await cloud.ring(call)
    while "<Pause" in twiml:
        twiml = await cloud.ring(call, redirect_path(twiml))
    assert "<Say>" in twiml and "<Hangup/>" in twiml
    assert {box.code for box in cloud.engine.started} == {2}


async def test_a_stream_that_breaks_comes_back_to_the_same_conversation(begin: Begin) -> None:
    world = await begin("Gladly.", "Of course.")
    cloud, call = world.cloud, new_call()
    async with calling(cloud, await cloud.answered(call), call) as caller:
        await world.greeted(call)
        caller.say(TONES, "table", "tonight")
        await cloud.event(call, "agent.stopped", count=2, within=LONG)
        caller.abort()
    await cloud.event(call, "stream.lost")
    _, twiml = await cloud.webhook(f"/resume/{call}", {"CallSid": call})
    async with calling(cloud, stream_path(twiml), call, stream="MZ2") as caller:
        await cloud.event(call, "stream.back")
        caller.say(TONES, "window")
        await cloud.event(call, "agent.stopped", count=3, within=LONG)
        assert caller.heard and not caller.foreign
        await caller.hang_up()
    last = str(world.providers.asked()[-1]["messages"])
    assert "table tonight" in last and "Gladly" in last and "window" in last
    names = await cloud.names(call)
    assert names.count("call.began") == 1 and len(cloud.engine.started) == 1


async def test_a_container_that_is_told_to_stop_finishes_its_call_up_to_the_limit(
    begin: Begin,
) -> None:
    world = await begin("Gladly.", CALL_SECONDS="20", TIPRING_LIMITS__WARNING="10")
    cloud, call = world.cloud, new_call()
    async with calling(cloud, await cloud.answered(call), call) as caller:
        await world.greeted(call)
        os.kill(process_of(cloud), signal.SIGTERM)
        caller.say(TONES, "table")
        await caller.closed(within=LONG)
    assert (await cloud.event(call, "call.over"))["detail"]["reason"] == "time limit"
    said = [one["text"] for one in await cloud.events(call, "agent.said")]
    assert said[0] == "Kitchen." and said[-1] == "Bye."
    assert set(said[1:-1]) >= {"Gladly.", "One minute."}
    assert cloud.twilio.hung_up == []  # the host's own goodbye came first
    await cloud.engine.until(lambda: not cloud.engine.running)
    assert cloud.engine.started[0].code == 0


def process_of(cloud: Cloud) -> int:
    """The process of the only container."""
    [box] = cloud.engine.running
    assert box.process is not None
    return box.process.pid
