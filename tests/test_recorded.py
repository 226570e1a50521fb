"""Recorded people on the emulated phone: sentences, the same 20 dB softer, a short "no", noise."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

# What the end of a turn sounds like to Smart Turn is its own business, so nothing is said here of
# when it decides; only that whoever speaks is heard, and that noise is not.
SCRIPT = """
wait
say {first}
wait
say {first} 20 dB quieter
wait
say {no}
wait
say {second}
over 0.3 say {noise}
wait
"""


@pytest.mark.line
@pytest.mark.timeout(300)
@pytest.mark.skipif(
    "TIPRING_SPEECH" not in os.environ,
    reason="recorded speech is not part of the repository: TIPRING_SPEECH names a folder of it",
)
async def test_recorded_people_are_heard_and_answered_and_noise_is_not(tmp_path: Path) -> None:
    speech = Path(os.environ["TIPRING_SPEECH"])
    first, second, *_ = sorted((speech / "commands").glob("*.flac"))
    misc = speech / "misc"
    script = tmp_path / "people.call"
    script.write_text(
        SCRIPT.format(
            first=first,
            second=second,
            no=misc / "no_1000ms.flac",
            noise=misc / "noise_1000ms.flac",
        )
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tipring", "call", "--json", "--script", str(script)),
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    told = json.loads(said)
    (call,) = told["calls"]
    if any(event["event"] == "detector.failed" for event in told["events"]):
        pytest.skip("a model did not answer in time: this machine is too busy for a call")
    spoken = [turn for turn in call["turns"] if turn["kind"] == "turn"]
    assert len(spoken) == 4 and all(turn["latency"] is not None for turn in spoken)
    assert [wrong for wrong in call["wrong"] if "was cut into" not in wrong] == []
    texts = [event["text"] for event in told["events"] if event["event"] == "turn.committed"]
    assert len(texts) >= 4 and all(texts)
    assert "no" in [text.strip(" .!").lower() for text in texts]
