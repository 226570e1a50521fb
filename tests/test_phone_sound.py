"""The telephone's sound: mu-law, clips, and the caller's ear."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from tipring.errors import TipringError
from tipring.phone import mulaw
from tipring.testing.clip import Clip
from tipring.testing.ear import Ear, Track

from tests.emulators.agent import tone

# ITU-T G.711, table 2a: the first decision value of each segment and the value it is decoded to,
# in the table's 14-bit units, with the code of positive samples.
SEGMENTS = [
    (0, 0, 0xFF),
    (1, 2, 0xFE),
    (31, 33, 0xEF),
    (95, 99, 0xDF),
    (223, 231, 0xCF),
    (479, 495, 0xBF),
    (991, 1023, 0xAF),
    (2015, 2079, 0x9F),
    (4063, 4191, 0x8F),
    (7903, 8031, 0x80),
]


@pytest.mark.parametrize(("decision", "value", "code"), SEGMENTS)
def test_mu_law_has_the_decision_and_output_values_of_the_standard(
    decision: int, value: int, code: int
) -> None:
    sample = np.array([decision * 4], dtype=np.int16)
    assert mulaw.encode(sample) == bytes([code])
    assert mulaw.decode(bytes([code]))[0] == value * 4
    if decision:
        assert mulaw.encode(-sample) == bytes([code & 0x7F])
        assert mulaw.encode(sample - 1) == bytes([code + 1])
        assert mulaw.decode(bytes([code & 0x7F]))[0] == -value * 4


def test_every_code_comes_back_as_itself_but_for_the_second_zero() -> None:
    codes = bytes(range(256))
    assert mulaw.encode(mulaw.decode(codes)) == codes.replace(b"\x7f", b"\xff")
    assert mulaw.decode(bytes([mulaw.SILENCE, 0x7F])).tolist() == [0, 0]


@given(st.lists(st.integers(-32768, 32767), min_size=1))
def test_mu_law_keeps_sign_order_and_size_of_any_sample(values: list[int]) -> None:
    samples = np.array(sorted(values), dtype=np.int16)
    back = mulaw.decode(mulaw.encode(samples)).astype(int)
    assert (np.diff(back) >= 0).all()
    off = np.abs(back - samples)
    # Half a step: 1/32 of the size and the bias, and up to what is clipped at the very top.
    assert (off <= (np.abs(samples.astype(int)) + 132) / 32 + 4).all()


def test_a_clip_knows_where_its_speech_begins_and_ends() -> None:
    quiet = np.zeros(1600, dtype=np.int16)
    clip = Clip(samples=np.concatenate([quiet, tone(0.5).samples, quiet]))
    assert (clip.onset, clip.offset, clip.seconds) == (0.2, 0.7, 0.9)
    nothing = Clip.silence(0.3)
    assert (nothing.onset, nothing.offset) == (0.0, 0.3)


def test_a_noisy_recording_begins_with_its_speech_and_not_with_its_noise() -> None:
    noise = np.random.default_rng(1).normal(0, 120, 8000)
    noise[2000:6000] += tone(0.5).samples
    clip = Clip(samples=noise.astype(np.int16))
    assert (clip.onset, clip.offset) == (0.25, 0.75)


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_a_stereo_file_of_any_rate_becomes_telephone_sound(tmp_path: Path, suffix: str) -> None:
    at = np.arange(24000) / 24000
    left = 0.25 * np.cos(2 * np.pi * 440 * at)
    path = tmp_path / f"two.{suffix}"
    soundfile.write(path, np.stack([left, left], axis=1), 24000)
    clip = Clip.load(path, text="la")
    assert (clip.seconds, clip.text) == (1.0, "la")
    middle = slice(2000, 6000)  # away from the ends, where a resampler rings
    assert np.abs(clip.samples[middle].astype(int) - tone(1.0).samples[middle]).max() < 40


def test_a_file_that_is_missing_or_no_sound_is_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(TipringError, match="there is no such file"):
        Clip.load(tmp_path / "none.wav")
    (tmp_path / "text.wav").write_text("hello")
    with pytest.raises(TipringError, match="not a sound file"):
        Clip.load(tmp_path / "text.wav")
    with pytest.raises(TipringError, match="floats or int16"):
        Clip.from_samples(np.zeros(8, dtype=np.int64), 8000)


def test_floats_over_full_scale_are_clipped_and_do_not_wrap() -> None:
    clip = Clip.from_samples(np.array([1.5, -1.5, 0.0]), 8000)
    assert clip.samples.tolist() == [32767, -32768, 0]


def test_a_track_grows_and_is_silent_where_nothing_was_written() -> None:
    track = Track()
    track.write(8000 * 100, np.array([1, 2], dtype=np.int16))
    assert track.read(8000 * 100 - 1, 8000 * 100 + 3).tolist() == [0, 1, 2, 0]
    assert not track.read(8000 * 500, 8000 * 500 + 2).any()


def payload(seconds: float) -> bytes:
    return mulaw.encode(tone(seconds).samples)


def test_payloads_are_played_one_after_the_other_however_fast_they_come() -> None:
    ear = Ear()
    for at in (1.0, 1.001, 1.002):
        assert ear.media(payload(0.1), at)
    assert ear.mark("end", 1.003) == 1.3
    assert ear.played(1.29) == []
    assert ear.played(1.3) == ["end"]
    assert ear.listen(2.0) == [(1.0, "began"), (1.3, "ended")]
    assert np.flatnonzero(ear.track.read(0, 16000))[[0, -1]].tolist() == [8000, 10399]


def test_a_mark_behind_nothing_is_due_at_once() -> None:
    ear = Ear()
    ear.media(payload(0.1), 0.0)
    assert ear.mark("late", 5.0) == 5.0
    assert ear.played(5.0) == ["late"]


def test_clear_takes_what_was_not_played_and_its_marks() -> None:
    ear = Ear()
    ear.media(payload(0.5), 0.0)
    ear.mark("half", 0.0)
    ear.media(payload(0.5), 0.0)
    ear.mark("whole", 0.0)
    assert ear.played(0.6) == ["half"]
    assert ear.fall_silent(0.605) == [(0.0, "began"), (0.6, "ended")]
    dropped, marks = ear.clear(0.605)
    assert (round(dropped, 3), marks) == (0.395, ["whole"])
    assert ear.played(9.0) == []
    assert ear.listen(9.0) == []
    assert not ear.track.read(4840, 8000).any()
    ear.media(payload(0.1), 9.0)  # the buffer is free again
    assert ear.listen(10.0) == [(9.0, "began"), (9.1, "ended")]


def test_a_pause_between_two_sentences_does_not_end_the_utterance() -> None:
    ear = Ear()
    ear.media(payload(0.3), 0.0)
    ear.media(payload(0.3), 0.7)
    ear.media(payload(0.3), 1.6)
    news = ear.listen(3.0)
    assert news == [(0.0, "began"), (1.0, "ended"), (1.6, "began"), (1.9, "ended")]


def test_more_than_ten_minutes_of_audio_are_not_kept() -> None:
    ear = Ear()
    assert ear.media(b"\xff" * 8000 * 600, 0.0)
    assert not ear.media(b"\xff" * 160, 0.0)
    assert ear.media(b"\xff" * 160, 0.1)  # some of it was played in the meantime
