"""8 kHz made 16 kHz: at once, and without a second voice above the first."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tipring.phone.wideband import Wideband

DELAY = 32  # samples at 16 kHz: 2 ms


def doubled(sound: np.ndarray, pieces: list[int]) -> np.ndarray:
    """What comes out of pieces of these lengths, and then of the rest."""
    line = Wideband()
    ends = [*np.cumsum(pieces).tolist(), len(sound)]
    begins = [0, *ends[:-1]]
    out = [line.double(sound[a:b]) for a, b in zip(begins, ends, strict=True)]
    return np.frombuffer(b"".join(out), "<i2")


@pytest.mark.parametrize("hertz", [120, 440, 1000, 2500, 3400])
def test_a_tone_comes_out_as_the_same_tone_two_milliseconds_later(hertz: int) -> None:
    wave = 10_000 * np.sin(2 * np.pi * hertz * np.arange(2400) / 16_000)
    out = doubled(wave[0::2].round().astype(np.int16), [160] * 5)
    assert np.max(np.abs(out[200:] - wave[200 - DELAY : -DELAY])) < 60


def test_nothing_is_kept_back() -> None:
    line = Wideband()
    assert [len(line.double(np.zeros(160, np.int16))) for _ in range(3)] == [640] * 3


@given(st.lists(st.integers(0, 200), max_size=6), st.integers(0, 2**32 - 1))
def test_it_does_not_matter_how_the_stream_is_cut(pieces: list[int], seed: int) -> None:
    sound = np.random.default_rng(seed).integers(-32768, 32768, 1200).astype(np.int16)
    assert np.array_equal(doubled(sound, pieces), doubled(sound, []))


def test_the_loudest_sound_is_not_wrapped_around() -> None:
    square = np.repeat(np.array([32767, -32768] * 20, np.int16), 8)
    out = doubled(square, []).astype(int)
    # Behind the filter's length a wrapped sample would jump by nearly the whole range and back.
    assert np.max(np.abs(np.diff(np.sign(out[DELAY:]), 2))) <= 2
