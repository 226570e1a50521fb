"""A call comes in."""

from __future__ import annotations

import asyncio

import pytest
from tipring.testing import Phone

from tests.worker.cloud import (
    API_TOKEN,
    AUTH_TOKEN,
    HOST,
    Cloud,
    closed,
    new_call,
    press,
    redirect_path,
    stream_path,
)
from tests.worker.conftest import Start

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_caller_is_answered_by_the_host_in_a_container_of_their_own(start: Start) -> None:
    cloud = await start(RING_SECONDS="30")
    call = new_call()
    twiml = await cloud.ring(call)
    assert f'<Parameter name="call" value="{call}"/>' in twiml
    assert redirect_path(twiml) == f"/resume/{call}"
    ws = await cloud.talk(stream_path(twiml), call)
    began = await cloud.event(call, "call.began")
    assert began["detail"]["call"] == call
    _, view = await cloud.api("GET", f"/calls/{call}")
    assert (view["state"], view["direction"]) == ("live", "inbound")
    await ws.close()
    assert len(cloud.engine.started) == 1
    assert cloud.engine.unknown == []


async def test_an_emulated_phone_hears_the_agent_and_is_hung_up_on(cloud: Cloud) -> None:
    phone = await Phone.dial(cloud.url, auth_token=AUTH_TOKEN, public_url=f"https://{HOST}")
    async with phone:
        await phone.agent_speaks(within=30)
        phone.press("5")
        ending = await phone.closed(within=30)
    assert (ending.by, ending.why) == ("agent", "closed")
    assert phone.errors == []


async def test_a_boot_longer_than_the_ring_budget_rings_on_and_is_then_answered(
    start: Start,
) -> None:
    cloud = await start({"boot": 1.5, "load": 1}, RING_SECONDS="1")
    call = new_call()
    twiml = await cloud.ring(call)
    assert "<Pause" in twiml and "<Stream" not in twiml
    await cloud.event(call, "container.ready", within=60)  # nobody asks meanwhile
    twiml = await cloud.ring(call, redirect_path(twiml))
    ws = await cloud.talk(stream_path(twiml), call)
    await ws.close()
    assert len(cloud.engine.started) == 1


async def test_a_host_that_is_never_ready_is_apologised_for_and_stopped(start: Start) -> None:
    cloud = await start({"load": 60}, READY_SECONDS="1", APOLOGY="So sorry.")
    call = new_call()
    twiml = await cloud.ring(call)
    while "<Pause" in twiml:
        twiml = await cloud.ring(call, redirect_path(twiml))
    assert "<Say>So sorry.</Say><Hangup/>" in twiml
    await cloud.engine.until(lambda: not cloud.engine.running)
    failed = await cloud.event(call, "start.failed")
    assert failed["detail"]["what"] == "the host was not ready within 1 s"


async def test_a_host_that_exits_at_boot_is_apologised_for(start: Start) -> None:
    cloud = await start({"die": 3})
    call = new_call()
    twiml = await cloud.ring(call)
    while "<Pause" in twiml:
        twiml = await cloud.ring(call, redirect_path(twiml))
    assert "<Say>" in twiml and "<Hangup/>" in twiml
    assert {one.code for one in cloud.engine.started} == {3}


async def test_a_host_that_refuses_the_call_is_apologised_for(start: Start) -> None:
    cloud = await start({"init": 500})
    call = new_call()
    twiml = await cloud.ring(call)
    while "<Pause" in twiml:
        twiml = await cloud.ring(call, redirect_path(twiml))
    assert "<Say>" in twiml
    failed = await cloud.event(call, "start.failed")
    assert failed["detail"]["what"] == "the host answered 500 to /init"


async def test_a_webhook_that_is_sent_twice_boots_one_container(start: Start) -> None:
    cloud = await start({"load": 0.5}, RING_SECONDS="30")
    call = new_call()
    first, second = await asyncio.gather(cloud.ring(call), cloud.ring(call))
    assert stream_path(first) != stream_path(second)
    assert len(cloud.engine.started) == 1


async def test_two_calls_at_once_have_a_container_each(start: Start) -> None:
    cloud = await start()
    one, two = new_call(), new_call()
    paths = await asyncio.gather(cloud.answered(one), cloud.answered(two))
    streams = [await cloud.talk(path, call) for path, call in zip(paths, (one, two), strict=True)]
    assert len(cloud.engine.running) == 2
    tokens = {box.env["TIPRING_CONTROL_TOKEN"] for box in cloud.engine.started}
    assert len(tokens) == 2
    await press(streams[0], "5")
    await closed(streams[0])
    await cloud.engine.until(lambda: len(cloud.engine.running) == 1)
    await press(streams[1], "1")
    await cloud.event(two, "transcript.final")
    assert "transcript.final" not in await cloud.names(one)
    await streams[1].close()


