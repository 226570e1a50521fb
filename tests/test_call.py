"""The whole thing: an emulated telephone books an appointment with the real host."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.line

README = Path(__file__).parent.parent / "README.md"
LATE = 50  # frames of some 2,500 that may be late before the machine is no telephone line


async def hold(*arguments: str) -> tuple[int, dict[str, Any]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tipring", "call", "--json", *arguments),
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, json.loads(said)


def texts(document: dict[str, Any], name: str) -> list[str]:
    return [event["text"] for event in document["events"] if event["event"] == name]


@pytest.mark.timeout(300)
async def test_the_caller_books_an_appointment(tmp_path: Path) -> None:
    code, told = await hold("--out", str(tmp_path))
    [call] = told["calls"]
    if call["late_frames"] > LATE:
        pytest.skip(f"{call['late_frames']} frames were late: this machine is too busy for a call")
    assert code == 0, call["wrong"]
    turns = call["turns"]
    assert len([turn for turn in turns if turn["kind"] == "turn"]) >= 5
    assert not any(turn["cut_ins"] for turn in turns)
    committed = texts(told, "turn.committed")
    # The pause in mid-sentence: one turn, answered once, at its end.
    assert [text for text in committed if "Tuesday" in text and "three" in text]
    # The "mhm" was heard as whatever it was heard as, and was noted and not obeyed.
    assert len(texts(told, "backchannel")) == 1 and not texts(told, "interruption")
    said = " ".join(texts(told, "agent.said"))
    readback = "cleaning on Tuesday at three PM, for John Smith, phone 5 5 5, 0 1 0, 4 4 7 7"
    assert readback in said
    ended = [event for event in told["events"] if event["event"] == "call.ended"]
    assert [event["reason"] for event in ended] == ["agent hung up"]
    kept = await asyncio.to_thread(lambda: {file.name for file in tmp_path.glob("*/*")})
    assert kept == {
        "call.json",
        "call.wav",
        "timeline.html",
    }
    # And the README shows what happens: the agent said there what it said here.
    shown = " ".join(README.read_text().split("<!-- transcript -->")[1].split())
    for sentence in texts(told, "agent.said"):
        assert sentence in shown


@pytest.mark.timeout(300)
async def test_several_calls_at_once_are_all_answered() -> None:
    code, told = await hold("--calls", "3", "--say", "What are your opening hours?")
    if sum(call["late_frames"] for call in told["calls"]) > LATE:
        pytest.skip("frames were late: this machine is too busy for three calls")
    assert code == 0, told["calls"]
    assert [len(call["turns"]) for call in told["calls"]] == [1, 1, 1]
    assert told["host"]["rss_mb"] > 0
