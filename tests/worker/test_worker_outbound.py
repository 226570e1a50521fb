"""A call that we place."""

from __future__ import annotations

import pytest

from tests.worker.cloud import AGENT, HOST, Cloud, closed, press, stream_path
from tests.worker.conftest import Start

pytestmark = pytest.mark.asyncio(loop_scope="module")

TO = "+15005550100"


async def place(cloud: Cloud) -> str:
    status, told = await cloud.api("POST", "/calls", {"to": TO, "parameters": {"order": "12"}})
    assert (status, told["sid"]) == (201, "CAdialled"), told
    return str(told["call"])


async def test_a_call_is_dialled_when_its_host_is_ready(start: Start) -> None:
    cloud = await start({"load": 0.5})
    call = await place(cloud)
    assert "container.ready" in await cloud.names(call)
    [(path, form)] = cloud.twilio.requests
    assert path == "/2010-04-01/Accounts/ACtest/Calls.json"
    twiml = form.pop("Twiml")
    callback = f"https://{HOST}/status/{call}"
    assert form == {
        "To": TO,
        "From": AGENT,
        "TimeLimit": "900",
        "Timeout": "30",
        "StatusCallback": callback,
        "StatusCallbackEvent": "completed",  # the last of two
        "MachineDetection": "Enable",
        "AsyncAmd": "true",
        "AsyncAmdStatusCallback": callback,
    }
    ws = await cloud.talk(stream_path(twiml), "CAdialled")
    began = await cloud.event(call, "call.began")
    assert began["detail"]["call"] == call
    await press(ws, "5")
    await closed(ws)
    await cloud.engine.until(lambda: not cloud.engine.running)


async def test_a_hard_kill_hangs_up_the_call_by_twilios_name_for_it(start: Start) -> None:
    cloud = await start()
    call = await place(cloud)
    await cloud.kill(call, "hard")
    await cloud.twilio.until_hung_up("CAdialled")


async def test_a_phone_rings_no_longer_when_its_host_is_stopped(start: Start) -> None:
    cloud = await start()
    await place(cloud)
    process = cloud.engine.started[-1].process
    assert process is not None
    process.terminate()
    await cloud.twilio.until_hung_up("CAdialled")


@pytest.mark.parametrize("status", ["busy", "no-answer", "failed", "canceled", "completed"])
async def test_a_call_that_twilio_says_is_over_stops_its_container(
    cloud: Cloud, status: str
) -> None:
    call = await place(cloud)
    box = cloud.engine.started[-1]
    form = {"CallSid": "CAdialled", "CallStatus": status}
    assert (await cloud.webhook(f"/status/{call}", form))[0] == 204
    await cloud.engine.until(lambda: not box.running)
    _, view = await cloud.api("GET", f"/calls/{call}")
    assert view["ended"]["reason"] == status


async def test_who_picked_up_is_told_and_ends_nothing(cloud: Cloud) -> None:
    call = await place(cloud)
    form = {"CallSid": "CAdialled", "AnsweredBy": "machine_start"}
    await cloud.webhook(f"/status/{call}", form)
    told = await cloud.event(call, "phone.status")
    assert told["detail"]["answered_by"] == "machine_start"
    _, view = await cloud.api("GET", f"/calls/{call}")
    assert view["ended"] is None


async def test_a_number_that_twilio_refuses_leaves_no_container(start: Start) -> None:
    cloud = await start()
    cloud.twilio.refuses = 400
    status, told = await cloud.api("POST", "/calls", {"to": TO})
    assert status == 502
    await cloud.engine.until(lambda: not cloud.engine.running)
    _, view = await cloud.api("GET", f"/calls/{told['call']}")
    assert view["ended"]["reason"] == "not dialled"


async def test_nobody_is_rung_when_the_host_does_not_start(start: Start) -> None:
    cloud = await start({"die": 3})
    status, told = await cloud.api("POST", "/calls", {"to": TO})
    assert status == 503 and "ready" in told["error"]
    assert cloud.twilio.requests == []


@pytest.mark.parametrize(
    "body",
    [
        None,
        {},
        {"to": "12"},
        {"to": "+0123456789"},
        {"to": TO, "parameters": {"a": 1}},
        {"to": TO, "parameters": []},
    ],
)
async def test_a_call_that_cannot_be_placed_starts_nothing(cloud: Cloud, body: object) -> None:
    started = len(cloud.engine.started)
    status, _ = await cloud.api("POST", "/calls", body)
    assert status == 400
    assert len(cloud.engine.started) == started
