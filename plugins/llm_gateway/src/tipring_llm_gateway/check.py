"""Whether a rung would work, asked of the real service before a caller does."""

from __future__ import annotations

import asyncio

from pipecat.processors.aggregators.llm_context import LLMContext
from tipring.errors import PluginError
from tipring.llm.failures import RungFailed, sentence_of
from tipring.providers import Call, Rung

from tipring_llm_gateway import build, clients
from tipring_llm_gateway.route import Route, route_of
from tipring_llm_gateway.settings import GatewaySettings

_ENV = {
    "anthropic": "ANTHROPIC_API_KEY",
    "openai": "OPENAI_API_KEY",
    "workers-ai": "CLOUDFLARE_API_TOKEN",
    "server": "LLM_SERVER_API_KEY",
}
_CALL = Call(id="check")


def problems(settings: GatewaySettings) -> list[str]:
    """Ask for a word and tell what stands in the way: a sentence, a semicolon, and its mend.

    Blocks for as long as the request takes, and costs a few tokens.

    Args:
        settings: One rung's settings.
    """
    asked = settings.model_copy(update={"max_tokens": 16})
    try:
        route = route_of(asked, _CALL.id)
        rung = build(asked, _CALL)
    except PluginError as error:
        return [f"{error.what}; {error.fix}"]
    told = asyncio.run(_ask(rung))
    if told is None:
        return []
    return [f"{settings.model}: {told}; {_mend(told, route, settings)}"]


async def _ask(rung: Rung) -> str | None:
    context = LLMContext(messages=[{"role": "user", "content": "Say yes."}])
    try:
        async for _ in rung.stream(context, system="Answer with one word."):
            return None
        return "the answer is empty"
    except RungFailed as error:
        return error.sentence
    except Exception as error:
        return sentence_of(error)
    finally:
        await clients.close_clients()


def _mend(told: str, route: Route, settings: GatewaySettings) -> str:
    env = "CLOUDFLARE_API_TOKEN" if settings.api == "rest" else _ENV[route.provider]
    if "the gateway refused the token" in told:
        return "set $CF_AIG_TOKEN to a token with the permission AI Gateway Run"
    if "no such gateway" in told:
        return f'look for "{settings.gateway}" under AI > AI Gateway in account {settings.account}'
    if "refused the token" in told or "the key" in told:
        return f"set ${env} to a key that works there"
    if "no such model" in told:
        return "look the model's name up with its provider"
    if "credit" in told:
        return "add credit to the account"
    if "did not answer" in told or "the connection" in told:
        return f"look at the network, and whether {route.base_url} is right"
    return "try again in a minute; if it stays, ask the provider"
