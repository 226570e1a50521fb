"""The voice itself, loaded once and shared by every call of the process."""

from __future__ import annotations

import functools
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

NATIVE = 24000
"""Hz at which hibari synthesises."""

_AUDIBLE = 0.004  # of full scale, -48 dB: breath counts, the noise floor does not
_BEFORE, _BEHIND = 0.03, 0.2  # seconds of silence left around a sentence
_LONGEST = 0.4  # seconds of silence inside a text that are still a comma


class Voice:
    """Text in, samples out. Safe from any thread; one sentence at a time.

    Args:
        name: A voice of hibari's whose model is on this machine.

    Raises:
        ValueError: When it is not.
    """

    def __init__(self, name: str) -> None:
        from hibari import Hibari
        from hibari.voices import VOICES, voice_path
        from tipring.memory import LeanSession

        from tipring_tts_hibari.dictionary import Reader

        if name not in VOICES:
            raise ValueError(f"hibari has no voice {name!r}; it has {', '.join(VOICES)}")
        try:
            # Never a download: a host that starts must not wait for somebody's server.
            voice_path(name, download_missing=False)
        except FileNotFoundError:
            raise ValueError(
                f"the voice {name!r} is not on this machine; fetch it once with "
                f"`hibari Hello --voice {name}`, or use heart, which is in the package"
            ) from None
        self._hibari: Any = Hibari(voice=name, g2p=Reader(british=VOICES[name]["british"]))
        self._hibari.sess = LeanSession(self._hibari.sess)
        # Its text rules keep state while they work, so sentences take turns. One takes about a
        # fiftieth of its own length.
        self._turn = threading.Lock()
        self.say("Hello.", rate=8000)

    def say(
        self, text: str, *, rate: int, speed: float = 1.0, pitch: float = 1.0
    ) -> NDArray[np.int16]:
        """Speak.

        Args:
            text: Some words; without any, there is silence of no length.
            rate: Hz of what comes back.
            speed: Pace, 0.5 to 2.
            pitch: By how much the voice is raised, the pace staying the same.
        """
        import soxr  # type: ignore[import-untyped]
        from tipring.memory import give_back

        pace = min(2.0, max(0.5, speed / pitch))
        with self._turn:
            # The seed fixes the breath in the voice: the same words always sound the same.
            native = self._hibari(text, speed=pace, seed=0)
        if not len(native):
            return np.zeros(0, np.int16)
        sound = _trimmed(np.asarray(native, np.float32))
        samples = soxr.resample(sound, NATIVE * pitch, rate)
        pcm: NDArray[np.int16] = np.asarray(np.clip(samples, -1.0, 1.0) * 32767, "<i2")
        # The spectra of ten seconds of speech are 20 MB, and would stay. This takes a millisecond.
        del native, sound, samples
        give_back()
        return pcm


def _trimmed(native: NDArray[np.float32]) -> NDArray[np.float32]:
    """Take off most of the silence around sentences, and between them.

    hibari puts 0.3 s before a sentence and more than 0.4 s behind it. The first the caller would
    wait for, and between two sentences both together sound like the end of the answer.
    """
    loud = np.flatnonzero(np.abs(native) > _AUDIBLE)
    if not len(loud):
        return native
    ends = np.flatnonzero(np.diff(loud) > int(_LONGEST * NATIVE))
    begins = [int(loud[0]), *loud[ends + 1].tolist()]
    stops = [*loud[ends].tolist(), int(loud[-1])]
    before, behind = int(_BEFORE * NATIVE), int(_BEHIND * NATIVE)
    return np.concatenate(
        [
            native[max(0, begin - before) : stop + behind]
            for begin, stop in zip(begins, stops, strict=True)
        ]
    )


_loading = threading.Lock()


@functools.cache
def _voice(name: str) -> Voice:
    return Voice(name)


def shared_voice(name: str) -> Voice:
    """The process's voice of that name, loaded and warm. Safe from any thread."""
    with _loading:
        return _voice(name)


@functools.cache
def speaking_thread() -> ThreadPoolExecutor:
    """The thread on which all calls synthesise, first come, first served."""
    return ThreadPoolExecutor(1, thread_name_prefix="hibari")
