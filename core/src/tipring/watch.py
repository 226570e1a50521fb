"""Writes into the journal what the pipeline does by itself: the model, its tools, phrases."""

from __future__ import annotations

from pipecat.frames.frames import (
    ErrorFrame,
    FunctionCallInProgressFrame,
    FunctionCallResultFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    TTSSpeakFrame,
)
from pipecat.observers.base_observer import BaseObserver, FramePushed
from pipecat.processors.aggregators.llm_response_universal import LLMUserAggregator

from tipring.journal import Journal
from tipring.speech.player import PhraseDesk, SpeakPhraseFrame


class Watch(BaseObserver):
    """Sees every frame once, from the side.

    Args:
        journal: Where it writes.
    """

    def __init__(self, journal: Journal) -> None:
        super().__init__(observe_every_push=False)
        self._journal = journal
        self._tools: set[str] = set()

    async def on_push_frame(self, data: FramePushed) -> None:
        """Note what matters of a frame."""
        frame = data.frame
        match frame:
            case LLMContextFrame() if isinstance(data.source, LLMUserAggregator):
                self._journal.note("llm.started")
            case LLMFullResponseEndFrame():
                self._journal.note("llm.ended")
            case TTSSpeakFrame() | SpeakPhraseFrame() if isinstance(data.source, PhraseDesk):
                self._journal.note("agent.said", text=frame.text)
            case FunctionCallInProgressFrame() if frame.tool_call_id not in self._tools:
                self._tools.add(frame.tool_call_id)
                self._journal.note("tool.called", name=frame.function_name)
            case FunctionCallResultFrame() if frame.tool_call_id in self._tools:
                self._tools.discard(frame.tool_call_id)
                self._journal.note("tool.done", name=frame.function_name)
            case ErrorFrame():
                # The error may quote the conversation, so only its place is told.
                self._journal.note(
                    "problem", where=str(frame.processor or data.source), what="an error, see log"
                )