async def test_the_host_gets_the_providers_keys_and_none_that_admit_callers(start: Start) -> None:
    cloud = await start(ACME_API_KEY="acme-key")
    call = new_call()
    ws = await cloud.talk(await cloud.answered(call), call)
    await ws.close()
    [box] = cloud.engine.started
    assert box.env["ACME_API_KEY"] == "acme-key"
    assert box.env["DEEPGRAM_API_KEY"] == "deepgram-key"
    assert not {"TWILIO_AUTH_TOKEN", "STREAM_SECRET", "API_TOKEN"} & box.env.keys()


async def test_a_caller_who_gives_up_while_it_rings_leaves_no_container(start: Start) -> None:
    cloud = await start({"load": 60}, RING_SECONDS="1", READY_SECONDS="60")
    call = new_call()
    assert "<Pause" in await cloud.ring(call)
    status, _ = await cloud.webhook("/status", {"CallSid": call, "CallStatus": "completed"})
    assert status == 204
    await cloud.engine.until(lambda: not cloud.engine.running)
    assert "<Say>" in await cloud.ring(call, "/voice?ring=3")
    assert len(cloud.engine.started) == 1


# A stream that breaks


async def test_a_dropped_stream_comes_back_to_the_same_host_three_times(start: Start) -> None:
    cloud = await start()
    call = new_call()
    path = await cloud.answered(call)
    for _ in range(3):
        ws = await cloud.talk(path, call)
        await press(ws, "4")
        # An abnormal close of the host's reaches Twilio as a normal one, so the code tells nothing.
        assert await closed(ws) == 1000
        _, twiml = await cloud.webhook(f"/resume/{call}", {"CallSid": call})
        path = stream_path(twiml)
    ws = await cloud.talk(path, call)
    assert len(cloud.engine.started) == 1
    await press(ws, "4")
    await closed(ws)
    _, twiml = await cloud.webhook(f"/resume/{call}", {"CallSid": call})
    assert "<Say>" in twiml and "<Stream" not in twiml
    await cloud.engine.until(lambda: not cloud.engine.running)


async def test_a_call_outlives_a_restart_of_its_object(start: Start) -> None:
    cloud = await start()
    call = new_call()
    ws = await cloud.talk(await cloud.answered(call), call)
    await cloud.event(call, "call.began")
    await cloud.restart()
    await closed(ws)
    _, twiml = await cloud.webhook(f"/resume/{call}", {"CallSid": call})
    ws = await cloud.talk(stream_path(twiml), call)
    await cloud.event(call, "control.reopened")
    assert (await cloud.kill(call, "none"))[1]["delivered"] is True
    await cloud.event(call, "call.began", count=2)
    names = await cloud.names(call)
    # Once for each stream: what was known before the restart is not told again.
    assert names.count("call.began") == 2
    assert len(cloud.engine.started) == 1
    await press(ws, "5")
    await cloud.engine.until(lambda: not cloud.engine.running)
    await ws.close()


async def test_a_call_that_the_host_ended_does_not_come_back(cloud: Cloud) -> None:
    call = new_call()
    ws = await cloud.talk(await cloud.answered(call), call)
    await press(ws, "5")
    await closed(ws)
    await cloud.event(call, "call.over")
    _, twiml = await cloud.webhook(f"/resume/{call}", {"CallSid": call})
    assert "<Response><Hangup/></Response>" in twiml


async def test_a_caller_whose_host_died_is_told(cloud: Cloud) -> None:
    call = new_call()
    ws = await cloud.talk(await cloud.answered(call), call)
    await press(ws, "6")
    await closed(ws)
    await cloud.event(call, "container.stopped")
    _, twiml = await cloud.webhook(f"/resume/{call}", {"CallSid": call})
    assert "<Say>" in twiml and "<Hangup/>" in twiml


async def test_a_caller_whose_host_is_stopped_before_the_stream_came_is_told(
    cloud: Cloud,
) -> None:
    call = new_call()
    path = await cloud.answered(call)
    process = cloud.engine.started[-1].process
    assert process is not None
    process.terminate()
    await cloud.event(call, "call.over")
    assert await cloud.refused(path) == 410
    _, twiml = await cloud.webhook(f"/resume/{call}", {"CallSid": call})
    assert "<Say>" in twiml and "<Hangup/>" in twiml
    assert "call.ended" in await cloud.names(call)


