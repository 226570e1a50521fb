"""One rung's try at one answer: read up to the first sentence, then sentence by sentence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

from tipring.llm.failures import RungFailed, sentence_of
from tipring.llm.sentences import Sentences
from tipring.providers import End, Rung, RungEvent, TextDelta, ToolCall, Usage

if TYPE_CHECKING:
    from pipecat.processors.aggregators.llm_context import LLMContext

CUT_SHORT = frozenset({"length", "max_tokens", "model_context_window_exceeded"})
"""Reasons to stop that leave a fragment behind: the model ran out of tokens."""

NOT_AN_ANSWER = frozenset({"refusal", "content_filter", "pause_turn", "error"})
"""Reasons to stop with which whatever was written is not the answer. Any reason that stands in
neither set ends a whole answer, whatever the provider calls it."""


class Attempt:
    """A rung answering one context.

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
        self._stream: AsyncIterator[RungEvent] = rung.stream(context, system=system)
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
        close = getattr(self._stream, "aclose", None)
        if close is None:
            return
        try:
            await close()
        except Exception:
            # What became of a request that nobody wants any more is no news.
            return

    async def _read_on(self, seconds: float, missing: str) -> None:
        """Read until a sentence is ready or the answer ends."""
        try:
            async with asyncio.timeout(seconds) as limit:
                while not self._ready and not self._ended:
                    await self._read()
        except TimeoutError as error:
            if limit.expired():
                raise RungFailed(f"{missing} within {seconds:g} s") from None
            raise RungFailed(sentence_of(error)) from None
        except Exception as error:
            raise RungFailed(sentence_of(error)) from None

    async def _read(self) -> None:
        try:
            event = await anext(self._stream)
        except StopAsyncIteration:
            raise RungFailed("the stream ended early") from None
        if isinstance(event, TextDelta):
            if event.text:
                await self._token()
                self._ready += await self._sentences.feed(event.text)
        elif isinstance(event, ToolCall):
            await self._token()
            self.calls.append(event)
        elif isinstance(event, Usage):
            self.usage.append(event)
        elif isinstance(event, End):
            await self._end(event.reason)

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
