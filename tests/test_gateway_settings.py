"""What can be set of the gateway, and what is told before a caller finds out."""

from __future__ import annotations

import asyncio
import importlib
import os
import pkgutil
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import tipring_llm_gateway
from pydantic import SecretStr, ValidationError
from tipring.errors import PluginError
from tipring.plugins import Plugins
from tipring.providers import Llm
from tipring_llm_gateway import build, clients, online, register_llm
from tipring_llm_gateway.settings import GatewaySettings

from tests.emulators.gateway import (
    ACCOUNT,
    GATEWAY,
    MODELS,
    GatewayEmulator,
)
from tests.gateway_rungs import (
    CALL,
    PROVIDERS,
    settings,
)


@pytest.fixture
async def gateway() -> AsyncIterator[GatewayEmulator]:
    async with GatewayEmulator() as emulator:
        yield emulator
        await clients.close_clients()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"account": ""}, "account is missing; set it to"),
        ({"gateway": ""}, "gateway is missing"),
        ({"account": "my-account"}, "32 hex digits"),
        ({"gateway": "https://gateway.ai.cloudflare.com/v1/x/voice"}, "the name only"),
        ({"model": "claude-haiku-4-5"}, "does not say whose it is; write anthropic/"),
        ({"model": "workers-ai/llama-3.3-70b"}, "begins with @cf/"),
        ({"url": "gateway.ai.cloudflare.com"}, "begins with http"),
        ({"base_url": "http://localhost:1234/v1"}, "base_url goes past Cloudflare"),
        ({"max_tokens": 0}, "greater than or equal to 1"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_with_its_mend(
    wrong: dict[str, Any], said: str
) -> None:
    right: dict[str, Any] = {"model": "openai/gpt-4o-mini", "account": ACCOUNT, "gateway": GATEWAY}
    GatewaySettings(**right)
    with pytest.raises(ValidationError, match=said):
        GatewaySettings(**(right | wrong))


@pytest.mark.parametrize(
    ("model", "more", "said"),
    [
        ("anthropic/x", {}, r"neither \$ANTHROPIC_API_KEY nor \$CF_AIG_TOKEN is set"),
        ("openai/x", {}, r"neither \$OPENAI_API_KEY nor \$CF_AIG_TOKEN is set"),
        ("workers-ai/@cf/x", {"gateway_token": "t"}, r"\$CLOUDFLARE_API_TOKEN is not set"),
        ("openai/x", {"api": "rest", "openai_api_key": "k"}, r"\$CLOUDFLARE_API_TOKEN is not"),
    ],
)
def test_a_rung_without_the_key_it_needs_is_not_built_and_the_fix_is_told(
    model: str, more: dict[str, Any], said: str
) -> None:
    made = GatewaySettings(model=model, account=ACCOUNT, gateway=GATEWAY, **more)
    with pytest.raises(PluginError, match=said) as caught:
        build(made, CALL)
    assert "wrangler secret put" in caught.value.fix


async def test_asked_beforehand_a_rung_that_works_has_no_problems(
    gateway: GatewayEmulator,
) -> None:
    for provider in PROVIDERS:
        assert await asyncio.to_thread(online, settings(gateway, provider)) == []


@pytest.mark.parametrize("provider", PROVIDERS[:3])
async def test_asked_beforehand_each_mistake_is_told_apart(
    gateway: GatewayEmulator, provider: str
) -> None:
    key = {"anthropic": "anthropic_api_key", "openai": "openai_api_key"}
    mistakes: dict[str, dict[str, Any]] = {
        "key": {key.get(provider, "cloudflare_api_token"): SecretStr("wrong")},
        "model": {"model": f"{provider}/@cf/nobody"},
        "token": {"gateway_token": SecretStr("wrong")},
        "gateway": {"gateway": "other"},
        "network": {"url": "http://127.0.0.1:9/v1"},
    }
    told = {}
    for name, wrong in mistakes.items():
        (told[name],) = await asyncio.to_thread(online, settings(gateway, provider, **wrong))
    assert "refused" in told["key"] and "$CF_AIG" not in told["key"]
    assert "no such model" in told["model"]
    assert "; set $CF_AIG_TOKEN" in told["token"]
    assert '; look for "other" under AI > AI Gateway' in told["gateway"]
    assert "; look at the network" in told["network"]
    assert len(set(told.values())) == len(told)
    assert not any("wrong" in sentence for sentence in told.values())


def test_offering_the_plugin_imports_neither_sdk_nor_pipecat() -> None:
    program = (
        "import sys, tipring_llm_gateway as p; list(p.register_llm());"
        "print(sorted({'anthropic', 'openai', 'httpx2', 'pipecat'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


FIRST_REQUEST = """
import asyncio, sys
import tipring.llm.ladder
from pipecat.processors.aggregators.llm_context import LLMContext
from tests.emulators.gateway import GatewayEmulator
from tests.gateway_rungs import rung
from tipring_llm_gateway.clients import close_clients

async def main():
    async with GatewayEmulator() as gateway:
        built = rung(gateway, sys.argv[1])
        before = set(sys.modules)
        context = LLMContext(messages=[{"role": "user", "content": "Hello?"}])
        async for _ in built.stream(context, system=""):
            pass
        print(sorted(set(sys.modules) - before))
        await close_clients()

asyncio.run(main())
"""


@pytest.mark.parametrize("provider", ["anthropic", "openai"])
def test_what_the_first_request_needs_is_loaded_when_the_rung_is_built(provider: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FIRST_REQUEST, provider],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    assert done.stdout.strip() == "[]"


def test_what_its_readme_says_to_paste_can_be_pasted() -> None:
    readme = Path(__file__).parents[1] / "plugins/llm_gateway/README.md"
    tables = [part.split("```")[0] for part in readme.read_text().split("```toml\n")[1:]]
    default, local = (tomllib.loads(table)["llm"] for table in tables)
    for rung in [*default.values(), *local.values()]:
        assert rung.pop("plugin") == "gateway"
        GatewaySettings(**rung)
    assert [rung["model"] for rung in default.values()] == [
        f"{provider}/{MODELS[provider]}" for provider in PROVIDERS[:3]
    ]


def test_every_setting_stands_in_its_readme() -> None:
    readme = (Path(__file__).parents[1] / "plugins/llm_gateway/README.md").read_text()
    for name, field in GatewaySettings.model_fields.items():
        extra = field.json_schema_extra
        shown = extra["secret_env"] if isinstance(extra, dict) else name
        assert f"`{shown}`" in readme


def test_it_is_offered_under_its_name() -> None:
    (offered,) = register_llm()
    assert offered.name == "gateway"
    assert offered.settings is GatewaySettings


def test_the_plugin_is_loaded_the_same_after_all_its_modules_were_imported() -> None:
    for module in pkgutil.iter_modules(tipring_llm_gateway.__path__, "tipring_llm_gateway."):
        importlib.import_module(module.name)
    declared = Plugins.discover().load("llm", "gateway")
    assert isinstance(declared, Llm)
    assert (declared.online, declared.build) == (online, build)
