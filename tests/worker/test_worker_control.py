"""The kill switch, the events, and the socket that carries both."""

from __future__ import annotations

import json

import pytest

from tests.worker.cloud import API_TOKEN, Cloud, closed, new_call, press
from tests.worker.conftest import Start

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_warm_kill_reaches_the_host_which_ends_the_call(cloud: Cloud) -> None:
    call = new_call()
    ws = await cloud.talk(await cloud.answered(call), call)
    assert await cloud.kill(call, "warm") == (
        200,
        {"call": call, "kill": "warm", "delivered": True, "ended": False},
    )
    await closed(ws)
    over = await cloud.event(call, "call.over")
    assert over["detail"]["reason"] == "killed"
    assert cloud.twilio.hung_up == []
    assert (await cloud.kill(call, "warm"))[0] == 409


async def test_a_hard_kill_is_enforced_against_a_host_that_does_nothing(start: Start) -> None:
    cloud = await start({"deaf": True}, STOP_SECONDS="1")
    call = new_call()
    ws = await cloud.talk(await cloud.answered(call), call)
    status, told = await cloud.kill(call, "hard")
    assert (status, told["ended"]) == (200, True)
    await cloud.twilio.until_hung_up(call)
    await cloud.engine.until(lambda: not cloud.engine.running)
    assert cloud.engine.started[0].code == 137
    await closed(ws)
    _, twiml = await cloud.webhook(f"/resume/{call}", {"CallSid": call})
    assert "<Response><Hangup/></Response>" in twiml


async def test_a_hard_kill_does_not_wait_for_a_twilio_that_does_not_answer(start: Start) -> None:
    cloud = await start({"deaf": True}, STOP_SECONDS="1")
    cloud.twilio.silent = True
    call = new_call()
    ws = await cloud.talk(await cloud.answered(call), call)
    await cloud.kill(call, "hard")
    await cloud.engine.until(lambda: not cloud.engine.running)
    assert "hang_up.failed" not in await cloud.names(call)  # Twilio is still waited for
    await closed(ws)


async def test_a_hard_kill_during_the_boot_ends_it(start: Start) -> None:
    cloud = await start({"load": 60}, RING_SECONDS="1", READY_SECONDS="60")
    call = new_call()
    assert "<Pause" in await cloud.ring(call)
    assert (await cloud.kill(call, "hard"))[0] == 200
    await cloud.engine.until(lambda: not cloud.engine.running)
    assert "container.ready" not in await cloud.names(call)


@pytest.mark.parametrize("how", ["none", "warm"])
async def test_the_hosts_poll_is_answered_by_the_object_of_its_own_call(
    start: Start, how: str
) -> None:
    cloud = await start({"stubborn": True})
    call, other = new_call(), new_call()
    ws = await cloud.talk(await cloud.answered(call), call)
    await cloud.answered(other)
    await cloud.kill(call, how)
    await cloud.kill(other, "warm" if how == "none" else "none")
    await press(ws, "2")
    polled = await cloud.event(call, "standin.polled")
    assert polled["detail"]["kill"] == how
    await ws.close()


async def test_a_lost_control_socket_is_opened_again_and_nothing_is_lost_or_doubled(
    start: Start,
) -> None:
    cloud = await start({"stubborn": True})
    call = new_call()
    ws = await cloud.talk(await cloud.answered(call), call)
    await cloud.kill(call, "warm")
    await press(ws, "3")
    await cloud.event(call, "control.reopened")
    await cloud.event(call, "standin.unheard")
    names = await cloud.names(call)
    assert names.count("standin.unheard") == 1
    assert names.count("call.began") == 1
    assert (await cloud.kill(call, "none"))[1]["delivered"] is True
    await ws.close()


async def test_a_host_of_another_control_version_does_not_get_the_call(start: Start) -> None:
    cloud = await start({"version": 2}, RING_SECONDS="2")
    call = new_call()
    assert "<Pause" in await cloud.ring(call)
    failed = await cloud.event(call, "start.failed")
    assert failed["detail"]["error"] == "ControlRefused"


@pytest.mark.parametrize("body", [None, {}, {"kill": "softly"}, ["hard"], "hard"])
async def test_a_kill_that_says_nothing_known_changes_nothing(cloud: Cloud, body: object) -> None:
    call = new_call()
    await cloud.answered(call)
    status, told = await cloud.api("POST", f"/calls/{call}/kill", body)
    assert status == 400 and '"warm"' in told["error"]
    _, view = await cloud.api("GET", f"/calls/{call}")
    assert (view["kill"], view["state"]) == ("none", "ready")


async def test_a_call_that_is_not_there_is_said_to_be_so(cloud: Cloud) -> None:
    for method, path in (("GET", ""), ("GET", "/events"), ("POST", "/kill")):
        status, told = await cloud.api(method, f"/calls/nobody{path}", {"kill": "hard"})
        assert (status, told) == (404, {"error": "there is no such call"})


async def test_events_come_in_order_behind_the_one_that_is_known(cloud: Cloud) -> None:
    call = new_call()
    ws = await cloud.talk(await cloud.answered(call), call)
    began = await cloud.event(call, "call.began")
    await press(ws, "1")
    await cloud.event(call, "transcript.final")
    _, told = await cloud.api("GET", f"/calls/{call}/events?after={began['seq']}")
    assert [event["name"] for event in told["events"]] == ["transcript.final"]
    _, everything = await cloud.api("GET", f"/calls/{call}/events")
    numbers = [event["seq"] for event in everything["events"]]
    assert numbers == sorted(numbers) and began["seq"] in numbers
    assert (await cloud.api("GET", f"/calls/{call}/events?after=x"))[0] == 400
    await ws.close()


async def test_a_dashboard_hears_what_was_and_then_what_happens(cloud: Cloud) -> None:
    call = new_call()
    ws = await cloud.talk(await cloud.answered(call), call)
    await cloud.event(call, "call.began")
    headers = {"Authorization": f"Bearer {API_TOKEN}"}
    url = f"{cloud.url}/calls/{call}/events?after=0"
    async with cloud.http.ws_connect(url, headers=headers) as dashboard:
        names = [json.loads((await dashboard.receive()).data)["name"]]
        while names[-1] != "call.began":
            names.append(json.loads((await dashboard.receive()).data)["name"])
        await press(ws, "1")
        live = json.loads((await dashboard.receive()).data)
        assert live["name"] == "transcript.final"
        assert live["detail"]["text"].startswith("my card")
    await ws.close()
