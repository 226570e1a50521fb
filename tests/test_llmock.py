"""The same faults, from llmock: a server nobody here wrote, which also judges its clients.

It runs as a program of its own, for it would bring a pytest plugin and another event loop along;
``make test`` installs it beside the tests. By hand: name the program in $LLMOCK.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from typing import Any, Literal

import aiohttp
import pytest
from tipring.llm.ladder import LadderLLMService
from tipring.providers import Rung
from tipring_llm_gateway import clients
from tipring_llm_gateway.anthropic_rung import AnthropicRung
from tipring_llm_gateway.openai_rung import OpenAIRung
from tipring_llm_gateway.route import Route
from tipring_llm_gateway.settings import GatewaySettings

from tests.scripted_rungs import ScriptedRung, line, says

LLMOCK = shutil.which(os.environ.get("LLMOCK") or "llmock")
TEXT = "We open at nine. Shall I book a table?"

pytestmark = pytest.mark.skipif(LLMOCK is None, reason="llmock is not installed; make test does it")


class Llmock:
    """llmock on a port of its own."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self.url = url
        self._http = http

    async def is_new(self) -> bool:
        """Whether it listens by now, and has forgotten what was before."""
        try:
            async with self._http.post(f"{self.url}/_llmock/reset") as got:
                return got.ok
        except aiohttp.ClientConnectionError:
            return False

    async def will(self, *behaviours: dict[str, Any]) -> None:
        async with self._http.post(
            f"{self.url}/_llmock/scenario", json={"behaviors": list(behaviours)}
        ) as got:
            got.raise_for_status()

    async def verdict(self) -> list[str]:
        async with self._http.get(f"{self.url}/_llmock/verdict") as got:
            findings: list[dict[str, str]] = (await got.json())["findings"]
        return [finding["code"] for finding in findings]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert LLMOCK is not None
    program = subprocess.Popen(
        [LLMOCK, "serve", "--port", str(port), "--log-level", "error", "--tool-mode", "off"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        program.terminate()
        program.wait()


@pytest.fixture
async def llmock(url: str) -> AsyncIterator[Llmock]:
    async with aiohttp.ClientSession() as http:
        served = Llmock(http, url)
        async with asyncio.timeout(30):
            while not await served.is_new():  # noqa: ASYNC110 - a program has no event to wait on
                await asyncio.sleep(0.1)
        yield served
        await clients.close_clients()


Speaks = Literal["anthropic", "openai"]


def rung(llmock: Llmock, speaks: Speaks, patience: float) -> Rung:
    root = f"{llmock.url}/{'anthropic' if speaks == 'anthropic' else 'v1'}"
    settings = GatewaySettings(model="any", base_url=root, read_within=patience)
    models = {"anthropic": "claude-haiku-4-5-20251001", "openai": "gpt-4o-mini"}
    route = Route(provider=speaks, speaks=speaks, base_url=root, model=models[speaks], key=None)
    return AnthropicRung(settings, route) if speaks == "anthropic" else OpenAIRung(settings, route)


async def said(llmock: Llmock, speaks: Speaks, patience: float = 10.0) -> list[str]:
    backup = ScriptedRung([says("Backup here.")])
    ladder = LadderLLMService(
        [("real", rung(llmock, speaks, patience)), ("backup", backup)], system=""
    )
    async with line(ladder) as phone:
        return await phone.ask()


@pytest.mark.parametrize("speaks", ["anthropic", "openai"])
async def test_its_answers_are_understood(llmock: Llmock, speaks: Speaks) -> None:
    await llmock.will({"type": "reply", "text": TEXT})
    assert await said(llmock, speaks) == ["We open at nine.", "Shall I book a table?"]
    assert await llmock.verdict() == []


FAULTS: dict[str, dict[str, Any]] = {
    "429": {"type": "fail", "status": 429, "retry_after": 1},
    "503": {"type": "fail", "status": 503},
    "400": {"type": "fail", "status": 400},
    "disconnect": {"type": "stream_fault", "kind": "disconnect", "after_chunks": 2},
    "truncate": {"type": "stream_fault", "kind": "truncate", "after_chunks": 2},
    "malformed": {"type": "stream_fault", "kind": "malformed", "after_chunks": 2},
    "stall": {"type": "stream_fault", "kind": "stall", "after_chunks": 2, "stall_seconds": 30},
    "slow": {"type": "slow_first_token", "seconds": 30},
}


# Its malformed chunk for Anthropic has no event name, and the SDK passes such lines over: no word
# is lost by it. The emulated gateway's has one.
PASSED_OVER = [("anthropic", "malformed")]


@pytest.mark.parametrize(
    ("speaks", "fault"),
    [(s, f) for s in ("anthropic", "openai") for f in FAULTS if (s, f) not in PASSED_OVER],
)
async def test_its_faults_are_the_next_rungs_turn_and_the_client_is_not_blamed(
    llmock: Llmock, speaks: Speaks, fault: str
) -> None:
    await llmock.will({"type": "reply", "text": TEXT}, FAULTS[fault])
    patience = 0.5 if fault in ("stall", "slow") else 10.0
    assert await said(llmock, speaks, patience) == ["Backup here."]
    # It would have a client try the same provider again; the ladder tries the next one instead. And
    # it cannot see that what came of a broken stream was thrown away.
    unseen = {"gave_up", "truncated_stream_accepted", "malformed_chunk_ignored"}
    assert set(await llmock.verdict()) <= unseen


@pytest.mark.parametrize("speaks", ["anthropic", "openai"])
async def test_a_tool_call_with_broken_arguments_is_the_next_rungs_turn(
    llmock: Llmock, speaks: Speaks
) -> None:
    call = {"name": "book", "arguments": {"people": 2}}
    await llmock.will(
        {"type": "reply", "tool_calls": [call]},
        {"type": "tool_fault", "kind": "malformed_arguments", "match": {}},
    )
    assert await said(llmock, speaks) == ["Backup here."]
