"""The contract, kept by the gateway's rungs, before an emulated AI Gateway."""

import json
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from tipring.testing import LlmContract

from tests.contracts.beside import beside
from tests.emulators.gateway import ACCOUNT, GATEWAY, KEYS, MODELS, TOKEN, GatewayEmulator
from tests.emulators.gateway_streams import Call, Fault, Reply

pytestmark = pytest.mark.slow

BREAKS = {"max_tokens": 77}
"""By this setting the emulator knows whom to fail."""


class Gateway(GatewayEmulator):
    """Calls a tool when it is asked for Friday, and breaks off where it is told to."""

    def _next(self, model: str) -> Reply:
        body: Any = self.transcript[-1].body
        if 77 in (body.get("max_tokens"), body.get("max_completion_tokens")):
            return Reply(fault=Fault(do="end", after=2))
        last: Any = body["messages"][-1]
        if last["role"] == "user" and "Friday?" in json.dumps(last["content"]):
            return Reply(
                text="", calls=(Call(id="c1", name="opening_hours", arguments={"day": "F"}),)
            )
        return Reply()


class Kept(LlmContract):
    plugin = "llm.gateway"
    asks_for_tool = "Friday?"
    breaks: ClassVar = BREAKS
    model: ClassVar[str]
    secrets: ClassVar = {
        "CF_AIG_TOKEN": TOKEN,
        "ANTHROPIC_API_KEY": KEYS["anthropic"],
        "OPENAI_API_KEY": KEYS["openai"],
    }

    @pytest.fixture(autouse=True)
    def gateway(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        with beside(Gateway()) as (emulator, _):
            where = {"model": self.model, "account": ACCOUNT, "gateway": GATEWAY}
            monkeypatch.setattr(type(self), "settings", where | {"url": emulator.gateway_url})
            yield


class TestAnthropic(Kept):
    model = f"anthropic/{MODELS['anthropic']}"


class TestOpenAI(Kept):
    model = f"openai/{MODELS['openai']}"
