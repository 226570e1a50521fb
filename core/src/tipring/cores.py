"""Who gets the processor: the event loop before the models, and nobody who only waits.

A phone wants its 20 ms of every call in time; a model's verdict may come a little later. Where both
are on one core the system gives each the same share, and all calls wait for one call's model.
"""

from __future__ import annotations

import contextlib
import os
import sys
from concurrent.futures import ThreadPoolExecutor

_NICE = 5
"""Beside a loop that is busy a model's thread gets a quarter of a core, and else all of it. With a
tenth (10) the verdicts of 24 calls queued up; with a third (3) the loop was 11 to 40 ms late."""


def no_idle_threads() -> None:
    """Have numpy multiply its matrices on the thread that asks.

    What it multiplies here takes a millisecond, and the threads that OpenBLAS keeps for such work
    spin for 60 ms behind it, in wait for more: as much as Smart Turn itself takes. It has an effect
    only before numpy is imported.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def model_thread(name: str) -> ThreadPoolExecutor:
    """A thread that runs a model when the event loop has nothing to do.

    Threads that are begun on it are like it: those of an ONNX session that is made there.

    Args:
        name: What it is called in a list of threads.
    """
    return ThreadPoolExecutor(1, thread_name_prefix=name, initializer=yield_to_loop)


def yield_to_loop() -> None:
    """Let the thread that calls this wait for the others. Has an effect only on Linux.

    Elsewhere the process has one priority.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.nice(_NICE)  # the thread's, whatever POSIX says
