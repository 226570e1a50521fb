"""What Smart Turn's probability says of how much it doubts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tipring_turn_smart import doubt_of

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
