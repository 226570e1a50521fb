"""How much memory a process keeps that runs models on many threads.

What a model needs for a moment comes from two keepers, ONNX Runtime's arena and glibc's heaps, and
neither gives it back by itself: the largest sentence ever heard would be paid for until the end.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
from collections.abc import Mapping, Sequence
from typing import Any

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # glibc's malloc.h
_LARGE = 2 << 20


def keep_little() -> None:
    """Let glibc keep two heaps rather than eight a core, and give large blocks back when freed.

    Each thread of a model would keep a heap of its own, and what it once needed for a long sentence
    with it. And glibc learns: the first large block freed raises the size from which blocks go back
    to the system, up to 32 MB; a size that is set stays. Has an effect only on glibc, and before
    the threads begin.
    """
    with contextlib.suppress(OSError, AttributeError):  # another libc
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_ARENA_MAX, 2)
        mallopt(_M_MMAP_THRESHOLD, _LARGE)
        mallopt(_M_TRIM_THRESHOLD, 4 * _LARGE)


def give_back() -> None:
    """Give the system what lies free in glibc's heaps.

    A call frees its buffers in small pieces, which stay until they are used again. It takes some
    milliseconds, on a thread, and frees nothing that is in use. Has an effect only on glibc.
    """
    with contextlib.suppress(OSError, AttributeError):  # another libc
        ctypes.CDLL(None).malloc_trim(0)


def begin_start() -> None:
    """Look for no garbage until :func:`end_start`: a tenth of the time to import the SDKs.

    What a start makes is classes, functions and models, which all stay.
    """
    gc.disable()


def end_start() -> None:
    """Look for garbage again, and never more in what the start left.

    Else each of the collector's long looks would pass over some hundred thousand objects that
    cannot be garbage, in the middle of a call. Does nothing without :func:`begin_start`.
    """
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


class LeanSession:
    """An ONNX session that gives back after each run what only the run needed.

    ::

        analyzer._session = LeanSession(onnxruntime.InferenceSession(...))

    It stands in for the session where code calls ``run``; everything else is its own. Two runs
    of Smart Turn at once keep 46 MB of buffers, and 5 to 9 with this, for a twentieth more CPU
    (measured). It is not for a model that runs many times a second on little data.

    Args:
        session: An ``onnxruntime.InferenceSession`` on the CPU.
    """

    def __init__(self, session: Any) -> None:
        import onnxruntime

        self._session = session
        self._options = onnxruntime.RunOptions()
        self._options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")

    def run(
        self, outputs: Sequence[str] | None, inputs: Mapping[str, Any], options: Any = None
    ) -> Any:
        """Run the model: the names of the outputs (None for all), and the inputs by name."""
        return self._session.run(outputs, inputs, options or self._options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)
