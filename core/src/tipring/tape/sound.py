"""Two voices on one clock: where a piece of audio belongs, and the file it ends up in.

Everything is PCM16 little-endian mono at 8 kHz until :func:`interleave` makes it stereo.
"""

from __future__ import annotations

import contextlib
import tempfile
import wave
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

RATE = 8000
"""Hz, of both voices."""

SLACK = 0.08
"""Seconds of jitter within which a piece is simply the next one: two chunks of 40 ms."""

AHEAD = 0.25
"""Seconds by which a burst may run ahead of its times before it is put back on the clock."""

_MINUTE = 60 * RATE

Samples = npt.NDArray[np.int16]


class Track:
    """One voice: gives every piece its place.

    Pieces come with the time at which they arrived, which jitters; their own lengths do not. So a
    piece goes right behind the one before it as long as the two agree within :data:`SLACK`. A
    later piece leaves silence before it. An earlier one is appended too, until the voice is
    :data:`AHEAD` of its times; then it replaces what stands there.

    Args:
        patience: Seconds for which late pieces are still appended. A line that stalls delivers
            everything at once afterwards, and that belongs where the silence would have gone.
    """

    def __init__(self, *, patience: float = 0.0) -> None:
        self.cursor = 0
        self.length = 0
        self._patience = patience
        self._late_since: float | None = None

    def place(self, at: float, samples: int) -> int:
        """The sample at which a piece of this length begins, heard at this time (s)."""
        late = at - self.cursor / RATE
        if late > SLACK:
            if self._late_since is None:
                self._late_since = at
            if self.cursor == 0 or at - self._late_since >= self._patience:
                self.cursor = round(at * RATE)
                self._late_since = None
        else:
            self._late_since = None
            if late < -AHEAD:
                self.cursor = max(0, round(at * RATE))
        start = self.cursor
        self.cursor += samples
        self.length = max(self.length, self.cursor)
        return start

    def cut(self, at: float) -> tuple[int, int]:
        """End the voice here, because the phone dropped the rest.

        Returns:
            The first sample that was dropped, and how many.
        """
        start = max(0, round(at * RATE))
        dropped = max(0, self.length - start)
        if dropped:
            self.cursor = self.length = start
        return start, dropped


class Spool:
    """Audio on its way to a file, on disk and not in memory.

    Each voice is a temporary file without a name, so nothing of it stays behind when the process
    is killed. Pieces are written where they belong; what is never written reads as silence.
    Everything here blocks, so it is called off the event loop.

    Raises:
        OSError: The folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        with contextlib.ExitStack() as stack:
            caller = stack.enter_context(tempfile.TemporaryFile(dir=folder))
            agent = stack.enter_context(tempfile.TemporaryFile(dir=folder))
            stack.pop_all()
        self._files: tuple[IO[bytes], IO[bytes]] = (caller, agent)

    def write(self, pieces: Iterable[tuple[int, int, bytes]]) -> None:
        """Write pieces: the voice (0 caller, 1 agent), the sample it begins at, the audio."""
        for voice, start, pcm in pieces:
            file = self._files[voice]
            file.seek(start * 2)
            file.write(pcm)
        for file in self._files:
            file.flush()

    def interleave(self, file: IO[bytes], samples: int) -> None:
        """Write a stereo WAV of so many samples: caller left, agent right; a minute at a time."""
        for spool in self._files:
            spool.seek(0)
        with wave.open(file, "wb") as out:
            out.setnchannels(2)
            out.setsampwidth(2)
            out.setframerate(RATE)
            out.setnframes(samples)
            for done in range(0, samples, _MINUTE):
                count = min(_MINUTE, samples - done)
                both = np.zeros((count, 2), dtype="<i2")
                for voice, spool in enumerate(self._files):
                    heard = np.frombuffer(spool.read(count * 2), dtype="<i2")
                    both[: len(heard), voice] = heard
                out.writeframesraw(both.tobytes())

    def close(self) -> None:
        """Let the temporary files go."""
        for file in self._files:
            # On a full disk the last piece is still waiting, and fails once more.
            with contextlib.suppress(OSError):
                file.close()


def voices(path: Path) -> tuple[Samples, Samples]:
    """The caller's and the agent's samples of a ``call.wav``, mapped and not read.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not a stereo WAV of 16 bits at 8 kHz.
    """
    try:
        with wave.open(str(path), "rb") as wav:
            shape = wav.getnchannels(), wav.getsampwidth(), wav.getframerate()
            frames = wav.getnframes()
    except (wave.Error, EOFError) as error:
        raise ValueError(f"{path} is not a WAV file: {error}") from error
    if shape != (2, 2, RATE):
        raise ValueError(f"{path} is not stereo, 16 bits, 8 kHz")
    if not frames:
        return np.zeros(0, np.int16), np.zeros(0, np.int16)
    size = path.stat().st_size
    both = np.memmap(path, dtype="<i2", mode="r", offset=size - frames * 4, shape=(frames, 2))
    return both[:, 0], both[:, 1]


def envelope(samples: Samples, width: int) -> npt.NDArray[np.float64]:
    """The loudest sample of each stretch of ``width`` samples, 0 to 1; a minute in memory."""
    step = max(1, _MINUTE // width) * width
    peaks = []
    for start in range(0, len(samples), step):
        part = np.abs(samples[start : start + step].astype(np.int32))
        part = np.pad(part, (0, -len(part) % width))
        peaks.append(part.reshape(-1, width).max(axis=1))
    return np.concatenate(peaks) / 32768.0 if peaks else np.zeros(0)
