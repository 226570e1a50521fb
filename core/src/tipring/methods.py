"""The methods of dataclasses, compiled once and not with every start.

A dataclass writes its ``__init__``, its ``__repr__`` and its ``__eq__`` as text, and Python has to
compile them whenever its module is imported: 1,500 texts before a host is ready, an eighth of its
start, and always the same. What became of them is kept beside the bytecode. A method is found by
its text, so nothing that is kept can be out of date.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import logging
import marshal
import sys
from importlib.machinery import SourceFileLoader
from typing import Any

log = logging.getLogger(__name__)

_LOADER = SourceFileLoader(__name__, __file__)


class _Methods:
    """What stands in for ``exec`` in the module of dataclasses."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._kept: dict[str, bytes] = {}
        self._used: dict[str, bytes] = {}
        try:
            self._kept = marshal.loads(_LOADER.get_data(file))
        except (OSError, EOFError, ValueError, TypeError):
            log.debug("the methods of dataclasses are compiled")

    def __call__(self, text: str, names: dict[str, Any], made: dict[str, Any]) -> None:
        """Do as ``exec`` would."""
        if (kept := self._kept.get(text)) is None:
            code = compile(text, "<string>", "exec", dont_inherit=True)
            kept = marshal.dumps(code)
        else:
            # A new one each time: Python fits a method's code to the class that it is used with.
            code = marshal.loads(kept)
        self._used[text] = kept
        exec(code, names, made)

    def keep(self) -> None:
        """Keep those of this start, if there are new ones and bytecode is kept here."""
        if not sys.dont_write_bytecode and not self._used.keys() <= self._kept.keys():
            _LOADER.set_data(self._file, marshal.dumps(self._used))


def begin() -> None:
    """Compile no method again until :func:`end` that an earlier start has compiled."""
    file = importlib.util.cache_from_source(__file__, optimization="methods")
    vars(dataclasses)["exec"] = _Methods(file)


def end() -> None:
    """Keep what was new, and compile as always. Does nothing without :func:`begin`."""
    methods = vars(dataclasses).pop("exec", None)
    if methods is not None:
        methods.keep()
