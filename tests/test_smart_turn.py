"""What Smart Turn's probability says of how much it doubts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pipecat.audio.turn.smart_turn.local_smart_turn_v3 import LocalSmartTurnAnalyzerV3
from tipring_tts_hibari import speak
from tipring_turn_smart import SmartSettings, _analyzer, doubt_of

_PROBABILITIES = st.floats(0.0, 1.0)


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.8])
def test_at_its_threshold_the_detector_is_of_two_minds(threshold: float) -> None:
    assert doubt_of(threshold, threshold) == pytest.approx(0.5)


def test_a_certain_detector_does_not_doubt() -> None:
    assert doubt_of(0.985, 0.5) == 0.0
    assert doubt_of(0.015, 0.5) == 1.0


@given(_PROBABILITIES, _PROBABILITIES)
def test_who_is_surer_doubts_less(one: float, other: float) -> None:
    less, more = sorted((one, other))
    assert 0.0 <= doubt_of(more, 0.5) <= doubt_of(less, 0.5) <= 1.0


def test_the_shared_model_is_as_sure_as_pipecats_own() -> None:
    samples, _ = speak("I would like to book a table, and then", rate=16_000)
    sound = samples.astype(np.float32) / 32768
    ours, stock = _analyzer(SmartSettings()), LocalSmartTurnAnalyzerV3()
    for part in (sound, sound[: len(sound) // 2], np.tile(sound, 4)):
        expected = stock._predict_endpoint(part)["probability"]
        assert ours._predict_endpoint(part)["probability"] == pytest.approx(expected, abs=1e-6)
