"""A call's folder: ``call.json``, ``call.wav`` and ``timeline.html``.

The call never waits for its record. Audio is gathered in memory for about a second and then
written to temporary files by a thread, one batch at a time; the three files are made by a thread
at the end. A folder that cannot be written costs the record, never the call.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import re
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

import numpy as np

from tipring.journal import Event, Journal
from tipring.tape.conversation import as_json
from tipring.tape.sound import RATE, Spool, Track, voices
from tipring.tape.timeline import render
from tipring.tape.turns import tell

log = logging.getLogger(__name__)

VERSION = 1
"""Of ``call.json``; raised when something in it changes its meaning or goes away."""

_BATCH = 32_000  # bytes: a second of both voices
_MOST = 4_000_000  # bytes waiting for a disk that does not keep up: two minutes of both voices
_FUTURE = 10.0  # seconds; audio that claims to be from later than this is not believed

# Digits that read as a phone number, however they are grouped.
_NUMBER = re.compile(r"(?<![A-Za-z0-9])\d(?:[-_]*\d){5,}(?![A-Za-z0-9])")


class Tape:
    """Records one call, from where it is made to :meth:`close`.

    Memory stays bounded: about a second of audio, at the most two minutes of it when the disk is
    slow, and the events that the journal keeps anyway. All methods belong to the event loop's
    thread and none of them raises because of the disk: the first failure is logged once and noted
    in the journal as a ``problem``.

    Args:
        dir: The folder in which each call gets a folder of its own. It is made if need be.
        journal: The call's journal. What it holds already is part of the record.
        call_id: The call's id; a phone number in it does not reach a file name.
    """

    def __init__(self, dir: Path, journal: Journal, *, call_id: str) -> None:
        self._journal = journal
        self._call_id = call_id
        self._started = datetime.now(UTC) - timedelta(seconds=journal.now())
        self._dir = dir
        self._name = f"{self._started:%Y%m%dT%H%M%SZ}-{_file_name(call_id)}"
        self._folder: Path | None = None
        self._spool: Spool | None = None
        # The phone sends all the time, silence too, so a gap of the caller's is a line that stalls.
        self._tracks = (Track(patience=0.3), Track())
        self._waiting: list[tuple[int, int, bytes]] = []
        self._size = 0
        self._flushing: asyncio.Task[None] | None = None
        self._troubled = False
        self._broken = False
        self._closed = False
        journal.subscribe(self._on_event)

    def caller(self, pcm: bytes, at: float) -> None:
        """Take what the caller said.

        Args:
            pcm: PCM16 mono at 8 kHz.
            at: When its first sample was heard, in seconds since the call began.
        """
        self._take(0, pcm, at)

    def agent(self, pcm: bytes, at: float) -> None:
        """Take what the agent said.

        Args:
            pcm: PCM16 mono at 8 kHz.
            at: When its first sample left for the phone, in seconds since the call began. A
                ``clear`` in the journal takes back what lies behind it.
        """
        self._take(1, pcm, at)

    async def written(self) -> None:
        """Wait for the batch of audio that is being written, if one is."""
        if self._flushing is not None:
            await self._flushing

    async def close(self) -> Path | None:
        """Write the files, off the event loop, and record nothing more.

        Returns:
            The call's folder; None when it could not be made.
        """
        if self._closed:
            return self._folder
        self._closed = True
        await self.written()
        pieces, self._waiting = self._waiting, []
        try:
            await asyncio.to_thread(self._finish, self._journal.events, pieces)
        except Exception as error:
            self._trouble("the record could not be written", error)
        return self._folder

    def _on_event(self, event: Event) -> None:
        if event.name != "clear" or self._closed:
            return
        start, dropped = self._tracks[1].cut(event.at)
        if dropped:
            self._put(1, start, bytes(dropped * 2))

    def _take(self, voice: int, pcm: bytes, at: float) -> None:
        if self._closed or self._broken or len(pcm) < 2:
            return
        if not -_FUTURE < at < self._journal.now() + _FUTURE:
            self._trouble("audio came with an impossible time and was left out of the record")
            return
        pcm = pcm[: len(pcm) // 2 * 2]
        if self._size + len(pcm) > _MOST:
            self._trouble("the disk does not keep up; audio was left out of the record")
            return
        start = self._tracks[voice].place(max(0.0, at), len(pcm) // 2)
        self._put(voice, start, pcm)

    def _put(self, voice: int, start: int, pcm: bytes) -> None:
        self._waiting.append((voice, start, pcm))
        self._size += len(pcm)
        if self._size >= _BATCH and self._flushing is None and not self._broken:
            self._flushing = asyncio.get_running_loop().create_task(self._flush())

    async def _flush(self) -> None:
        pieces, self._waiting = self._waiting, []
        try:
            await asyncio.to_thread(self._write, pieces)
        except Exception as error:
            self._broken = True
            self._waiting.clear()
            self._trouble("the audio of the call could not be written", error)
        finally:
            self._size = sum(len(pcm) for _, _, pcm in self._waiting)
            self._flushing = None

    def _trouble(self, what: str, error: Exception | None = None) -> None:
        """Tell of the first thing that went wrong; the rest follows from it."""
        if self._troubled:
            return
        self._troubled = True
        reason = "" if error is None else _reason(error)
        log.warning("the record of a call is incomplete: %s%s", what, reason)
        self._journal.note("problem", where="record", what=what + reason)

    # From here on: off the event loop.

    def _write(self, pieces: list[tuple[int, int, bytes]]) -> None:
        if self._spool is None:
            self._spool = Spool(self._make_folder())
        self._spool.write(pieces)

    def _make_folder(self) -> Path:
        if self._folder is None:
            self._dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            name = self._name
            while True:
                try:
                    (self._dir / name).mkdir(mode=0o700)
                    break
                except FileExistsError:
                    name = f"{self._name}-{secrets.token_hex(2)}"
            self._folder = self._dir / name
        return self._folder

    def _finish(self, noted: tuple[Event, ...], pieces: list[tuple[int, int, bytes]]) -> None:
        conversation = tell(noted)
        heard = max(track.length for track in self._tracks)
        duration = max(conversation.duration, heard / RATE)
        samples = round(duration * RATE)
        record: dict[str, Any] = {
            "version": VERSION,
            "call": self._call_id,
            "started": self._started.isoformat(timespec="milliseconds"),
            **as_json(conversation),
            "duration": round(duration, 3),
        }
        events = [
            {"at": round(event.at, 3), "name": event.name, "detail": as_json(event.detail)}
            for event in noted
        ]
        folder = self._make_folder()
        spool = self._spool

        def text() -> None:
            with _private(folder / "call.json") as file:
                file.write(dump(record, events).encode())

        def sound() -> None:
            nonlocal spool
            if not self._broken:
                self._write(pieces)
            spool = self._spool
            if spool is not None:
                with _private(folder / "call.wav") as file:
                    spool.interleave(file, samples)

        def picture() -> None:
            nothing = np.zeros(0, np.int16)
            wav = folder / "call.wav"
            heard = voices(wav) if wav.exists() else (nothing, nothing)
            with _private(folder / "timeline.html") as file:
                file.write(render(record, *heard).encode())

        # The text first: it is small, and on a full disk it may be all that fits. A step that
        # fails does not keep the others from being tried.
        failure: Exception | None = None
        for step in (text, sound, picture):
            try:
                step()
            except (OSError, ValueError) as error:
                failure = failure or error
        if spool is not None:
            spool.close()
        if failure is not None:
            raise failure


def dump(record: dict[str, Any], events: list[dict[str, Any]]) -> str:
    """The text of ``call.json``: the record indented, the events one a line."""
    head = json.dumps(record, indent=2, ensure_ascii=False)
    lines = ",\n".join("    " + json.dumps(event, ensure_ascii=False) for event in events)
    return f'{head[:-2]},\n  "events": [\n{lines}\n  ]\n}}\n'


@contextlib.contextmanager
def _private(path: Path) -> Iterator[IO[bytes]]:
    """A new file that nobody else may read: whole, or not there at all."""
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    try:
        with os.fdopen(descriptor, "w+b") as file:
            yield file
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _file_name(call_id: str) -> str:
    """What of a call's id can stand in a file name; digits that may be a number are replaced."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", call_id)[:64].strip("-")
    return _NUMBER.sub(lambda _: secrets.token_hex(4), plain) or "call"


def _reason(error: Exception) -> str:
    """Why, without a path: a folder's name is nobody's business in a log."""
    if isinstance(error, OSError) and error.strerror:
        return f" ({error.strerror})"
    return f" ({type(error).__name__})"
