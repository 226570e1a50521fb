"""A session that gives back what it needed for a moment answers as it did before."""

from __future__ import annotations

import numpy as np
import onnxruntime
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
