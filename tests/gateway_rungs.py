"""Rungs behind the emulated gateway, for tests."""

from __future__ import annotations

from typing import Any

from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.processors.aggregators.llm_context import LLMContext
from pydantic import SecretStr
from tipring.providers import Call, Rung, RungEvent, TextDelta
from tipring_llm_gateway import build
from tipring_llm_gateway.settings import GatewaySettings

from tests.emulators.gateway import (
    ACCOUNT,
    CF_TOKEN,
    GATEWAY,
    KEYS,
    MODELS,
    TOKEN,
    GatewayEmulator,
)
from tests.emulators.gateway_streams import Reply

PROVIDERS = ["anthropic", "openai", "workers-ai", "plain"]
TEXT = "Hello there. How can I help you today?"
CALL = Call(id="CA0123")


def settings(emulator: GatewayEmulator, provider: str, **changed: Any) -> GatewaySettings:
    values: dict[str, Any] = {
        "model": f"{provider}/{MODELS[provider]}",
        "account": ACCOUNT,
        "gateway": GATEWAY,
        "url": emulator.gateway_url,
        "gateway_token": SecretStr(TOKEN),
        "anthropic_api_key": SecretStr(KEYS["anthropic"]),
        "openai_api_key": SecretStr(KEYS["openai"]),
        "cloudflare_api_token": SecretStr(CF_TOKEN),
        "read_within": 10.0,
    }
    if provider == "plain":
        values |= {"model": MODELS["plain"], "base_url": emulator.plain_url}
        values |= {"account": "", "gateway": "", "url": ""}
    return GatewaySettings(**(values | changed))


def rung(emulator: GatewayEmulator, provider: str, **changed: Any) -> Rung:
    return build(settings(emulator, provider, **changed), CALL)


def patience(reply: Reply) -> float:
    """Little where the emulator hangs, for the test waits it out; much elsewhere."""
    return 0.3 if reply.fault is not None and reply.fault.do == "hang" else 10.0


def a_context(**more: Any) -> LLMContext:
    return LLMContext(messages=[{"role": "user", "content": "Hello?"}], **more)


async def heard(rung: Rung, context: LLMContext | None = None) -> list[RungEvent]:
    stream = rung.stream(context or a_context(), system="Be brief.")
    return [event async for event in stream]


def text_of(events: list[RungEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def tools(handler: Any = None) -> ToolsSchema:
    names = ("book", "look_up")
    return ToolsSchema(
        standard_tools=[
            FunctionSchema(
                name=name,
                description=f"To {name}.",
                properties={"people": {"type": "integer"}},
                required=[],
                handler=handler,
            )
            for name in names
        ]
    )
