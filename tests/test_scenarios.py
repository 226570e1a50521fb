"""The scenarios that are shipped: each says what must hold, and most of them are played here."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import Any

import pytest
from tipring.testing import ScriptError, scenarios

# The slowest of the others is `silence`, which waits for two nudges as test_host.py does.
PLAYED = (
    "backchannel",
    "barge-in-early",
    "cough",
    "hello",
    "keys",
    "mid-sentence-pause",
    "noise",
    "phone-number",
    "quiet-voice",
    "resume",
    "trailing-word",
)
LATE = 50  # frames that may be late before the machine is no telephone line


def tipring(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tipring", *arguments], capture_output=True, text=True, timeout=110
    )


@pytest.mark.parametrize("name", scenarios.names())
def test_a_scenario_says_what_it_is_about_and_what_must_hold(name: str) -> None:
    script = scenarios.scenario(name)
    assert script.summary.endswith(".") and len(script.summary) < 100
    assert script.expectations
    assert all(say.file is None for say in script.says)  # nothing but what a voice can say


def test_a_scenario_that_is_not_there_is_told_with_the_one_that_was_meant() -> None:
    with pytest.raises(ScriptError, match="(?s)no scenario 'bakchannel'.*mean 'backchannel'"):
        scenarios.scenario("bakchannel")
    with pytest.raises(ScriptError, match="tipring call --scenario lists them"):
        scenarios.scenario("xyzzy")


def test_without_a_name_the_scenarios_are_listed() -> None:
    listed = tipring("call", "--scenario")
    assert listed.returncode == 0
    rows = [line.split(None, 1) for line in listed.stdout.splitlines()]
    assert rows == [[name, scenarios.scenario(name).summary] for name in scenarios.names()]


def test_a_wrong_name_lists_them_and_is_refused() -> None:
    wrong = tipring("call", "--scenario", "bakchannel")
    assert wrong.returncode != 0
    assert "did you mean 'backchannel'?" in wrong.stderr
    assert all(name in wrong.stdout for name in scenarios.names())


def test_a_scenario_is_not_mixed_with_words_of_ones_own() -> None:
    refused = tipring("call", "--scenario", "hello", "--say", "hello")
    assert refused.returncode == 2 and "give one of" in refused.stderr


async def hold(*names: str, at_once: int) -> tuple[dict[str, dict[str, Any]], int]:
    """Play scenarios: what `tipring call --json` says of each, and what says the machine was busy.

    Where frames are late and a model does not answer in time, what is heard is not about the rules.
    """
    asked = [word for name in names for word in ("--scenario", name)]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tipring", "call", "--json", "--calls", str(at_once), *asked),
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    told = json.loads(said)
    calls = {call["script"]: call for call in told["calls"]}
    assert (process.returncode == 0) is not any(call["wrong"] for call in calls.values())
    late = sum(call["late_frames"] for call in calls.values())
    failed = sum(event["event"] == "detector.failed" for event in told["events"])
    return calls, failed + (late > LATE)


@pytest.mark.line
@pytest.mark.timeout(500)
async def test_what_the_scenarios_expect_does_hold() -> None:
    calls, busy = await hold(*PLAYED, at_once=3)
    assert set(calls) == set(PLAYED)
    again = [name for name, call in calls.items() if call["wrong"]]
    if again:  # beside two other calls; now alone
        alone, busy = await hold(*again, at_once=1)
        calls |= alone
    wrong = {name: call["wrong"] for name, call in calls.items() if call["wrong"]}
    if wrong and busy:
        pytest.skip(f"this machine is too busy for a call: {wrong}")
    assert wrong == {}
    for call in calls.values():
        assert call["expected"] and all(held is True for held in call["expected"].values())
