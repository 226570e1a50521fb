"""A stranger's detector, made here and installed, decides in a real call."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from tests.fakedists import HEAD, Site

STOPWATCH = (
    HEAD
    + '''
class Set(Settings):
    pause: float = Field(0.9, description="Seconds of silence that end a turn.")

def build(settings, call):
    import asyncio
    from pipecat.frames.frames import VADUserStartedSpeakingFrame, VADUserStoppedSpeakingFrame
    from pipecat.turns.types import ProcessFrameResult
    from pipecat.turns.user_stop import BaseUserTurnStopStrategy
    from tipring.turns.vad import phone_vad

    class Stopwatch(BaseUserTurnStopStrategy):
        """Proposes when the caller has been silent for so long."""

        timer = None

        async def process_frame(self, frame):
            if isinstance(frame, VADUserStartedSpeakingFrame):
                await self.forget()
            elif isinstance(frame, VADUserStoppedSpeakingFrame):
                await self.forget()
                self.timer = self.create_task(self.later(), "stopwatch")
            return ProcessFrameResult.CONTINUE

        async def later(self):
            await asyncio.sleep(settings.pause)
            self.timer = None
            await self.trigger_user_turn_stopped()

        async def forget(self):
            timer, self.timer = self.timer, None
            if timer:
                await self.cancel_task(timer)

        async def cleanup(self):
            await self.forget()
            await super().cleanup()

    return TurnPlan(stop=Stopwatch(), vad=phone_vad(), patience=20.0)

@hookimpl
def register_turn():
    yield Turn(name="stopwatch", settings=Set, build=build, summary="Counts silence.")
'''
)


@pytest.mark.line
@pytest.mark.timeout(200)
async def test_a_strangers_detector_decides_beside_a_broken_one_and_one_nobody_chose(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    site = Site(folder)
    site.add("turn", "stopwatch", STOPWATCH)
    site.add("turn", "cracked", "raise RuntimeError('made of glass')")
    trace = tmp_path / "imported"
    site.add("turn", "bystander", f"open({str(trace)!r}, 'w').close()")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tipring", "call", "--json", "--say", "What are your prices?"),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(folder), "TIPRING_TURN": "cracked,stopwatch"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complaints = await process.communicate()
    assert process.returncode == 0, complaints.decode()
    events = json.loads(said)["events"]
    (began,) = [event for event in events if event["event"] == "call.began"]
    assert "stopwatch" in began["turn"] and "cracked" not in began["turn"]
    deciding = [event["by"] for event in events if event["event"] == "turn.committed"]
    assert deciding and set(deciding) == {"stopwatch"}
    # The broken one is named with what it said; the one that nobody chose was never imported.
    assert b"turn.cracked" in complaints and b"made of glass" in complaints
    assert not trace.exists()
