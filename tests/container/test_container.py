"""The image, at the limits of Cloudflare's instance types."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.container.docker import SIZES, docker, gateway, running
from tests.container.world import ANSWER, AUTH_TOKEN, PUBLIC, dial, providers, talk

pytestmark = pytest.mark.timeout(600)
# A host that is called directly, as Twilio would.
DIRECT = {"TWILIO_AUTH_TOKEN": AUTH_TOKEN, "TIPRING_SERVER__PUBLIC_URL": PUBLIC}


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.mark.timeout(1200)  # the first test builds the image
async def test_the_image_runs_as_nobody_special_and_holds_no_compiler_test_or_torch(
    image: str,
) -> None:
    [told] = json.loads(await docker("image", "inspect", image))
    config = told["Config"]
    assert config["User"] == "10001"
    assert {"PYTHONUNBUFFERED=1", "MALLOC_ARENA_MAX=2"} <= set(config["Env"])
    assert config["Cmd"] == ["tipring", "serve"]
    assert config["Healthcheck"]["Test"][0] == "CMD"
    assert config["Labels"]["org.opencontainers.image.title"] == "tipring"
    look = (
        "command -v cc gcc clang make uv;"
        " find /app -type d \\( -name tests -o -name test \\);"
        " cd /app/lib/python3.12/site-packages;"
        " ls -d torch numba llvmlite resampy scipy pip pytest 2>/dev/null;"
        " find /app /home/tipring -writable -not -user 10001 -not -type l"
    )
    assert await docker("run", "--rm", image, "bash", "-c", f"{look}; true") == ""


async def test_what_was_left_out_is_never_imported(image: str) -> None:
    # Everything that a host loads before it is ready, and every module of its plugins.
    loaded = await docker(
        "run",
        "--rm",
        image,
        "python",
        "-c",
        "import sys, tipring.server, tipring_stt_deepgram.service, tipring_turn_flux.service,"
        " tipring_turn_smart, tipring_llm_gateway.anthropic_rung, tipring_llm_gateway.openai_rung,"
        " tipring_tts_elevenlabs.service, tipring_tts_elevenlabs.http, tipring_tts_hibari.service;"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))",
    )
    names = set(loaded.split())
    assert {"anthropic", "openai", "deepgram", "elevenlabs", "pipecat"} <= names
    assert not names & {"numba", "llvmlite", "resampy", "scipy", "torch"}


@pytest.mark.parametrize("size", SIZES)
async def test_a_host_of_every_size_says_that_it_is_ready_and_holds_a_call(
    size: str, image: str, http: aiohttp.ClientSession
) -> None:
    async with (
        providers(await gateway()) as environ,
        running(image, size, {**environ, **DIRECT}) as host,
    ):
        took = await host.ready(http)
        print(f"\ncontainer start to ready at {size}'s limits: {took:.2f} s")
        assert await host.health(http) == {"ok": True, "ready": True, "problems": []}
        async with http.get(f"{host.control_url}/health") as answer:
            assert answer.status == 200
        if size == "basic":  # a quarter of a core is documented, not recommended
            return
        async with await dial(host.url) as phone:
            await phone.agent_speaks(within=60)
            [turn] = await talk(phone)
        assert turn.answer is not None


async def test_a_call_in_mid_sigterm_is_finished_and_then_the_exit_code_is_0(
    image: str, http: aiohttp.ClientSession
) -> None:
    async with (
        providers(await gateway()) as environ,
        running(
            image, "standard-4", {**environ, **DIRECT}, ["tipring", "serve", "--events"]
        ) as host,
    ):
        await host.ready(http)
        async with await dial(host.url) as phone:
            await phone.agent_speaks(within=60)
            await docker("kill", "--signal=TERM", host.id)
            [turn] = await talk(phone)
        assert turn.answer is not None
        assert await host.exit_code() == 0
        said = [
            json.loads(line)
            for line in (await docker("logs", host.id)).splitlines()
            if line[:1] == "{"
        ]
        heard = [event["text"] for event in said if event.get("event") == "agent.said"]
        assert " ".join(heard[1:]) == ANSWER
        assert [e["event"] for e in said if e.get("event") == "call.ended"] == ["call.ended"]
