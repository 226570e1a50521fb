"""How much memory a process with many threads keeps."""

from __future__ import annotations

import contextlib
import ctypes

_M_ARENA_MAX = -8  # glibc's malloc.h


def few_arenas() -> None:
    """Let glibc keep two heaps rather than eight a core.

    Each thread of a model would keep a heap of its own, and what it once needed for a long sentence
    with it. Has an effect only on glibc, and before the threads begin.
    """
    with contextlib.suppress(OSError, AttributeError):  # another libc
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)
