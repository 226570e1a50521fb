"""What can be set of a rung behind the gateway."""

from __future__ import annotations

import re
from typing import Any, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from tipring.providers import Settings, secret

PROVIDERS = ("anthropic", "openai", "workers-ai")


class GatewaySettings(Settings):
    """One model, and the way to it."""

    model: str = Field(
        "anthropic/claude-haiku-4-5-20251001",
        description="anthropic/..., openai/... or workers-ai/@cf/...; with base_url: as it is.",
    )
    account: str = Field("", description="The Cloudflare account id, 32 hex digits.")
    gateway: str = Field("", description="The name of the AI Gateway.")
    api: Literal["gateway", "rest"] = Field(
        "gateway",
        description="gateway: gateway.ai.cloudflare.com; rest: api.cloudflare.com/.../ai/v1.",
    )
    url: str = Field(
        "", description="The root of that API, where something else stands in for Cloudflare."
    )
    base_url: str = Field(
        "", description="An OpenAI-compatible server instead of Cloudflare, up to its /v1."
    )
    max_tokens: int = Field(400, ge=1, le=32000, description="The longest answer, in tokens.")
    temperature: float | None = Field(
        None, ge=0, le=2, description="How freely it speaks; unset: the provider's default."
    )
    connect_within: float = Field(3.0, gt=0, le=60, description="Seconds to a connection.")
    first_byte_within: float = Field(
        6.0, gt=0, le=60, description="Seconds the gateway gives the provider to begin."
    )
    read_within: float = Field(
        8.0, gt=0, le=120, description="Seconds of silence after which a request is given up."
    )
    extra: dict[str, Any] = Field(
        default_factory=dict,
        description="More fields of the request's body, as the provider names them.",
    )
    gateway_token: SecretStr | None = secret(
        "CF_AIG_TOKEN", "Opens an authenticated gateway.", optional=True
    )
    anthropic_api_key: SecretStr | None = secret(
        "ANTHROPIC_API_KEY", "Anthropic's key, unless the gateway stores it.", optional=True
    )
    openai_api_key: SecretStr | None = secret(
        "OPENAI_API_KEY", "OpenAI's key, unless the gateway stores it.", optional=True
    )
    cloudflare_api_token: SecretStr | None = secret(
        "CLOUDFLARE_API_TOKEN", "For Workers AI, and for api = rest.", optional=True
    )
    server_api_key: SecretStr | None = secret(
        "LLM_SERVER_API_KEY", "The key of the server at base_url.", optional=True
    )

    @field_validator("account")
    @classmethod
    def _account_is_an_id(cls, account: str) -> str:
        if account and not re.fullmatch(r"[0-9a-f]{32}", account):
            raise ValueError(
                "the Cloudflare account id is 32 hex digits; it stands at the right of the "
                "account's overview in the dashboard, and in its address"
            )
        return account

    @field_validator("gateway")
    @classmethod
    def _gateway_is_a_name(cls, gateway: str) -> str:
        if gateway and not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", gateway):
            raise ValueError(
                "the gateway's name is letters, digits, - and _; it is the name only, not its URL"
            )
        return gateway

    @field_validator("url", "base_url")
    @classmethod
    def _url_is_http(cls, url: str) -> str:
        if url and not re.match(r"https?://[^/]+", url):
            raise ValueError("a URL begins with http:// or https://")
        return url.rstrip("/")

    @model_validator(mode="after")
    def _there_is_a_way(self) -> Self:
        if self.base_url:
            for name in ("account", "gateway", "url"):
                if getattr(self, name):
                    raise ValueError(
                        f"base_url goes past Cloudflare, so {name} has no meaning beside it; "
                        "remove one of the two"
                    )
            return self
        provider, _, name = self.model.partition("/")
        if provider not in PROVIDERS or not name:
            raise ValueError(
                f'the model "{self.model}" does not say whose it is; write anthropic/..., '
                "openai/... or workers-ai/@cf/..., or set base_url for a server of your own"
            )
        if provider == "workers-ai" and not name.startswith(("@cf/", "@hf/")):
            raise ValueError(
                f'"{name}" is not a name of a Workers AI model; it begins with @cf/: '
                "workers-ai/@cf/meta/llama-3.3-70b-instruct-fp8-fast"
            )
        if not self.account:
            raise ValueError(
                "account is missing; set it to the Cloudflare account id, "
                "or set base_url for a server of your own"
            )
        if not self.gateway:
            raise ValueError(
                "gateway is missing; set it to the name under AI > AI Gateway in the dashboard"
            )
        return self
