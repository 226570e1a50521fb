"""docs/deploy.md: every command in it is run, as far as it can be without an account."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from aiohttp import web

from tests.container.docker import ROOT

PAGE = (ROOT / "docs" / "deploy.md").read_text()
BLOCKS = [block.splitlines() for block in re.findall(r"^```sh\n(.*?)^```", PAGE, re.M | re.S)]
LINES = [line for block in BLOCKS for line in block]
BIN = ROOT / "worker" / "node_modules" / ".bin"


def run(*words: str, cwd: Path = ROOT) -> str:
    """Run a command as the page sets up the shell; what it printed."""
    environ = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "WRANGLER_SEND_METRICS": "0"}
    done = subprocess.run(
        words, cwd=cwd, env=environ, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture
def packages() -> None:
    if not BIN.is_dir():
        pytest.skip("the Worker's packages are not installed: make test-container")


def test_every_command_of_the_page_is_one_that_is_tried_here() -> None:
    tried = ("npm ci", "npm run", "printf", "export PATH", "wrangler", "curl", 'T="')
    assert [line for line in LINES if not line.startswith(tried)] == []
    assert len(LINES) == 12


def test_the_file_of_secrets_holds_each_once_and_the_required_ones_among_them(
    tmp_path: Path,
) -> None:
    writing = [line for line in LINES if line.startswith("printf")]
    run("bash", "-euc", "\n".join(writing), cwd=tmp_path)
    text = (tmp_path / "secrets.env").read_text()
    pairs = [line.partition("=") for line in text.splitlines()]
    names = [name for name, _, _ in pairs]
    assert len(set(names)) == len(names)
    assert {"TWILIO_AUTH_TOKEN", "STREAM_SECRET", "API_TOKEN"} <= set(names)
    made = {name: value for name, _, value in pairs if value}
    assert sorted(made) == ["API_TOKEN", "STREAM_SECRET"]
    assert all(re.fullmatch("[0-9a-f]{64}", value) for value in made.values())
    assert made["API_TOKEN"] != made["STREAM_SECRET"]


def test_the_secrets_are_ignored_by_git_and_kept_out_of_the_image() -> None:
    run("git", "check-ignore", "--quiet", "--no-index", "secrets.env")
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    assert not any(line.startswith("!") and "env" in line for line in ignored)


@pytest.mark.timeout(300)
def test_wrangler_knows_every_command_and_option_of_the_page(packages: None) -> None:
    for line in LINES:
        if not line.startswith("wrangler"):
            continue
        words = shlex.split(line, comments=True)
        known = run("wrangler", words[1], "--help")
        assert f"wrangler {words[1]}" in known
        for option in words[2:]:
            assert not option.startswith("-") or f"{option} " in known, line


@pytest.mark.timeout(300)
def test_the_packages_are_those_of_the_lock_and_the_scripts_are_there(packages: None) -> None:
    run("npm", "ci", "--prefix", "worker", "--dry-run", "--offline", "--ignore-scripts")
    scripts = run("npm", "run", "--prefix", "worker")
    for line in LINES:
        if line.startswith("npm run"):
            assert f"  {line.split()[-1]}\n" in scripts


async def test_the_curl_commands_ask_the_doors_that_the_table_tells() -> None:
    told = re.findall(r"^\| `(GET|POST) (/calls[^`]*)`", PAGE, re.M)
    doors = {(method, path.split("?")[0].replace("{call}", "CA1")) for method, path in told}
    asked: list[tuple[str, str]] = []

    async def answer(request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer secret"
        if request.method == "POST":
            json.loads(await request.text())
        asked.append((request.method, request.path))
        return web.json_response({})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        here = f"http://127.0.0.1:{runner.addresses[0][1]}"
        for line in LINES:
            if line.startswith("curl"):
                script = line.replace("https://voice.example.com", here).replace(
                    "curl", "curl -fsS"
                )
                environ = 'T="authorization: Bearer secret"; CALL=CA1; unset http_proxy\n'
                await asyncio.to_thread(run, "bash", "-euc", environ + script)
    finally:
        await runner.cleanup()
    assert set(asked) == doors
