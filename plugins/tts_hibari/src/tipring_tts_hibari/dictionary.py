"""hibari's dictionaries without reading them: what a word needs is looked up in a file.

hibari unpacks 280,000 entries of JSON before its first word, for half a second of a core and 60
megabytes; a sentence needs some dozens of them. Here they are written once into hibari's folder
in the user's cache, sorted and in small pieces, and a piece is unpacked when it is asked for.
"""

from __future__ import annotations

import functools
import json
import logging
import marshal
import os
import sys
import tempfile
import zlib
from bisect import bisect_right
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from hibari import __version__, voices
from hibari.g2p import G2P, Lexicon, Tagger, Tokenizer, _load_json

log = logging.getLogger(__name__)

_ENTRIES = 64  # in a piece, which takes 0.02 to 0.13 ms to unpack
_RECENT = 256  # pieces of each dictionary that stay unpacked

# The first key of each piece, and the pieces.
_Packed: TypeAlias = tuple[list[str], list[bytes]]


class Pieces:
    """A dictionary of which only the pieces that were asked for are unpacked.

    Args:
        packed: What :func:`pack` gave.
    """

    def __init__(self, packed: _Packed) -> None:
        self._firsts, self._pieces = packed
        self._opened = functools.lru_cache(_RECENT)(self._open)

    def get(self, key: str, default: Any = None) -> Any:
        """As of any mapping."""
        return self._opened(bisect_right(self._firsts, key) - 1).get(key, default)

    def _open(self, number: int) -> dict[str, Any]:
        # What is sorted before the first key is looked for in the last piece, and not there.
        piece: dict[str, Any] = json.loads(zlib.decompress(self._pieces[number]))
        return piece


def pack(entries: Mapping[str, Any]) -> _Packed:
    """Sort a dictionary into pieces."""
    whole = sorted(entries.items())
    pieces = [dict(whole[at : at + _ENTRIES]) for at in range(0, len(whole), _ENTRIES)]
    return [next(iter(piece)) for piece in pieces], [
        zlib.compress(json.dumps(piece, ensure_ascii=False, separators=(",", ":")).encode())
        for piece in pieces
    ]


class Reader(G2P):  # type: ignore[misc]  # hibari ships no types
    """hibari's way from letters to sounds, with its dictionaries on disk.

    Args:
        british: Whether the voice is.
    """

    def __init__(self, *, british: bool) -> None:
        # Not its own constructor, which would read them all.
        kept = _kept("gb" if british else "us")
        words, rare, tags, weights = map(Pieces, kept["packed"])
        self.lexicon = Lexicon(words, rare, british)
        self.tokenizer = Tokenizer(_load_json("tokenizer_exceptions.json"))
        self.tagger = Tagger({**kept["tagger"], "tagdict": tags, "weights": weights})
        self._oov: Any = None
        self.unk = ""
        self.british = british


def _kept(accent: str) -> dict[str, Any]:
    """What was packed in an earlier start, or is now."""
    # As with bytecode, who may write there may run what they like anyway.
    form = f"{accent}-{__version__}-{sys.implementation.cache_tag}.{_ENTRIES}"
    file = Path(voices.cache_dir()) / f"dictionary-{form}"
    try:
        kept: dict[str, Any] = marshal.loads(file.read_bytes())
        return kept
    except (OSError, EOFError, ValueError, TypeError):
        log.debug("hibari's dictionaries are packed, which takes a second, once")
    model = _load_json("tagger.json.gz")
    kept = {
        "packed": [
            pack(_load_json(f"lexicon_{accent}_gold.json.gz")),
            pack(_load_json(f"lexicon_{accent}_silver.json.gz")),
            pack(model.pop("tagdict")),
            pack(model.pop("weights")),
        ],
        "tagger": model,
    }
    _keep(file, marshal.dumps(kept))
    return kept


def _keep(file: Path, content: bytes) -> None:
    """Write a file whole or not at all. A folder that cannot be written costs only time."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, delete=False) as half:
            half.write(content)
        os.replace(half.name, file)
    except OSError as error:
        log.info("hibari's dictionaries could not be kept in %s: %s", file.parent, error.strerror)
