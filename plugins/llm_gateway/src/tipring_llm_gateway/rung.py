"""What every rung behind the gateway does the same way, whoever's protocol it speaks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from tipring.llm.failures import RungFailed
from tipring.providers import RungEvent

from tipring_llm_gateway import clients
from tipring_llm_gateway.explain import explained

if TYPE_CHECKING:
    from pipecat.processors.aggregators.llm_context import LLMContext

    from tipring_llm_gateway.route import Route
    from tipring_llm_gateway.settings import GatewaySettings


class GatewayRung(ABC):
    """Asks over one SDK, and tells its failures in sentences.

    Args:
        settings: The rung's settings.
        route: Where its requests go.
    """

    sdk: ClassVar[Any]
    """The module ``anthropic`` or ``openai``."""

    key_header: ClassVar[str]
    """The header that carries the key, left out where the gateway has one stored."""

    def __init__(self, settings: GatewaySettings, route: Route) -> None:
        self._settings = settings
        self._route = route
        clients.tls()

    async def stream(self, context: LLMContext, *, system: str) -> AsyncIterator[RungEvent]:
        """Answer the context.

        Args:
            context: Messages, tools and tool choice.
            system: The agent's instructions.

        Raises:
            RungFailed: In a sentence that quotes nothing.
        """
        request = await self._request(context, system)
        try:
            async with aclosing(self._answer(request)) as events:
                async for event in events:
                    yield event
        except Exception as error:
            told = explained(error, sdk=self.sdk, host=urlsplit(self._route.base_url).netloc)
            if told is None:
                raise
            raise RungFailed(told) from None

    async def aclose(self) -> None:  # noqa: B027 - there is nothing to let go of
        """Nothing belongs to this call alone: the client is the process's."""

    def _headers(self) -> Mapping[str, Any]:
        if self._route.key is not None:
            return self._route.headers
        return {**self._route.headers, self.key_header: self.sdk.Omit()}

    @abstractmethod
    async def _request(self, context: LLMContext, system: str) -> dict[str, Any]:
        """Say the context in the SDK's words."""

    @abstractmethod
    def _answer(self, request: Mapping[str, Any]) -> AsyncGenerator[RungEvent, None]:
        """Send a request and give its events. Closing it closes the request."""
