"""The receptionist as a rung of the ladder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from tipring.providers import End, RungEvent, TextDelta, ToolCall

from tipring_llm_receptionist.business import Business
from tipring_llm_receptionist.talk import answer

if TYPE_CHECKING:
    from pipecat.processors.aggregators.llm_context import LLMContext

HANG_UP = "hang_up"
"""The host's tool that ends the call."""


class Receptionist:
    """Answers any context by the script, and remembers nothing.

    Args:
        business: Whose phone this is.
        delay: Seconds before the first word, as a model would take.
    """

    def __init__(self, business: Business, delay: float) -> None:
        self._business = business
        self._delay = delay

    async def stream(self, context: LLMContext, *, system: str) -> AsyncIterator[RungEvent]:
        """Say the next line of the script, word by word.

        Args:
            context: The conversation. ``hang_up`` is called after a goodbye if it is offered.
            system: Not heeded: a script is not instructed.
        """
        messages = context.get_messages()
        said = answer(messages, self._business)
        await asyncio.sleep(self._delay)
        for number, word in enumerate(said.text.split()):
            yield TextDelta(text=f" {word}" if number else word)
            await asyncio.sleep(0)
        if said.hang_up and HANG_UP in _offered(context):
            # The same context gives the same call, and a longer one another id.
            yield ToolCall(id=f"{HANG_UP}_{len(messages)}", name=HANG_UP)
        yield End()

    async def aclose(self) -> None:
        """Nothing is held."""


def _offered(context: LLMContext) -> set[str]:
    from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema

    tools = context.tools
    return {t.name for t in tools.standard_tools} if isinstance(tools, ToolsSchema) else set()
