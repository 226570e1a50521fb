"""One rung's try at one answer: read up to the first sentence, then sentence by sentence."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tipring.llm.failures import RungFailed, sentence_of
from tipring.llm.sentences import Sentences
from tipring.providers import End, Rung, RungEvent, TextDelta, ToolCall, Usage

if TYPE_CHECKING:
    from pipecat.processors.aggregators.llm_context import LLMContext

log = logging.getLogger(__name__)

CLOSE_WITHIN = 0.3
"""Seconds a rung gets to close its request before it is left to itself."""

CUT_SHORT = frozenset({"length", "max_tokens", "model_context_window_exceeded"})
"""Reasons to stop that leave a fragment behind: the model ran out of tokens."""

NOT_AN_ANSWER = frozenset({"refusal", "content_filter", "pause_turn", "error"})
"""Reasons to stop with which whatever was written is not the answer. Any reason that stands in
neither set ends a whole answer, whatever the provider calls it."""


_strays: set[asyncio.Task[None]] = set()


@dataclass(frozen=True)
class _Over:
    """The stream is over, and how."""

    error: BaseException | None = None


class Attempt:
    """A rung answering one context.

    The rung is read in a task of its own, so that a deadline or an interruption holds for a rung
    that does not listen to them as well.

    Args:
        name: The rung's name.
        rung: The rung.
        context: What it answers.
        system: The agent's instructions.
        language: A BCP 47 tag, for where sentences end.
        commit_within: Seconds from :meth:`commit` to the first complete sentence.
        idle_within: Seconds from one sentence to the next, after that.
        on_token: Awaited once, with the rung's name, when it is first heard of.
    """

    def __init__(
        self,
        name: str,
        rung: Rung,
        context: LLMContext,
        *,
        system: str,
        language: str,
        commit_within: float,
        idle_within: float,
        on_token: Callable[[str], Awaitable[None]],
    ) -> None:
        self.name = name
        self.heard = False
        self.committed = False
        self.calls: list[ToolCall] = []
        self.usage: list[Usage] = []
        self.pieces = 0
        self._said: asyncio.Queue[RungEvent | _Over] = asyncio.Queue()
        self._reader = asyncio.create_task(self._listen(rung, context, system))
        self._sentences = Sentences(language)
        self._ready: list[str] = []
        self._ended = False
        self._commit_within = commit_within
        self._idle_within = idle_within
        self._on_token = on_token

    @property
    def moment(self) -> str:
        """How far the answer had come, for the record of a failure."""
        if self.committed:
            return "after the first sentence"
        return "before the first sentence" if self.heard else "before the first token"

    async def commit(self) -> None:
        """Read until there is a sentence to say, or a whole answer.

        Raises:
            RungFailed: There will be none; nothing was said.
        """
        await self._read_on(self._commit_within, "no complete sentence")
        self.committed = True

    async def sentences(self) -> AsyncIterator[str]:
        """What the agent says, from the first sentence on, each one whole.

        Raises:
            RungFailed: The answer broke off; the sentences given so far stand.
        """
        while True:
            while self._ready:
                yield self._ready.pop(0)
            if self._ended:
                return
            await self._read_on(self._idle_within, "no further sentence")

    async def close(self) -> None:
        """Let the request go, wherever it is."""
        self._reader.cancel()
        await asyncio.wait({self._reader}, timeout=CLOSE_WITHIN)
        if not self._reader.done():
            log.warning("rung %s does not let go of its request", self.name)
            _strays.add(self._reader)
            self._reader.add_done_callback(_strays.discard)

    async def _listen(self, rung: Rung, context: LLMContext, system: str) -> None:
        """Put down what the rung says until it is over."""
        try:
            async with aclosing(_closable(rung.stream(context, system=system))) as stream:
                async for event in stream:
                    self._said.put_nowait(event)
                    if isinstance(event, End):
                        break
        except asyncio.CancelledError as error:
            # Either nobody listens any more, or the rung did this to itself.
            self._said.put_nowait(_Over(error))
            raise
        except Exception as error:
            self._said.put_nowait(_Over(error))
        else:
            self._said.put_nowait(_Over())

    async def _read_on(self, seconds: float, missing: str) -> None:
        """Read until a sentence is ready or the answer ends."""
        try:
            async with asyncio.timeout(seconds):
                while not self._ready and not self._ended:
                    await self._hear(await self._said.get())
        except TimeoutError:
            raise RungFailed(f"{missing} within {seconds:g} s") from None

    async def _hear(self, event: RungEvent | _Over) -> None:
        match event:
            case TextDelta():
                if event.text:
                    self.pieces += 1
                    await self._token()
                    self._ready += await self._sentences.feed(event.text)
            case ToolCall():
                await self._token()
                self.calls.append(event)
            case Usage():
                self.usage.append(event)
            case End():
                await self._end(event.reason)
            case _Over(error=None):
                raise RungFailed("the stream ended early")
            case _Over(error=BaseException() as error):
                raise RungFailed(sentence_of(error)) from None

    async def _end(self, reason: str) -> None:
        if reason in NOT_AN_ANSWER:
            raise RungFailed(f"the model stopped with {reason!r}")
        left = await self._sentences.flush()
        if reason in CUT_SHORT:
            if self.calls or not (self.committed or self._ready):
                raise RungFailed(f"the answer was cut short ({reason!r})")
        elif left:
            self._ready.append(left)
        if not (self.committed or self._ready or self.calls):
            raise RungFailed("the answer is empty")
        self._ended = True

    async def _token(self) -> None:
        if not self.heard:
            self.heard = True
            await self._on_token(self.name)


async def _closable(stream: AsyncIterator[RungEvent]) -> AsyncGenerator[RungEvent, None]:
    """Any async iterator will do as a rung's stream; one that can be closed is closed in time."""
    try:
        async for event in stream:
            yield event
    finally:
        if isinstance(stream, AsyncGenerator):
            await stream.aclose()
