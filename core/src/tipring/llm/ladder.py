"""The ladder: one LLM service over several rungs, and one answer a turn.

Before the first complete sentence any failure is the next rung's turn, and nothing was said. After
it the answer is that rung's alone: it may end early, but it is never said twice and never breaks
off inside a sentence.
"""

from __future__ import annotations

import asyncio
import logging
import re
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

from pipecat.frames.frames import (
    EagerEndOfTurnCancelFrame,
    Frame,
    FunctionCallFromLLM,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
)
from pipecat.metrics.metrics import LLMTokenUsage, MetricsData
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.llm_service import LLMService
from pipecat.services.settings import LLMSettings
from pipecat.utils.errors import ErrorCategory

from tipring.llm import sentry
from tipring.llm.adapter import UniversalAdapter
from tipring.llm.attempt import Attempt
from tipring.llm.breaker import Breakers
from tipring.llm.failures import RungFailed, sentence_of
from tipring.llm.race import first_to_commit
from tipring.llm.sentence_frame import SentenceFrame
from tipring.providers import Rung, ToolCall, Usage

log = logging.getLogger(__name__)

# What Anthropic (letters, digits, _ and -) and OpenAI (at most 40 characters) both take back.
_PORTABLE_ID = re.compile(r"[A-Za-z0-9_-]{1,40}")


