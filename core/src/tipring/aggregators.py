"""Pipecat's two aggregators, without the ways on which sound goes through them for nothing."""

from __future__ import annotations

from pipecat.audio.vad.vad_controller import VADController
from pipecat.frames.frames import (
    Frame,
    InputAudioRawFrame,
    InterimTranscriptionFrame,
    OutputAudioRawFrame,
    StartFrame,
    TranscriptionFrame,
    UserSpeakingFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    LLMAssistantAggregator,
    LLMUserAggregator,
    LLMUserAggregatorParams,
)
from pipecat.processors.frame_processor import FrameCallback, FrameDirection

from tipring.turns.echo import Echo


class Listener(LLMUserAggregator):
    """Pipecat's user aggregator, which hears the caller's sound where it comes in.

    The sound goes to the voice detector and to the rules of the turns, which keep nobody waiting,
    in the task that brings it, and ends here: nobody behind needs it. In Pipecat it goes through a
    queue first, and on to the end of the pipeline.

    Args:
        conversation: As in Pipecat.
        params: As in Pipecat.
        echo: Takes the agent's own words out of the caller's.
    """

    _started = False

    def __init__(
        self, conversation: LLMContext, *, params: LLMUserAggregatorParams, echo: Echo
    ) -> None:
        super().__init__(conversation, params=params)
        self._echo = echo

    async def queue_frame(
        self,
        frame: Frame,
        direction: FrameDirection = FrameDirection.DOWNSTREAM,
        callback: FrameCallback | None = None,
    ) -> None:
        """Take a frame; sound at once."""
        if not isinstance(frame, InputAudioRawFrame) or not self._started:
            await super().queue_frame(frame, direction, callback)
        elif not self._cancelling:
            await self._hear(frame)

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Take part in the conversation."""
        if isinstance(frame, InputAudioRawFrame):
            await self._hear(frame)
            return
        if isinstance(frame, InterimTranscriptionFrame | TranscriptionFrame):
            if not self._echo.leaves(frame):
                return
        await super().process_frame(frame, direction)
        if isinstance(frame, StartFrame):
            self._started = True

    async def pulse(self, frame: Frame) -> None:
        """Let the rules of the turns know that somebody is still speaking, and nobody else."""
        await self._user_turn_controller.process_frame(frame)

    async def _hear(self, frame: InputAudioRawFrame) -> None:
        if self._vad_controller is not None:
            await self._vad_controller.process_frame(frame)
        await self._user_turn_controller.process_frame(frame)

    async def _on_vad_speech_activity(self, controller: VADController) -> None:
        await self.pulse(UserSpeakingFrame())


class Rememberer(LLMAssistantAggregator):
    """Pipecat's assistant aggregator, without the way of the agent's sound through it."""

    async def queue_frame(
        self,
        frame: Frame,
        direction: FrameDirection = FrameDirection.DOWNSTREAM,
        callback: FrameCallback | None = None,
    ) -> None:
        """Take a frame; sound has been heard, and ends here."""
        if not isinstance(frame, OutputAudioRawFrame):
            await super().queue_frame(frame, direction, callback)
