"""The model and the threads it decodes on, shared by every call of the process.

What is waited for goes first, and in the order it came, so no call starves another: a call never
asks for more than one guess at a time, and what is only nice to have nobody asks for while the
decoder is busy.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import logging
import os
import queue
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tipring.memory import give_back

log = logging.getLogger(__name__)

FINAL = 0
"""The caller waits for this one."""
PAUSE = 1
"""The caller waits for this one, if the pause that they make is the end."""
FIRST = 2
"""The first words of an utterance: they stop the agent, and begin the turn."""
INTERIM = 3
"""What else has been said; nice to have soon."""

TAIL = 0.3
"""Seconds of silence put behind everything decoded. Speech cut off in mid-word makes the model
repeat itself; with 0.2 s or more of silence behind it, it stopped doing so in every clip tried."""

SHORTEST = 0.5
"""Seconds below which audio is filled up with silence: the model refuses a few dozen ms."""

Samples = NDArray[np.float32]


@dataclass(order=True)
class _Job:
    urgency: int
    number: int
    samples: Samples = field(compare=False)
    rate: int = field(compare=False, default=0)
    future: Future[str] = field(compare=False, default_factory=Future)


class Model:
    """One Moonshine tiny-en. Not to be used from two threads at once."""

    def __init__(self) -> None:
        # Measured: a second thread inside one decode doubles its CPU and saves no time, and with
        # several calls those cores have better things to do. The library reads this when it loads.
        os.environ.setdefault("MOONSHINE_ORT_SINGLE_THREAD", "1")
        from moonshine_voice.moonshine_api import ModelArch, TranscriptC
        from moonshine_voice.transcriber import Transcriber
        from moonshine_voice.utils import get_model_path

        # Its own segmentation repeats words at the joints and swallows bare single words; without
        # it (threshold 0) what is given is decoded whole, and the host's detector cuts.
        self._transcriber = Transcriber(
            str(get_model_path("tiny-en")),
            ModelArch.TINY,
            options={"vad_threshold": "0.0", "vad_max_segment_duration": "60"},
        )
        self._transcript = TranscriptC

    def text(self, samples: Samples, rate: int) -> str:
        """What was said in mono float samples between -1 and 1 at ``rate`` Hz."""
        from moonshine_voice.errors import check_error

        tail = max(TAIL, SHORTEST - len(samples) / rate)
        audio = np.concatenate([samples, np.zeros(int(tail * rate), np.float32)])
        audio = np.ascontiguousarray(audio, np.float32)
        out = ctypes.POINTER(self._transcript)()
        # Straight to the library's C function: its Python wrapper turns audio into lists of floats
        # and back, which holds the interpreter for 40 ms per 5 s of speech, for every other call
        # to hear. The exact version is pinned, so this cannot move.
        transcriber: Any = self._transcriber
        check_error(
            transcriber._lib.moonshine_transcribe_without_streaming(
                transcriber._handle,
                audio.ctypes.data_as(ctypes.POINTER(ctypes.c_float)),
                len(audio),
                rate,
                0,
                ctypes.byref(out),
            )
        )
        if not out:
            return ""
        said = (out.contents.lines[i].text for i in range(out.contents.line_count))
        lines = (ctypes.string_at(text).decode("utf-8", errors="ignore") for text in said if text)
        return " ".join(line.strip() for line in lines)


class Decoder:
    """A few threads, each with a model of its own, and one queue in front of them.

    Args:
        threads: How many decodes run at once.
    """

    def __init__(self, threads: int) -> None:
        self._jobs: queue.PriorityQueue[_Job] = queue.PriorityQueue()
        self._numbers = itertools.count()
        self._idle = threads
        self._counting = threading.Lock()
        models = [Model() for _ in range(threads)]
        for number, model in enumerate(models):
            threading.Thread(
                target=self._work, args=(model,), name=f"moonshine-{number}", daemon=True
            ).start()

    @property
    def busy(self) -> bool:
        """Whether what is asked for now would have to wait."""
        return self._idle <= self._jobs.qsize()

    def submit(self, samples: Samples, rate: int, *, urgency: int) -> Future[str]:
        """Ask for the words in mono float samples at ``rate`` Hz.

        Cancelling the future of a job that has not begun saves its work.
        """
        job = _Job(urgency, next(self._numbers), samples, rate)
        self._jobs.put(job)
        return job.future

    def _work(self, model: Model) -> None:
        while True:
            job = self._jobs.get()
            if not job.future.set_running_or_notify_cancel():
                continue
            self._count(-1)
            text, failure = "", None
            try:
                text = model.text(job.samples, job.rate)
            except Exception as error:
                failure = error
            # First, for whoever asked may ask again at once.
            self._count(+1)
            if failure is not None:
                job.future.set_exception(failure)
            else:
                job.future.set_result(text)
            # A decode needs some 3 MB for each second of speech, in pieces that stay with the
            # process: 15 to 25 MB after a long sentence. This takes one to four ms.
            del job
            give_back()

    def _count(self, more: int) -> None:
        with self._counting:
            self._idle += more


_loading = threading.Lock()


@functools.cache
def _decoder(threads: int) -> Decoder:
    decoder = Decoder(threads)
    # The first decode allocates; better before the phone rings than while somebody waits.
    decoder.submit(np.zeros(8000, np.float32), 16000, urgency=FINAL).result()
    return decoder


def shared_decoder(threads: int) -> Decoder:
    """The process's decoder with so many threads, loaded and warm. Safe from any thread."""
    with _loading:
        return _decoder(threads)