# The end of a call


@pytest.mark.parametrize("by", ["host", "caller"])
async def test_a_finished_call_stops_its_container_within_five_seconds(
    start: Start, by: str
) -> None:
    cloud = await start()
    call = new_call()
    ws = await cloud.talk(await cloud.answered(call), call)
    if by == "host":
        await press(ws, "5")
    else:
        await ws.send_json({"event": "stop", "streamSid": "MZ1"})
    await cloud.event(call, "call.over")
    [box] = cloud.engine.started
    # How long a process takes to leave is its own business, and the machine's.
    await cloud.engine.until(lambda: bool(box.signals), within=5)
    await cloud.engine.until(lambda: not cloud.engine.running)
    assert (box.signals, box.code) == (["SIGTERM"], 0)
    assert cloud.twilio.hung_up == []
    await ws.close()


async def test_a_host_that_does_not_heed_sigterm_is_destroyed(start: Start) -> None:
    cloud = await start({"deaf": True}, STOP_SECONDS="1")
    call = new_call()
    ws = await cloud.talk(await cloud.answered(call), call)
    await press(ws, "5")
    await cloud.event(call, "container.reaped")
    await cloud.engine.until(lambda: not cloud.engine.running)
    assert cloud.engine.started[0].signals[0] == "SIGTERM"
    assert cloud.engine.started[0].code == 137


async def test_a_call_at_its_limit_is_hung_up_and_stopped(start: Start) -> None:
    cloud = await start(CALL_SECONDS="1")
    call = new_call()
    ws = await cloud.talk(await cloud.answered(call), call)
    await cloud.twilio.until_hung_up(call)
    await cloud.engine.until(lambda: not cloud.engine.running)
    _, view = await cloud.api("GET", f"/calls/{call}")
    assert view["ended"]["reason"] == "time limit"
    await ws.close()


async def test_a_call_that_never_got_its_stream_is_stopped_at_the_limit_too(start: Start) -> None:
    cloud = await start(CALL_SECONDS="1")
    call = new_call()
    await cloud.answered(call)
    await cloud.engine.until(lambda: not cloud.engine.running)
    assert cloud.engine.started[0].signals == ["SIGTERM"]


async def test_the_events_of_a_call_are_forgotten_in_time(start: Start) -> None:
    cloud = await start(EVENT_SECONDS="3")
    call = new_call()
    ws = await cloud.talk(await cloud.answered(call), call)
    headers = {"Authorization": f"Bearer {API_TOKEN}"}
    url = f"{cloud.url}/calls/{call}/events"
    async with cloud.http.ws_connect(url, headers=headers) as dashboard:
        await press(ws, "1")
        await press(ws, "5")
        await cloud.event(call, "call.over")
        assert (await cloud.api("GET", f"/calls/{call}/events"))[0] == 200
        await closed(dashboard)
    assert (await cloud.api("GET", f"/calls/{call}/events"))[0] == 404
    assert (await cloud.api("GET", f"/calls/{call}"))[0] == 404
    assert "Error executing" not in cloud.log
    await ws.close()


# Sleep


async def test_a_container_that_nobody_talks_to_goes_to_sleep(start: Start) -> None:
    """Neither an unread answer of the host's nor the open control socket counts as traffic."""
    cloud = await start(SLEEP_AFTER="2s")
    call = new_call()
    await cloud.answered(call)
    await cloud.engine.until(lambda: not cloud.engine.running)
    assert cloud.engine.started[0].signals == ["SIGTERM"]
    _, view = await cloud.api("GET", f"/calls/{call}")
    assert view["ended"]["reason"] == "idle"


async def test_a_silent_stream_keeps_its_container_awake(start: Start) -> None:
    cloud = await start(SLEEP_AFTER="2s")
    call = new_call()
    ws = await cloud.talk(await cloud.answered(call), call)
    with pytest.raises(TimeoutError):
        await closed(ws, within=5)
    assert len(cloud.engine.running) == 1


async def test_a_boot_slower_than_the_sleep_is_not_put_to_sleep(start: Start) -> None:
    cloud = await start({"boot": 1, "load": 4}, SLEEP_AFTER="2s")
    call = new_call()
    ws = await cloud.talk(await cloud.answered(call), call)
    assert cloud.engine.started[0].signals == []
    await ws.close()
