"""A session that gives back what it needed for a moment answers as it did before."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import onnxruntime
import pytest
from pipecat.audio.vad.silero import SileroVADAnalyzer
from tipring.memory import LeanSession


def test_a_lean_session_answers_as_the_session_it_stands_for() -> None:
    session: onnxruntime.InferenceSession = SileroVADAnalyzer()._model.session
    lean = LeanSession(session)
    inputs = {
        "input": np.random.default_rng(1).normal(size=(2, 576)).astype(np.float32),
        "state": np.zeros((2, 2, 128), np.float32),
        "sr": np.array(16_000, np.int64),
    }
    for ours, theirs in zip(lean.run(None, inputs), session.run(None, inputs), strict=True):
        assert np.array_equal(ours, theirs)
    assert len(lean.run(["output"], inputs)) == 1
    assert [one.name for one in lean.get_inputs()] == [one.name for one in session.get_inputs()]


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc keeps what is freed")
def test_what_was_freed_goes_back_to_the_system() -> None:
    code = """
import gc
from pathlib import Path
from tipring.memory import give_back

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

pieces = [bytes(40_000) for _ in range(2_000)]
last = bytes(40_000)  # above them on the heap, so that nothing but a trim gives them back
del pieces
gc.collect()
before = resident()
give_back()
print((before - resident()) // 1_000_000)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) >= 40
