"""Whose voice it is, by how near it is."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from tipring.turns.room import Room

_RATE = 16_000
_WINDOW = 512 / _RATE


def _sound(decibels: float, seconds: float, seed: int) -> npt.NDArray[np.int16]:
    """Noise at a level, which is all that the room goes by."""
    random = np.random.default_rng(seed)
    samples = random.standard_normal(int(seconds * _RATE)) * 32768 * 10 ** (decibels / 20)
    return np.clip(samples, -32768, 32767).astype(np.int16)


def _near(
    room: Room, sound: npt.NDArray[np.int16], *, voice: bool, speaking: bool = True
) -> list[bool]:
    return [
        room.near(sound[at : at + 512].tobytes(), voice=voice, speaking=speaking)
        for at in range(0, len(sound) - 511, 512)
    ]


def _talk(room: Room, caller: float, other: float) -> tuple[list[bool], list[bool]]:
    """A caller who speaks for 2 s and pauses for 1.5 s, four times, among other voices."""
    speech: list[bool] = []
    pauses: list[bool] = []
    for turn in range(4):
        speech += _near(room, _sound(caller, 2.0, turn), voice=True)
        pause = _near(room, _sound(other, 1.5, turn + 10), voice=True)
        if turn > 1:  # in the first ones nobody knows yet which voice is the caller's
            pauses += pause[round(0.25 / _WINDOW) :]
    return speech, pauses


def test_voices_in_the_room_are_not_the_callers() -> None:
    speech, pauses = _talk(Room(_WINDOW), caller=-22.0, other=-40.0)
    assert all(speech)
    assert not any(pauses)


def test_a_quiet_caller_is_heard_in_a_quiet_room() -> None:
    speech, _ = _talk(Room(_WINDOW), caller=-45.0, other=-90.0)
    assert all(speech)


def test_the_end_of_a_sentence_is_still_the_caller() -> None:
    room = Room(_WINDOW)
    _talk(room, caller=-22.0, other=-40.0)
    assert all(_near(room, _sound(-31.0, 0.5, 99), voice=True))


def test_the_first_word_of_a_call_is_heard_whatever_the_room_is_like() -> None:
    room = Room(_WINDOW)
    _near(room, _sound(-40.0, 3.0, 1), voice=False)
    assert all(_near(room, _sound(-30.0, 0.5, 2), voice=True))


def test_one_who_moves_away_from_the_phone_is_heard_again_in_time() -> None:
    room = Room(_WINDOW)
    _talk(room, caller=-15.0, other=-90.0)
    away = _near(room, _sound(-34.0, 20.0, 5), voice=True)
    # A window or two is no silence: the voice detector takes six in a row for one.
    assert all(any(away[at : at + 3]) for at in range(len(away) - 100, len(away) - 2))


def test_digital_silence_is_nobody() -> None:
    room = Room(_WINDOW)
    _talk(room, caller=-22.0, other=-90.0)
    silence = np.zeros(_RATE, np.int16)
    assert not any(_near(room, silence, voice=False)[10:])


def test_a_voice_that_would_be_the_end_of_a_sentence_is_no_begin_of_one_in_a_loud_room() -> None:
    room = Room(_WINDOW)
    _talk(room, caller=-22.0, other=-34.0)
    quiet = _sound(-32.0, 0.2, 7)
    assert all(_near(room, quiet, voice=True, speaking=True))
    assert not any(_near(room, quiet, voice=True, speaking=False))


def test_a_quiet_word_begins_a_sentence_in_a_quiet_room() -> None:
    room = Room(_WINDOW)
    _talk(room, caller=-22.0, other=-90.0)
    assert all(_near(room, _sound(-32.0, 0.2, 7), voice=True, speaking=False))
