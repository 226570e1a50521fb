"""What Pipecat asks of every LLM service's adapter, for a service that has no provider.

Pipecat would otherwise give the ladder OpenAI's, and load the SDK for it on the event loop of a
live call.
"""

from __future__ import annotations

from typing import Any

from pipecat.adapters.llm.base_llm_adapter import BaseLLMAdapter
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.processors.aggregators.llm_context import LLMContext


class UniversalAdapter(BaseLLMAdapter[dict[str, Any]]):
    """Leaves a context as it is: each rung converts it for its own provider."""

    @property
    def id_for_llm_specific_messages(self) -> str:
        """The mark of messages that only the ladder would understand; there are none."""
        return "tipring"

    async def get_llm_invocation_params(self, context: LLMContext, **kwargs: Any) -> dict[str, Any]:
        """The context's messages, unconverted.

        Args:
            context: The context.
            **kwargs: Unused.
        """
        return {"messages": self.get_messages(context)}

    def to_provider_tools_format(self, tools_schema: ToolsSchema) -> list[Any]:
        """The tools in their standard form.

        Args:
            tools_schema: The tools.
        """
        return [tool.to_default_dict() for tool in tools_schema.standard_tools]

    def get_messages_for_logging(self, context: LLMContext) -> list[dict[str, Any]]:
        """Nothing: what was said is not for logs.

        Args:
            context: The context.
        """
        return []
