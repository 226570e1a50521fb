"""Where a rung's requests go, and with which headers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import SecretStr
from tipring.errors import PluginError

from tipring_llm_gateway.settings import GatewaySettings

GATEWAY_ROOT = "https://gateway.ai.cloudflare.com/v1"
REST_ROOT = "https://api.cloudflare.com/client/v4"
_KEYS = {
    "anthropic": ("anthropic_api_key", "ANTHROPIC_API_KEY"),
    "openai": ("openai_api_key", "OPENAI_API_KEY"),
    "workers-ai": ("cloudflare_api_token", "CLOUDFLARE_API_TOKEN"),
}


@dataclass(frozen=True, kw_only=True)
class Route:
    """The way of one call's requests to one model.

    Attributes:
        provider: ``anthropic``, ``openai``, ``workers-ai``, or ``server`` for one of your own.
        speaks: Which SDK's protocol is spoken there.
        base_url: What that SDK is given.
        model: The model as that API names it.
        key: What goes into the provider's own header; None: the gateway has it, or nobody needs it.
        bearer: Whether the key goes into ``Authorization``, whatever the provider's custom is.
        headers: Headers of each request of this call.
    """

    provider: str
    speaks: Literal["anthropic", "openai"]
    base_url: str
    model: str
    key: SecretStr | None
    bearer: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


def route_of(settings: GatewaySettings, call_id: str) -> Route:
    """The route of one call.

    Args:
        settings: One rung's settings.
        call_id: Goes into the gateway's log, so that a call's requests can be found there.

    Raises:
        PluginError: A key is missing without which no request could succeed.
    """
    if settings.base_url:
        return Route(
            provider="server",
            speaks="openai",
            base_url=settings.base_url,
            model=settings.model,
            key=settings.server_api_key,
        )
    provider, _, name = settings.model.partition("/")
    headers = {
        "cf-aig-collect-log-payload": "false",
        "cf-aig-metadata": json.dumps({"call": call_id}),
        "cf-aig-request-timeout": str(round(settings.first_byte_within * 1000)),
    }
    if settings.api == "rest":
        return _rest(settings, provider, name, headers)
    if settings.gateway_token is not None:
        token = settings.gateway_token.get_secret_value()
        headers["cf-aig-authorization"] = f"Bearer {token}"
    attribute, env = _KEYS[provider]
    key: SecretStr | None = getattr(settings, attribute)
    if key is None and provider == "workers-ai":
        raise _missing(f"${env} is not set, and Workers AI asks for it", env)
    if key is None and settings.gateway_token is None:
        raise _missing(
            f"neither ${env} nor $CF_AIG_TOKEN is set, so nobody would pay for {provider}", env
        )
    root = f"{settings.url or GATEWAY_ROOT}/{settings.account}/{settings.gateway}"
    paths = {"anthropic": "anthropic", "openai": "openai", "workers-ai": "workers-ai/v1"}
    return Route(
        provider=provider,
        speaks="anthropic" if provider == "anthropic" else "openai",
        base_url=f"{root}/{paths[provider]}",
        model=name,
        key=key,
        headers=headers,
    )


def _rest(settings: GatewaySettings, provider: str, name: str, headers: Mapping[str, str]) -> Route:
    token = settings.cloudflare_api_token
    if token is None:
        raise _missing(
            '$CLOUDFLARE_API_TOKEN is not set, and api = "rest" asks for it',
            "CLOUDFLARE_API_TOKEN",
        )
    anthropic = provider == "anthropic"
    root = f"{settings.url or REST_ROOT}/accounts/{settings.account}/ai"
    return Route(
        provider=provider,
        speaks="anthropic" if anthropic else "openai",
        # Anthropic's SDK adds /v1/messages itself, OpenAI's adds /chat/completions.
        base_url=root if anthropic else f"{root}/v1",
        model=name if provider == "workers-ai" else f"{provider}/{name}",
        key=token,
        bearer=True,
        headers={**headers, "cf-aig-gateway-id": settings.gateway},
    )


def _missing(what: str, env: str) -> PluginError:
    return PluginError(
        "llm.gateway", what, f"export {env}=..., on Cloudflare: npx wrangler secret put {env}"
    )
