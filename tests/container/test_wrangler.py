"""``wrangler dev`` with the image: webhook, Worker, object, container, and one whole call."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import aiohttp
import pytest

from tests.container.docker import ROOT, command, docker, gateway
from tests.container.world import AUTH_TOKEN, dial, providers, talk

PACKAGES = ROOT / "worker" / "node_modules"
API_TOKEN = "api-token"
SECRETS = {
    "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
    "STREAM_SECRET": "stream-secret",
    "API_TOKEN": API_TOKEN,
}
# A machine of two cores boots a container in tens of seconds while it does other things, too.
PATIENT = {"RING_SECONDS": "14", "PORT_SECONDS": "180", "READY_SECONDS": "180"}


@contextlib.asynccontextmanager
async def wrangler_dev(
    folder: Path, image: str, variables: Mapping[str, str]
) -> AsyncIterator[str]:
    """Run it on any free port; its address.

    The configuration is wrangler.toml, but for what is built: the image is there already, and is
    not built a second time.
    """
    (folder / "Dockerfile").write_text(f"FROM {image}\n")
    written = (ROOT / "wrangler.toml").read_text()
    for theirs, ours in (
        ('image = "./Dockerfile"', f'image = "{folder}/Dockerfile"'),
        ('image_build_context = "."', f'image_build_context = "{folder}"'),
        ('main = "worker/src/index.ts"', f'main = "{ROOT}/worker/src/index.ts"'),
    ):
        assert theirs in written
        written = written.replace(theirs, ours)
    config = folder / "wrangler.toml"
    config.write_text(written)
    (folder / "secrets").write_text("".join(f"{name}={value}\n" for name, value in SECRETS.items()))
    words = [str(PACKAGES / ".bin" / "node"), str(PACKAGES / "wrangler" / "bin" / "wrangler.js")]
    words += ["dev", "--config", str(config), "--env-file", str(folder / "secrets")]
    words += ["--port", "0", "--inspector-port", "0", "--persist-to", str(folder / "state")]
    words += ["--show-interactive-dev-session=false"]
    for name, value in variables.items():
        words += ["--var", f"{name}:{value}"]
    environ = {
        **os.environ,
        "WRANGLER_SEND_METRICS": "false",
        "WRANGLER_DOCKER_BIN": os.environ.get("WRANGLER_DOCKER_BIN", command()),
        "PATH": f"{PACKAGES / '.bin'}:{os.environ['PATH']}",
    }
    if "DOCKER_HOST" in environ:
        environ["WRANGLER_DOCKER_HOST"] = environ["DOCKER_HOST"]
    log = folder / "wrangler.log"
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            *words, cwd=ROOT, env=environ, stdout=out, stderr=out, stdin=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
    try:
        async with asyncio.timeout(600):
            while not (
                found := re.search(r"Ready on (http://\S+)", log.read_text("utf-8", "replace"))
            ):
                assert process.returncode is None, log.read_text()
                await asyncio.sleep(0.2)
        yield found[1].replace("localhost", "127.0.0.1")
    except BaseException:
        print(log.read_text()[-8000:])
        raise
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)  # it removes its containers
        try:
            async with asyncio.timeout(60):
                await process.wait()
        except TimeoutError:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


@pytest.mark.timeout(1200)
async def test_a_call_goes_from_the_workers_door_into_a_container_and_back(
    image: str, tmp_path: Path
) -> None:
    if not PACKAGES.is_dir():
        pytest.skip("the Worker's packages are not installed: make test-container")
    before = await hosts()
    async with (
        providers(await gateway()) as environ,
        wrangler_dev(tmp_path, image, {**environ, **PATIENT}) as url,
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {API_TOKEN}"}) as http,
    ):
        async with await dial(url) as phone:
            assert phone.said_by_twiml == []
            await phone.agent_speaks(within=60)
            [turn] = await talk(phone)
            assert turn.answer is not None
            call = phone.call_sid
        async with asyncio.timeout(60):
            state = ""
            while state != "ended":
                async with http.get(f"{url}/calls/{call}") as answer:
                    state = (await answer.json())["state"]
                await asyncio.sleep(0.1)
        async with http.get(f"{url}/calls/{call}/events") as answer:
            names = [event["name"] for event in (await answer.json())["events"]]
        assert names.count("turn.committed") == 1
        assert "agent.said" in names
        async with asyncio.timeout(60):  # a finished call keeps no container
            while await hosts() - before:  # noqa: ASYNC110 - it ends elsewhere
                await asyncio.sleep(0.2)


async def hosts() -> set[str]:
    """The containers that run, but for what workerd puts beside each and keeps for later."""
    names = (await docker("ps", "--format", "{{.Names}}")).split()
    return {name for name in names if not name.endswith("-proxy")}
