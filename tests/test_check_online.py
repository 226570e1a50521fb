"""``tipring check --online`` asks every provider in use, and tells one mistake from another."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tipring import web
from tipring.config import load
from tipring.host import Host

from tests.emulators.deepgram import DeepgramEmulator
from tests.emulators.elevenlabs import KEY as ELEVENLABS_KEY
from tests.emulators.elevenlabs import VOICE, ElevenLabs
from tests.emulators.flux import FluxEmulator
from tests.emulators.gateway import ACCOUNT, GATEWAY, KEYS, TOKEN, GatewayEmulator

NOBODY = "http://127.0.0.1:9"
"""A port that nobody listens on."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@contextlib.asynccontextmanager
async def everybody(folder: Path) -> AsyncIterator[dict[str, str]]:
    """Every provider, well, and the environment of a host that uses them."""
    async with (
        DeepgramEmulator() as deepgram,
        FluxEmulator() as flux,
        GatewayEmulator() as gateway,
        ElevenLabs() as elevenlabs,
    ):
        yield {
            "TIPRING_STT": "deepgram",
            "TIPRING_TURN": "flux",
            "TIPRING_LLM": "gateway",
            "TIPRING_TTS": "elevenlabs",
            "TIPRING_STT__DEEPGRAM__URL": deepgram.url,
            "TIPRING_TURN__FLUX__URL": flux.url,
            "TIPRING_LLM__GATEWAY__URL": gateway.gateway_url,
            "TIPRING_LLM__GATEWAY__ACCOUNT": ACCOUNT,
            "TIPRING_LLM__GATEWAY__GATEWAY": GATEWAY,
            "TIPRING_TTS__ELEVENLABS__URL": elevenlabs.url,
            "TIPRING_TTS__ELEVENLABS__BASE_URL": elevenlabs.base_url,
            "TIPRING_TTS__ELEVENLABS__VOICE": VOICE,
            "DEEPGRAM_API_KEY": "dg-key",
            "ANTHROPIC_API_KEY": KEYS["anthropic"],
            "CF_AIG_TOKEN": TOKEN,
            "ELEVENLABS_API_KEY": ELEVENLABS_KEY,
            "XDG_CACHE_HOME": str(folder),
        }


