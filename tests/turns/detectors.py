"""Three kinds of detector that say what a script tells them: Smart Turn's, Flux's, a stranger's."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from pipecat.audio.turn.base_turn_analyzer import (
    BaseTurnAnalyzer,
    BaseTurnParams,
    EndOfTurnState,
)
from pipecat.frames.frames import (
    Frame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.metrics.metrics import MetricsData
from pipecat.turns.types import ProcessFrameResult
from pipecat.turns.user_stop import (
    BaseUserTurnStopStrategy,
    ExternalUserTurnStopStrategy,
    TurnAnalyzerUserTurnStopStrategy,
)
from tipring.providers import TurnPlan

DETECTORS = ("smart", "flux", "third")


@dataclass
class Script:
    """What the detector is to say at the next silence."""

    verdict: str = "complete"
    chunk: float = 0.1
    """Seconds of sound in one frame: few frames, and the analyzer counts its silence in them."""

    async def play(self) -> None:
        if self.verdict == "raises":
            raise RuntimeError("the model is broken")
        if self.verdict == "hangs":
            await asyncio.Event().wait()

    @property
    def complete(self) -> bool:
        return self.verdict == "complete"


class ScriptedAnalyzer(BaseTurnAnalyzer):
    """Stands where Smart Turn's model does; its silence cap is 0.7 s."""

    def __init__(self, script: Script) -> None:
        super().__init__()
        self._script = script
        self._silence: float | None = None

    @property
    def speech_triggered(self) -> bool:
        return self._silence is not None

    @property
    def params(self) -> BaseTurnParams:
        return BaseTurnParams()

    def append_audio(self, buffer: bytes, is_speech: bool) -> EndOfTurnState:
        if is_speech:
            self._silence = 0.0
        elif self._silence is not None and self._script.verdict != "deaf":
            self._silence += self._script.chunk
            if self._silence > 0.69:
                self.clear()
                return EndOfTurnState.COMPLETE
        return EndOfTurnState.INCOMPLETE

    async def analyze_end_of_turn(self) -> tuple[EndOfTurnState, MetricsData | None]:
        await self._script.play()
        if self._script.complete:
            self.clear()
            return EndOfTurnState.COMPLETE, None
        return EndOfTurnState.INCOMPLETE, None

    def update_vad_start_secs(self, vad_start_secs: float) -> None: ...

    def clear(self) -> None:
        self._silence = None

    async def cleanup(self) -> None: ...


class ThirdParty(BaseUserTurnStopStrategy):
    """Knows nothing of transcripts: proposes at the silence, or a second later when unsure."""

    def __init__(self, script: Script) -> None:
        super().__init__()
        self._script = script
        self._later: asyncio.Task[None] | None = None

    async def process_frame(self, frame: Frame) -> ProcessFrameResult:
        if isinstance(frame, VADUserStartedSpeakingFrame):
            await self._forget()
        elif isinstance(frame, VADUserStoppedSpeakingFrame):
            await self._script.play()
            if self._script.complete:
                await self.trigger_user_turn_stopped()
            elif self._script.verdict != "deaf":
                self._later = self.create_task(self._propose_later(), "third party")
        return ProcessFrameResult.CONTINUE

    async def cleanup(self) -> None:
        await self._forget()

    async def _propose_later(self) -> None:
        await asyncio.sleep(1.0)
        self._later = None
        await self.trigger_user_turn_stopped()

    async def _forget(self) -> None:
        task, self._later = self._later, None
        if task:
            await self.cancel_task(task)


class Flux(ExternalUserTurnStopStrategy):
    """Flux's strategy, which can be made to fail as any code can."""

    def __init__(self, script: Script) -> None:
        super().__init__()
        self._script = script

    async def process_frame(self, frame: Frame) -> ProcessFrameResult:
        if isinstance(frame, TranscriptionFrame):
            await self._script.play()
        return await super().process_frame(frame)


def a_plan(detector: str, script: Script) -> TurnPlan:
    match detector:
        case "smart":
            analyzer = ScriptedAnalyzer(script)
            stop = TurnAnalyzerUserTurnStopStrategy(turn_analyzer=analyzer)
            return TurnPlan(stop=stop, patience=1.7, doubt=lambda: float(not script.complete))
        case "flux":
            return TurnPlan(stop=Flux(script), patience=3.0)
        case _:
            return TurnPlan(stop=ThirdParty(script), patience=1.7)
