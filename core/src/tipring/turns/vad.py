"""Whether the caller's voice is there: Silero, tuned for telephones, one model for the process.

It is also the detector that is always there (``turn = "vad"``): silence, and nothing else, proposes
the end of a turn. The host falls back to it when every chosen detector has failed.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pydantic import Field

from tipring.hookspecs import hookimpl
from tipring.providers import Call, Settings, Turn, TurnPlan

if TYPE_CHECKING:
    from pipecat.audio.vad.vad_analyzer import VADAnalyzer


@functools.cache
def _session() -> Any:
    """Silero, loaded once; every call keeps its own state."""
    from pipecat.audio.vad.silero import SileroVADAnalyzer

    return SileroVADAnalyzer()._model.session


def phone_vad() -> VADAnalyzer:
    """Make a voice detector for one call.

    It has two regimes. While the agent waits it is lenient, so that a short or quiet "yes" counts;
    while the agent speaks it is strict, so that the agent's echo and the caller's room do not. Set
    ``agent_speaking`` to choose. Pipecat's default volume floor of 0.6 misses quiet callers
    altogether: "yeah" at -40 dBFS never triggers it. In both regimes a voice that is further away
    than the caller is the room's (:class:`~tipring.turns.room.Room`).
    """
    from pipecat.audio.vad.silero import SileroVADAnalyzer
    from pipecat.audio.vad.vad_analyzer import VADAnalyzer, VADParams, VADState

    from tipring.turns.room import Room
    from tipring.turns.windows import Memory, windows

    session = _session()
    # 13 of 23 isolated short replies on real calls never started at 0.7 / 0.2 s, 10 at these.
    lenient = VADParams(confidence=0.5, start_secs=0.1, stop_secs=0.2, min_volume=0.0)
    strict = VADParams(confidence=0.7, start_secs=0.2, stop_secs=0.2, min_volume=0.3)

    class PhoneVAD(SileroVADAnalyzer):
        def __init__(self) -> None:
            # Silero's own constructor would load the model again for every call.
            VADAnalyzer.__init__(self, params=lenient)
            self._executor.shutdown(wait=False)  # the model runs on the event loop
            self._model: Any = Memory()
            self._windows_since_reset = 0
            self._low_confidence_windows = 0
            self._sure = 0.0
            self._room: Room | None = None
            self._loudness_known = False

        @property
        def stirring(self) -> bool:
            return self._vad_state is VADState.STARTING

        @property
        def agent_speaking(self) -> bool:
            return self._params is strict

        @agent_speaking.setter
        def agent_speaking(self, speaking: bool) -> None:
            # set_params would forget speech that is going on; only the thresholds change here.
            self._params = strict if speaking else lenient
            if self.sample_rate:
                window = self.num_frames_required() / self.sample_rate
                self._vad_start_frames = round(self._params.start_secs / window)

        async def analyze_audio(self, buffer: bytes) -> VADState:
            state = self._vad_state
            while buffer:
                missing = self._vad_frames_num_bytes - len(self._vad_buffer)
                piece, buffer = buffer[:missing], buffer[missing:]
                if len(piece) == missing:
                    self._sure = await windows(session).ask(
                        self._model, self._vad_buffer + piece, self.sample_rate
                    )
                state = self._run_analyzer(piece)
            return state

        def voice_confidence(self, buffer: bytes) -> float:
            self._maybe_reset_model(self._sure)
            if self._room is None:
                self._room = Room(self.num_frames_required() / self.sample_rate)
            voice = self._sure >= self._params.confidence
            speaking = self._vad_state in (VADState.SPEAKING, VADState.STOPPING)
            return self._sure if self._room.near(buffer, voice=voice, speaking=speaking) else 0.0

        def _get_smoothed_volume(self, audio: bytes) -> float:
            # Loudness is half as dear as the model; where no volume is too low, nobody looks.
            if self._params.min_volume > 0:
                if not self._loudness_known:
                    self._loudness_known = True
                    self._volume_tracker.update(audio, self.sample_rate)
                    return float(self._volume_tracker.volume)
                return float(super()._get_smoothed_volume(audio))
            self._loudness_known = False
            self._volume_tracker.update(audio, self.sample_rate)
            return 0.0

    return PhoneVAD()


class VadSettings(Settings):
    """Silence as a detector."""

    silence: float = Field(
        0.8, ge=0.3, le=3.0, description="Seconds of silence after which the caller is done."
    )


def build(settings: VadSettings, call: Call) -> TurnPlan:
    """Propose the end of a turn after so much silence."""
    from pipecat.turns.user_stop import SpeechTimeoutUserTurnStopStrategy

    # The voice detector itself waits 0.2 s before it reports silence.
    timeout = max(0.0, settings.silence - 0.2)
    return TurnPlan(
        stop=SpeechTimeoutUserTurnStopStrategy(user_speech_timeout=timeout),
        vad=phone_vad(),
        patience=settings.silence + 1.0,
    )


@hookimpl
def register_turn() -> Iterable[Turn[VadSettings]]:
    """Offer silence as a detector."""
    yield Turn(name="vad", settings=VadSettings, build=build, summary="Silence alone ends a turn.")