async def check(environ: dict[str, str], folder: Path) -> dict[str, Any]:
    """What the command says, as JSON."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tipring", "check", "--online", "--json"),
        cwd=folder,
        env={"PATH": os.environ["PATH"], **environ},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    told, _ = await process.communicate()
    said: dict[str, Any] = json.loads(told)
    assert process.returncode == said["exit"]
    return said


async def test_where_everything_works_there_is_nothing_to_say(tmp_path: Path) -> None:
    async with everybody(tmp_path) as environ:
        said = await check(environ, tmp_path)
    assert (said["exit"], said["problems"]) == (0, [])
    assert said["answers"] == "flux + gateway + elevenlabs"


async def test_each_providers_mistake_is_told_apart_with_its_mend(tmp_path: Path) -> None:
    """One run with a mistake each, and one with another each: nothing hides anything else."""
    async with everybody(tmp_path) as environ:
        keys = {
            "DEEPGRAM_API_KEY": "wrong-1",
            "ANTHROPIC_API_KEY": "wrong-2",
            "ELEVENLABS_API_KEY": "wrong-3",
        }
        names = {
            "TIPRING_STT__DEEPGRAM__MODEL": "nova-99",
            "TIPRING_TURN__FLUX__MODEL": "flux-general-xx",
            "TIPRING_LLM__GATEWAY__MODEL": "anthropic/claude-nobody",
            "TIPRING_TTS__ELEVENLABS__VOICE": "nobody",
            "TIPRING_TTS__ELEVENLABS__MODEL": "eleven_unknown",
        }
        places = {
            "TIPRING_STT__DEEPGRAM__URL": NOBODY,
            "TIPRING_TURN__FLUX__URL": NOBODY,
            "TIPRING_LLM__GATEWAY__URL": f"{NOBODY}/v1",
            "TIPRING_TTS__ELEVENLABS__BASE_URL": NOBODY,
        }
        wrong = [keys, names, places, {"CF_AIG_TOKEN": "wrong-4"}]
        said = [await check({**environ, **one}, tmp_path) for one in wrong]
    assert [one["exit"] for one in said] == [1, 1, 1, 1]
    told = [
        {(p["where"], p["what"].split(" (")[0], p["fix"]) for p in one["problems"]} for one in said
    ]
    assert told[0] == {
        ("stt.deepgram", "Deepgram refused the key", "set DEEPGRAM_API_KEY to a valid key"),
        ("turn.flux", "Deepgram refused the key", "set DEEPGRAM_API_KEY to a valid key"),
        (
            "llm.gateway",
            "anthropic/claude-haiku-4-5-20251001: HTTP 401",
            "set $ANTHROPIC_API_KEY to a key that works there",
        ),
        (
            "tts.elevenlabs",
            "ElevenLabs does not know this key",
            "set ELEVENLABS_API_KEY to a valid one",
        ),
    }
    models = "correct the model, the language or the other settings"
    assert told[1] == {
        ("stt.deepgram", "Deepgram does not know the model 'nova-99'", models),
        ("turn.flux", "Deepgram does not know the model 'flux-general-xx'", models),
        (
            "llm.gateway",
            "anthropic/claude-nobody: HTTP 404",
            "look the model's name up with its provider",
        ),
        (
            "tts.elevenlabs",
            "ElevenLabs has no voice 'nobody'",
            "choose another in [tts.elevenlabs] voice",
        ),
        (
            "tts.elevenlabs",
            "ElevenLabs cannot speak with the model 'eleven_unknown': choose another in"
            " [tts.elevenlabs] model",
            "it has eleven_flash_v2_5, eleven_multilingual_v2",
        ),
    }
    address = "correct the url setting, or the network"
    assert told[2] == {
        ("stt.deepgram", "Deepgram cannot be reached at 127.0.0.1:9", address),
        ("turn.flux", "Deepgram cannot be reached at 127.0.0.1:9", address),
        (
            "llm.gateway",
            "anthropic/claude-haiku-4-5-20251001: the connection to 127.0.0.1:9 failed",
            f"look at the network, and whether {NOBODY}/v1/{ACCOUNT}/{GATEWAY}/anthropic is right",
        ),
        (
            "tts.elevenlabs",
            f"ElevenLabs could not be reached at {NOBODY}",
            "check the network and [tts.elevenlabs] base_url",
        ),
    }
    assert told[3] == {
        (
            "llm.gateway",
            "anthropic/claude-haiku-4-5-20251001: HTTP 401",
            "set $CF_AIG_TOKEN to a token with the permission AI Gateway Run",
        )
    }
    assert not any(secret in json.dumps(said) for secret in ("wrong-1", "wrong-2", "wrong-3"))


async def test_a_voice_that_cannot_speak_gives_way_and_health_and_check_say_the_same_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    config = tmp_path / "tipring.toml"
    config.touch()
    async with everybody(tmp_path) as environ:
        wrong = {"TIPRING_TTS": "elevenlabs,hibari", "ELEVENLABS_API_KEY": "wrong-3"}
        said = await check({**environ, **wrong}, tmp_path)
        host = Host(load(config, {**environ, **wrong}))
        await host.load()
        answer = web.health(host)
        await host.close(within=1)
    assert said["exit"] == 1
    assert said["answers"] == str(host.selection) == "flux + gateway + hibari"
    health = json.loads(bytes(answer.body))
    assert (answer.status_code, health["ok"], health["ready"]) == (200, True, True)
    assert (
        health["problems"]
        == said["problems"]
        == [
            {
                "where": "tts.elevenlabs",
                "what": "ElevenLabs does not know this key",
                "fix": "set ELEVENLABS_API_KEY to a valid one",
            }
        ]
    )
