"""Rungs behind Cloudflare AI Gateway, or any OpenAI-compatible server."""

from __future__ import annotations

from collections.abc import Iterable

from tipring.hookspecs import hookimpl
from tipring.providers import Call, Llm, Rung

from tipring_llm_gateway.settings import GatewaySettings

# Another way to the network, if one asks for it.
_NO_AIOHTTP = ("anthropic._vendor.httpx_aiohttp",)


def build(settings: GatewaySettings, call: Call) -> Rung:
    """Give the rung for one call. Opens no connection: the first request does.

    Args:
        settings: One rung's settings.
        call: The call; its id goes into the gateway's log.

    Raises:
        PluginError: A key is missing without which no request could succeed.
    """
    from tipring import lean

    from tipring_llm_gateway import rehearsal
    from tipring_llm_gateway.route import route_of

    route = route_of(settings, call.id)
    if route.speaks == "anthropic":
        lean.load("anthropic", later=["anthropic"], without=_NO_AIOHTTP, first=rehearsal.anthropic)
        from tipring_llm_gateway.anthropic_rung import AnthropicRung

        return AnthropicRung(settings, route)
    lean.load("openai", later=["openai"], first=rehearsal.openai)
    from tipring_llm_gateway.openai_rung import OpenAIRung

    return OpenAIRung(settings, route)


def online(settings: GatewaySettings) -> list[str]:
    """Ask for one word, and tell what stands in the way of it.

    Args:
        settings: One rung's settings.
    """
    from tipring_llm_gateway.check import problems

    return problems(settings)


@hookimpl
def register_llm() -> Iterable[Llm[GatewaySettings]]:
    """Offer the gateway as a rung."""
    yield Llm(
        name="gateway",
        settings=GatewaySettings,
        summary="Claude, GPT or Llama through Cloudflare AI Gateway, or any OpenAI-like server.",
        build=build,
        online=online,
    )
