"""The phrases a call cannot do without, rendered ahead and kept on disk.

A greeting, an apology or a goodbye is the same in every call. Rendered ahead, it needs no round
trip to the voice, and can be said when the voice is down.

A phrase is kept under a key of everything that changes how it sounds: the plugin and its version,
its settings (but for secrets), the language, the rate and the text. So nothing is ever out of date,
and what is no longer used is dropped when the folder grows over its size.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import struct
import tempfile
import time
from collections.abc import Coroutine, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from tipring.discovery import said
from tipring.errors import PluginError
from tipring.providers import Call, Settings, Tts
from tipring.settings import mask, secret_env, secrets_of
from tipring.speech.speakable import speakable
from tipring.timebox import Late, awithin

log = logging.getLogger(__name__)

_MAGIC = b"tipring phrase 1"
_HEADER = struct.Struct(">16s32sIQ")  # magic, SHA-256 of the audio, Hz, bytes of audio
_MEND = "tipring check --online"
_STALE = 3600.0  # seconds after which a half-written file can only be the rest of a crash


class Voice(Protocol):
    """A chosen voice: a :class:`tipring.selection.Part` is one."""

    @property
    def where(self) -> str:
        """How a user points at it: ``tts.elevenlabs``."""
        ...

    @property
    def provider(self) -> Any:
        """What the plugin declared: a :class:`tipring.providers.Tts`."""
        ...

    @property
    def settings(self) -> Settings:
        """Its settings."""
        ...

    @property
    def dist(self) -> str:
        """The distribution it came in, with the version."""
        ...


V = TypeVar("V", bound=Voice)


class Phrases:
    """The rendered phrases of one voice.

    Args:
        voice: Who speaks.
        call: Language and rate; no real call is needed.
        folder: Where they are kept: ``tipring/phrases`` in the user's cache without one.
        most: Bytes the folder may hold; the longest unused go first.
        patience: Seconds one rendering may take.
    """

    def __init__(
        self,
        voice: Voice,
        *,
        call: Call,
        folder: Path | None = None,
        most: int = 64_000_000,
        patience: float = 60.0,
    ) -> None:
        self._voice = voice
        self._call = call
        self._folder = folder or cache_folder()
        self._most = most
        self._patience = patience
        self._rendered: dict[str, bytes] = {}

    @property
    def rate(self) -> int:
        """Hz of what :meth:`get` gives."""
        return self._call.audio_out_rate

    @property
    def where(self) -> str:
        """Whose they are: ``tts.elevenlabs``."""
        return self._voice.where

    @property
    def rendered_ahead(self) -> bool:
        """Whether this voice can render ahead at all."""
        return self._provider.render is not None

    def get(self, text: str) -> bytes | None:
        """Give a phrase as PCM16 mono at :attr:`rate`, or None when it is not rendered."""
        return self._rendered.get(text)

    async def recall(self, texts: Iterable[str]) -> None:
        """Have those of these phrases at hand that are on disk; nothing is rendered.

        Args:
            texts: What is to be said.
        """
        if self._provider.render is None:
            return
        wanted = [text for text in texts if text.strip() and text not in self._rendered]
        self._rendered.update(await asyncio.to_thread(self._kept, wanted))

    async def prepare(self, texts: Iterable[str]) -> list[PluginError]:
        """Have these phrases at hand, from disk or rendered now, off the event loop.

        Args:
            texts: What is to be said. Empty ones are passed over.

        Returns:
            What went wrong. A phrase that is missing is spoken by the voice like anything else.
        """
        problems: list[PluginError] = []
        if self._provider.render is None:
            return problems
        for text in dict.fromkeys(text for text in texts if text.strip()):
            if text in self._rendered:
                continue
            outcome = await awithin(self._patience, partial(self._fetch, text))
            if outcome.value is None:
                problems.append(self._failed(outcome.error))
                continue
            self._rendered[text], trouble = outcome.value
            if trouble is not None:
                problems.append(trouble)
        for problem in problems:
            log.warning("a phrase is not rendered ahead: %s", problem)
        return problems

    @property
    def _provider(self) -> Tts[Any]:
        provider: Tts[Any] = self._voice.provider
        return provider

    def _fetch(self, text: str) -> tuple[bytes, PluginError | None]:
        """Read a phrase, or render it and keep it."""
        spoken, path = self._place(text)
        if (kept := _read(path, self.rate)) is not None:
            return kept, None
        assert self._provider.render is not None
        pcm = self._provider.render(self._voice.settings, self._call, spoken)
        if not isinstance(pcm, bytes) or not pcm or len(pcm) % 2:
            raise PluginError(
                self._voice.where,
                "its render gave no PCM16 (whole samples of two bytes)",
                "give back bytes of PCM16 mono at call.audio_out_rate from render()",
            )
        try:
            _write(path, pcm, self.rate)
            self._prune(path)
        except OSError as error:
            return pcm, PluginError(
                self._voice.where,
                f"a phrase could not be kept in {self._folder} ({error.strerror or error})",
                "make the folder writable, or set XDG_CACHE_HOME; until then it is rendered at"
                " every start",
            )
        return pcm, None

    def _kept(self, texts: Iterable[str]) -> dict[str, bytes]:
        found = {text: _read(self._place(text)[1], self.rate) for text in texts}
        return {text: pcm for text, pcm in found.items() if pcm is not None}

    def _place(self, text: str) -> tuple[str, Path]:
        """What is spoken for a text, and where that is kept."""
        spoken = speakable(text, self._call.language)
        return spoken, self._folder / f"{self._key(spoken)}.phrase"

    def _key(self, spoken: str) -> str:
        fields = type(self._voice.settings).model_fields
        secrets = {name for name, field in fields.items() if secret_env(field)}
        heard = {
            "plugin": self._provider.name,
            "dist": self._voice.dist,
            # Addresses too: an emulator's voice must not be taken for the real one's.
            "settings": self._voice.settings.model_dump(mode="json", exclude=secrets),
            "language": self._call.language,
            "rate": self.rate,
            "text": spoken,
        }
        return hashlib.sha256(json.dumps(heard, sort_keys=True).encode()).hexdigest()

    def _prune(self, newest: Path) -> None:
        """Drop the longest unused until the folder is within its size."""
        kept: list[tuple[float, int, Path]] = []
        for path in self._folder.iterdir():
            try:
                stat = path.stat()
            except FileNotFoundError:
                continue  # another process prunes too
            if path.suffix == ".part" and time.time() - stat.st_mtime > _STALE:
                path.unlink(missing_ok=True)
            elif path.suffix == ".phrase" and path != newest:
                kept.append((stat.st_mtime, stat.st_size, path))
        over = sum(size for _, size, _ in kept) + newest.stat().st_size - self._most
        for _, size, path in sorted(kept):
            if over <= 0:
                break
            path.unlink(missing_ok=True)
            over -= size

    def _failed(self, error: BaseException | None) -> PluginError:
        secrets = secrets_of(self._voice.settings)
        if isinstance(error, PluginError):
            return PluginError(
                self._voice.where,
                mask(error.what, secrets),
                mask(error.fix, secrets) or _MEND,
            )
        if isinstance(error, Late):
            told = f"took longer than {self._patience:g} s"
        else:
            assert error is not None
            told = mask(said(error), secrets)
        return PluginError(
            self._voice.where,
            f"rendering a phrase failed: {told} (from {self._voice.dist})",
            _MEND,
        )


async def first_voice(
    voices: Sequence[V],
    *,
    call: Call,
    text: str,
    folder: Path | None = None,
    patience: float = 60.0,
    unhurried: asyncio.Event | None = None,
) -> tuple[tuple[V, ...], Phrases, list[PluginError]]:
    """Find the first voice that can speak: it renders a phrase, which is kept.

    A voice that does not render ahead proves nothing, and is taken at its word.

    Args:
        voices: In order of preference; at least one.
        call: Language and rate.
        text: The phrase. An empty one is no proof, and the preferred voice is taken.
        folder: As in :class:`Phrases`.
        patience: Seconds each voice has.
        unhurried: Until it is set the machine is busy with something else, and nobody is late.

    Returns:
        The voices, those that failed behind the others; the phrases of the first one; and what
        went wrong. When none can render, the preferred one stays first. Where there is only one,
        it is no problem that it is late: nobody else would be faster.
    """
    problems: list[PluginError] = []
    failed: list[V] = []
    for voice in voices:
        phrases = Phrases(voice, call=call, folder=folder)
        alone = len(voices) == 1
        told = await _in_time(phrases.prepare([text]), patience, unhurried)
        if told is None and not alone:
            what = f"a phrase was not rendered within {patience:g} s"
            told = [PluginError(voice.where, what, _MEND)]
        problems += told or ()
        spoke = phrases.get(text) is not None or not phrases.rendered_ahead or not text.strip()
        if spoke or alone:
            left = [one for one in voices if one is not voice and one not in failed]
            return (voice, *left, *failed), phrases, problems
        failed.append(voice)
    return tuple(voices), Phrases(voices[0], call=call, folder=folder), problems


async def _in_time(
    preparing: Coroutine[Any, Any, list[PluginError]],
    seconds: float,
    unhurried: asyncio.Event | None,
) -> list[PluginError] | None:
    """What went wrong, or None when it took too long."""
    task = asyncio.create_task(preparing)
    try:
        if unhurried is not None:
            quiet = asyncio.create_task(unhurried.wait())
            try:
                await asyncio.wait({task, quiet}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                quiet.cancel()
        await asyncio.wait({task}, timeout=seconds)
        return task.result() if task.done() else None
    finally:
        task.cancel()


def cache_folder() -> Path:
    """Where phrases are kept: under ``XDG_CACHE_HOME``, or ``~/.cache`` without it."""
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "tipring" / "phrases"
    try:
        return Path.home() / ".cache" / "tipring" / "phrases"
    except RuntimeError:  # a container may have a user without a home
        return Path(tempfile.mkdtemp(prefix="tipring-phrases-"))


def _read(path: Path, rate: int) -> bytes | None:
    """Give what a file holds, or None where it is missing, cut short or damaged."""
    try:
        raw = path.read_bytes()
    except OSError:
        return None
    if len(raw) >= _HEADER.size:
        magic, digest, hertz, length = _HEADER.unpack_from(raw)
        pcm = raw[_HEADER.size :]
        if (magic, hertz, length) == (_MAGIC, rate, len(pcm)) and (
            hashlib.sha256(pcm).digest() == digest
        ):
            try:
                os.utime(path)  # it is in use
            except OSError:
                log.debug("a phrase could not be marked as used")
            return pcm
    log.warning("a phrase on disk is damaged and is rendered again: %s", path.name)
    return None


def _write(path: Path, pcm: bytes, rate: int) -> None:
    """Put a file in place at once or not at all, readable by its owner only."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    header = _HEADER.pack(_MAGIC, hashlib.sha256(pcm).digest(), rate, len(pcm))
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(header + pcm)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
