"""Writes into the journal what the pipeline does by itself: the model, its tools, phrases."""

from __future__ import annotations

from collections.abc import Sequence

from pipecat.frames.frames import (
    ErrorFrame,
    FunctionCallInProgressFrame,
    FunctionCallResultFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    TTSSpeakFrame,
)
from pipecat.observers.base_observer import BaseObserver, FramePushed
from pipecat.pipeline.worker import PipelineWorker
from pipecat.pipeline.worker_observer import WorkerObserver
from pipecat.processors.aggregators.llm_response_universal import LLMUserAggregator
from pipecat.services.llm_service import LLMService

from tipring.journal import Journal
from tipring.speech.player import PhraseDesk, SpeakPhraseFrame


class Watch(WorkerObserver):
    """Sees every step of every frame from the side, and shows it to the observers of plugins.

    It looks at each where it happens. Pipecat's own gives all of them to every observer through a
    queue, and one that wakes up for each step of fifty frames of sound a second was a sixth of what
    the event loop did.

    Args:
        journal: Where it writes.
        observers: Those of the plugins, each behind its queue.
    """

    def __init__(self, journal: Journal, observers: Sequence[BaseObserver] = ()) -> None:
        super().__init__(observers=[*observers])
        self._journal = journal
        self._tools: set[str] = set()
        self._errors: set[int] = set()

    def join(self, worker: PipelineWorker) -> None:
        """Watch a pipeline that has not begun."""
        worker._observer = self

    async def on_push_frame(self, data: FramePushed) -> None:
        """Note what matters of a frame, and show it."""
        self._note(data)
        if self._observers:
            await super().on_push_frame(data)

    def _note(self, data: FramePushed) -> None:
        frame, source = data.frame, data.source
        match frame:
            case LLMContextFrame() if isinstance(source, LLMUserAggregator):
                self._journal.note("llm.started")
            case LLMFullResponseEndFrame() if isinstance(source, LLMService):
                self._journal.note("llm.ended")
            case TTSSpeakFrame() | SpeakPhraseFrame() if isinstance(source, PhraseDesk):
                self._journal.note("agent.said", text=frame.text)
            case FunctionCallInProgressFrame() if (
                isinstance(source, LLMService) and frame.tool_call_id not in self._tools
            ):
                self._tools.add(frame.tool_call_id)
                self._journal.note("tool.called", name=frame.function_name)
            case FunctionCallResultFrame() if frame.tool_call_id in self._tools:
                self._tools.discard(frame.tool_call_id)
                self._journal.note("tool.done", name=frame.function_name)
            case ErrorFrame() if frame.id not in self._errors:
                self._errors.add(frame.id)
                # The error may quote the conversation, so only its place is told.
                self._journal.note(
                    "problem", where=str(frame.processor or source), what="an error, see log"
                )
