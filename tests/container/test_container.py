"""The image, at the limits of Cloudflare's instance types."""

from __future__ import annotations

import asyncio
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


# What a host loads before it is ready, with every part of the image's configuration.
REHEARSED = """
import asyncio, json, os, sys
from tipring.cli.serve import import_host
import_host()
from tipring.config import load
from tipring.plugins import Plugins
from tipring.selection import rehearse, select
ready = asyncio.run(rehearse(select(load(None, os.environ), Plugins.discover())))
assert not ready.problems, ready.problems
modules = [one for one in sys.modules.values() if getattr(one, "__spec__", None)]
cached = [one.__spec__.cached for one in modules]
print(json.dumps({
    "names": sorted({one.__name__.partition(".")[0] for one in modules}),
    "compiled": [file for file in cached if file and not os.path.exists(file)],
    "kept": os.listdir(os.path.expanduser("~/.cache/hibari")),
}))
"""


@pytest.fixture(scope="module")
def rehearsed(image: str) -> dict[str, list[str]]:
    keys = ("DEEPGRAM_API_KEY", "ANTHROPIC_API_KEY", "OPENAI_API_KEY", "CLOUDFLARE_API_TOKEN")
    environ = {**dict.fromkeys((*keys, "ELEVENLABS_API_KEY"), "key")}
    environ |= {f"TIPRING_LLM__{rung}__ACCOUNT": "0" * 32 for rung in ("CLAUDE", "GPT", "LLAMA")}
    words = [word for one in environ.items() for word in ("--env", "=".join(one))]
    told = asyncio.run(docker("run", "--rm", *words, image, "python", "-c", REHEARSED))
    found: dict[str, list[str]] = json.loads(told.splitlines()[-1])
    return found


def test_what_was_left_out_is_never_imported(rehearsed: dict[str, list[str]]) -> None:
    names = set(rehearsed["names"])
    assert {"anthropic", "openai", "deepgram", "hibari", "pipecat"} <= names
    assert not names & {"numba", "llvmlite", "resampy", "scipy", "torch"}


def test_everything_a_host_loads_was_loaded_in_the_build(rehearsed: dict[str, list[str]]) -> None:
    assert rehearsed["compiled"] == []
    assert [name.split("-")[0] for name in rehearsed["kept"]] == ["dictionary"]


# A host that tells what is looked for when something is imported.
TELLING = """
import sys
class Telling:
    def find_spec(name, path=None, target=None):
        print("import", name)
sys.meta_path.insert(0, Telling)
sys.argv = ["tipring", "serve"]
from tipring.cli import main
main()
"""


async def test_a_call_imports_nothing_that_the_host_could_have_imported_before(
    image: str, http: aiohttp.ClientSession
) -> None:
    async with (
        providers(await gateway()) as environ,
        running(image, "standard-4", {**environ, **DIRECT}, ["python", "-c", TELLING]) as host,
    ):
        await host.ready(http)
        async with await dial(host.url) as phone:
            await phone.agent_speaks(within=60)
            [turn] = await talk(phone)
        assert turn.answer is not None
        told = await docker("logs", host.id)
    before, ready, after = told.partition('{"ready"')
    soon, late = (
        {line.removeprefix("import ") for line in text.splitlines() if line.startswith("import ")}
        for text in (before, after)
    )
    assert {"numpy", "onnxruntime", "tipring_llm_gateway.anthropic_rung"} <= soon and ready
    assert not soon & {"PIL", "aiohttp", "num2words"}
    # Masked arrays, which nobody here asks for.
    assert [name for name in sorted(late) if not name.startswith("numpy.ma")] == []


async def test_certificates_are_those_of_the_system_and_are_read_when_they_are_needed(
    image: str,
) -> None:
    look = (
        "import glob, httpx, ssl;"
        " print(len(glob.glob('/etc/ssl/certs/*.0')) > 100,"
        " len(ssl.create_default_context().get_ca_certs()),"
        " len(httpx.create_ssl_context().get_ca_certs()))"
    )
    assert await docker("run", "--rm", image, "python", "-c", look) == "True 0 0"


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
