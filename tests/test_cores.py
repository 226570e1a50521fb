"""The event loop goes before the models, and numpy keeps no threads that only wait."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from tipring.cores import model_thread

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux's threads have a rank")


def _rank() -> int:
    return os.getpriority(os.PRIO_PROCESS, 0)


def test_a_models_thread_waits_for_the_event_loops() -> None:
    before = _rank()
    with model_thread("model") as thread:
        models = thread.submit(_rank).result()
    assert models == min(19, before + 5)
    assert _rank() == before


def test_a_matrix_is_multiplied_on_the_thread_that_asks() -> None:
    code = """
import os
from tipring.cores import no_idle_threads
no_idle_threads()
import numpy as np
np.ones((80, 201)) @ np.ones((201, 801))
print(len(os.listdir("/proc/self/task")))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == 1