class LadderLLMService(LLMService[UniversalAdapter]):
    """Answers with the first rung that can.

    What it says comes as :class:`SentenceFrame`, each one whole sentence. Its event handlers are
    awaited in order, so keep them short:

    - ``on_first_token(service, rung)``: a rung was heard of, though it may still fail.
    - ``on_rung_used(service, rung)``: the rung whose answer this is.
    - ``on_rung_failed(service, rung, error, moment)``: a sentence that holds nothing of the
      conversation, and how far the answer had come: ``before the first token``, ``before the first
      sentence`` or ``after the first sentence``.
    - ``on_exhausted(service)``: no rung could answer; the ladder said nothing and the host owes
      the caller an apology. It comes after the end of the empty response.

    Args:
        rungs: Names and rungs, top rung first.
        system: The agent's instructions.
        language: The language of the conversation, a BCP 47 tag: where sentences end.
        commit_within: Seconds a rung has for its first complete sentence.
        idle_within: Seconds from one sentence to the next, after that.
        hedge_after: Seconds of silence after which the next rung starts beside the one asked; None
            for strictly one after the other.
        breakers: Which rungs are being left alone. The host passes one for all its calls; without
            it, a call finds out for itself.

    Raises:
        ValueError: There is no rung, or two have the same name.
    """

    adapter_class = UniversalAdapter

    def __init__(
        self,
        rungs: Sequence[tuple[str, Rung]],
        *,
        system: str,
        language: str = "en",
        commit_within: float = 8.0,
        idle_within: float = 8.0,
        hedge_after: float | None = None,
        breakers: Breakers | None = None,
    ) -> None:
        if not rungs:
            raise ValueError("A ladder needs at least one rung.")
        names = tuple(name for name, _ in rungs)
        if len(set(names)) != len(names):
            raise ValueError("Two rungs of the ladder have the same name.")
        super().__init__(
            settings=LLMSettings(
                model="ladder",
                system_instruction=system,
                temperature=None,
                max_tokens=None,
                top_p=None,
                top_k=None,
                frequency_penalty=None,
                presence_penalty=None,
                seed=None,
                filter_incomplete_user_turns=False,
                user_turn_completion_config=None,
                use_provider_thinking_default=False,
            )
        )
        self._rungs = tuple(rungs)
        self._names = names
        self._language = language
        self._commit_within = commit_within
        self._idle_within = idle_within
        self._hedge_after = hedge_after
        self._breakers = breakers if breakers is not None else Breakers()
        self._spent: list[Attempt] = []
        for event in ("on_first_token", "on_rung_used", "on_rung_failed", "on_exhausted"):
            self._register_event_handler(event, sync=True)

    def can_generate_metrics(self) -> bool:
        """Times to first token and token counts are reported."""
        return True

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Answer a context; let everything else pass.

        Args:
            frame: The frame.
            direction: Where it goes.
        """
        await super().process_frame(frame, direction)
        if not isinstance(frame, LLMContextFrame):
            await self.push_frame(frame, direction)
            return
        answered = False
        await self.push_frame(LLMFullResponseStartFrame())
        await self.start_processing_metrics()
        try:
            answered = await self._answer(frame.context)
        finally:
            await self.stop_processing_metrics()
            await self.push_frame(LLMFullResponseEndFrame())
        if not answered:
            await self._give_up()

    async def run_inference(
        self,
        context: LLMContext,
        max_tokens: int | None = None,
        system_instruction: str | None = None,
        response_schema: dict[str, Any] | None = None,
    ) -> str | None:
        """Ask once, outside the conversation: a summary, a note for after the call.

        Args:
            context: What to answer.
            max_tokens: Has no effect: a rung's own limit holds.
            system_instruction: Instructions instead of the agent's.
            response_schema: Has no effect, which is logged.

        Raises:
            RungFailed: No rung could answer.
        """
        self._check_response_schema(response_schema)
        system = self._system() if system_instruction is None else system_instruction
        for attempt in self._attempts(context, system, _unheard):
            breaker = self._breakers.of(attempt.name)
            try:
                await attempt.commit()
                text = "".join([sentence async for sentence in attempt.sentences()])
            except RungFailed as failure:
                await self._lost(attempt, failure.sentence)
            except BaseException:
                breaker.released()
                raise
            else:
                breaker.succeeded()
                return text or None
            finally:
                await attempt.close()
        raise RungFailed("no rung could answer")

    @property
    def spent(self) -> Usage:
        """What the answer that is being made has cost so far, by all rungs that were asked.

        A rung that is stopped tells no more of its tokens than it had told by then; what it had
        said is counted by the pieces it came in, of a token each or a few.
        """
        told = [usage for attempt in self._spent for usage in attempt.usage]
        return Usage(
            prompt=sum(usage.prompt for usage in told),
            completion=max(
                sum(usage.completion for usage in told),
                sum(attempt.pieces for attempt in self._spent),
            ),
            cached=sum(usage.cached for usage in told),
        )

    async def cleanup(self) -> None:
        """Let go of every rung."""
        await super().cleanup()
        for name, rung in self._rungs:
            try:
                await rung.aclose()
            except Exception as error:
                log.warning("rung %s did not close: %s", name, sentence_of(error))

    def _system(self) -> str:
        # Pipecat composes its own additions into the setting.
        system = self._settings.system_instruction
        return system if isinstance(system, str) else ""

    def _order(self) -> Iterator[tuple[str, Rung]]:
        """The rungs worth asking, then the ones that are being left alone: better than silence."""
        skipped = []
        for name, rung in self._rungs:
            if self._breakers.of(name).admit():
                yield name, rung
            else:
                skipped.append((name, rung))
        yield from skipped

    def _attempts(
        self, context: LLMContext, system: str, on_token: Callable[[str], Awaitable[None]]
    ) -> Iterator[Attempt]:
        for name, rung in self._order():
            yield Attempt(
                name,
                rung,
                context,
                system=system,
                language=self._language,
                commit_within=self._commit_within,
                idle_within=self._idle_within,
                on_token=on_token,
            )

    def _counted(self, attempts: Iterator[Attempt]) -> Iterator[Attempt]:
        """Keep them, so that it is known what they cost."""
        self._spent = []
        for attempt in attempts:
            self._spent.append(attempt)
            yield attempt

    async def _answer(self, context: LLMContext) -> bool:
        """Say one rung's answer; False when there was none."""
        await self.start_ttfb_metrics()
        attempt = await first_to_commit(
            self._counted(self._attempts(context, self._system(), self._first_token)),
            hedge_after=self._hedge_after,
            on_failed=self._lost,
            on_let_go=lambda attempt: self._breakers.of(attempt.name).released(),
        )
        if attempt is None:
            return False
        breaker = self._breakers.of(attempt.name)
        try:
            self.set_core_metrics_data(MetricsData(processor=self.name, model=attempt.name))
            await self._call_event_handler("on_rung_used", attempt.name)
            async for sentence in attempt.sentences():
                await self.push_frame(SentenceFrame(text=sentence.strip()))
            breaker.succeeded()
            await self._report_usage(attempt)
            await self._run_tools(attempt.calls, context)
        except RungFailed as failure:
            # What was said stands, and a second answer would be worse than a short one.
            await self._lost(attempt, failure.sentence)
            await self.push_error(
                f"rung {attempt.name} failed {attempt.moment}: {failure.sentence}",
                category=ErrorCategory.UNKNOWN,
            )
        except asyncio.CancelledError:
            breaker.succeeded()
            raise
        finally:
            await attempt.close()
        return True

    async def _run_tools(self, calls: Sequence[ToolCall], context: LLMContext) -> None:
        taken = _call_ids(context)
        asked = []
        for call in calls:
            portable = _PORTABLE_ID.fullmatch(call.id) and call.id not in taken
            id = call.id if portable else f"call_{uuid.uuid4().hex}"
            taken.add(id)
            asked.append(
                FunctionCallFromLLM(
                    context=context,
                    tool_call_id=id,
                    function_name=call.name,
                    arguments=dict(call.arguments),
                )
            )
        # Behind an unconfirmed turn Pipecat withdraws the answer here instead: a tool's effect
        # could not be taken back.
        await self.run_function_calls(asked)

    async def _report_usage(self, attempt: Attempt) -> None:
        for usage in attempt.usage:
            await self.start_llm_usage_metrics(
                LLMTokenUsage(
                    prompt_tokens=usage.prompt,
                    completion_tokens=usage.completion,
                    total_tokens=usage.prompt + usage.completion,
                    cache_read_input_tokens=usage.cached,
                )
            )

    async def _give_up(self) -> None:
        if self._speculation_gate.is_speculating:
            # The caller may not be done, so no apology is owed yet. The answer is withdrawn, as for
            # a tool call, and the ladder is asked again when the turn is committed.
            await self.broadcast_frame(EagerEndOfTurnCancelFrame)
            return
        log.error("no rung could answer")
        sentry.report_exhaustion(self._names)
        await self._call_event_handler("on_exhausted")

    async def _first_token(self, name: str) -> None:
        await self.stop_ttfb_metrics()
        await self._call_event_handler("on_first_token", name)

    async def _lost(self, attempt: Attempt, reason: str) -> None:
        self._breakers.of(attempt.name).failed()
        await self._failed(attempt.name, reason, attempt.moment)

    async def _failed(self, name: str, reason: str, moment: str) -> None:
        log.warning("rung %s failed %s: %s", name, moment, reason)
        sentry.leave_breadcrumb(name, reason, moment)
        await self._call_event_handler("on_rung_failed", name, reason, moment)


async def _unheard(rung: str) -> None:
    """Outside the conversation nobody waits for a first token."""


def _call_ids(context: LLMContext) -> set[str]:
    """The ids of the tool calls that the conversation already holds."""
    ids: set[str] = set()
    for message in context.get_messages():
        calls: Any = message.get("tool_calls") if isinstance(message, dict) else None
        ids.update(call["id"] for call in calls or ())
    return ids
