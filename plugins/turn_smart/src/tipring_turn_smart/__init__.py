"""Smart Turn decides, by how the caller sounds, whether they are done."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import Field
from tipring.hookspecs import hookimpl
from tipring.providers import Call, Settings, Turn, TurnPlan

_MODEL = "smart-turn-v3.2-cpu.onnx"
_CERTAIN = 0.98
"""From here on the model leaves no doubt; it hardly ever says more than 0.99."""


class SmartSettings(Settings):
    """Smart Turn v3.2 on this machine's CPU."""

    stop_secs: float = Field(
        0.7,
        ge=0.3,
        le=3.0,
        description="Seconds of silence after which an unfinished-sounding turn is proposed anyway,"
        " for the host to wait on until [turns] unsure. Pipecat's 3.0 keeps a third of callers"
        " waiting.",
    )
    threshold: float = Field(
        0.5, gt=0.0, lt=1.0, description="How sure the model must be that the caller is done."
    )
    model: Path | None = Field(
        None, description="An ONNX file of your own; else the one in Pipecat's wheel."
    )
    threads: int = Field(
        2,
        ge=1,
        le=8,
        description="Threads of one inference, of which one runs at a time; never more than cores.",
    )


@functools.cache
def _session(model: Path | None, threads: int) -> Any:
    """The model, loaded once for the process; a session may be run by many calls at once."""
    import onnxruntime
    from tipring.memory import LeanSession

    # Pipecat's own class would load it without the options below; its version is pinned.
    model = model or Path(str(files("pipecat.audio.turn.smart_turn.data"))) / _MODEL
    if not model.is_file():
        raise FileNotFoundError(f"there is no model at {model}")
    options = onnxruntime.SessionOptions()
    options.inter_op_num_threads = 1
    options.intra_op_num_threads = min(threads, _cores())
    # Else a thread that waits for the other half of a step spins for it, on a core that the
    # transcriber and the event loop have use for.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # There, so that the session's own threads yield to the event loop as well.
    made = _thread().submit(onnxruntime.InferenceSession, str(model), options)
    return LeanSession(made.result())


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@functools.cache
def _thread() -> ThreadPoolExecutor:
    """Where inferences run, one after another, each on as many cores as it may use.

    Two at once would be no sooner done on the same cores, and each has 20 MB of buffers.
    """
    from tipring.cores import model_thread

    return model_thread("smart-turn")


def doubt_of(sure: float, threshold: float) -> float:
    """How much the model doubts, 0 to 1: half at its threshold, and by its odds to both sides.

    It has one word for "done", and a wide range of sureness in it. Of 400 pauses inside recorded
    speech half were above 0.5 and a fifth above 0.97; of 166 ends nine in ten and half. The odds
    tell them apart all the way, so the host may wait by them.

    Args:
        sure: The model's probability that the caller is done.
        threshold: Above it the model is taken to say so.
    """
    odds = _odds(sure) - _odds(threshold)
    return min(1.0, max(0.0, 0.5 - odds / (2 * _odds(_CERTAIN))))


def _odds(probability: float) -> float:
    """The logarithm of the odds."""
    probability = min(max(probability, 1e-6), 1 - 1e-6)
    return math.log(probability / (1 - probability))


def _analyzer(settings: SmartSettings) -> Any:
    from pipecat.audio.turn.smart_turn.base_smart_turn import BaseSmartTurn, SmartTurnParams
    from pipecat.audio.turn.smart_turn.local_smart_turn_v3 import LocalSmartTurnAnalyzerV3
    from tipring.memory import give_back

    session = _session(settings.model, settings.threads)

    class SharedSmartTurn(LocalSmartTurnAnalyzerV3):
        def __init__(self) -> None:
            # Its own constructor would load the model again for every call: 85 MB and 40 ms each.
            BaseSmartTurn.__init__(self, params=SmartTurnParams(stop_secs=settings.stop_secs))
            self._log_data = False
            self._session = session
            self.doubt = 0.0

        @property
        def _model_executor(self) -> ThreadPoolExecutor:
            return _thread()

        def _predict_endpoint(self, audio_array: Any) -> dict[str, Any]:
            verdict = super()._predict_endpoint(audio_array)
            give_back()
            verdict["prediction"] = int(verdict["probability"] > settings.threshold)
            self.doubt = doubt_of(float(verdict["probability"]), settings.threshold)
            return verdict

    return SharedSmartTurn()


def build(settings: SmartSettings, call: Call) -> TurnPlan:
    """Ask Smart Turn at each silence, and propose after ``stop_secs`` whatever it says."""
    from pipecat.turns.user_stop import TurnAnalyzerUserTurnStopStrategy
    from tipring.turns.vad import phone_vad

    analyzer = _analyzer(settings)
    return TurnPlan(
        stop=TurnAnalyzerUserTurnStopStrategy(turn_analyzer=analyzer),
        vad=phone_vad(),
        # It proposes 0.2 s (the voice detector's wait) + stop_secs after the voice at the latest,
        # and then waits for the transcriber.
        patience=settings.stop_secs + 1.0,
        doubt=lambda: float(analyzer.doubt),
    )


@hookimpl
def register_turn() -> Iterable[Turn[SmartSettings]]:
    """Offer Smart Turn."""
    yield Turn(
        name="smart",
        settings=SmartSettings,
        build=build,
        summary="Smart Turn v3.2 decides by the sound of the caller's voice.",
    )
