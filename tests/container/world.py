"""Providers that a container reaches, and a caller to talk to it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from tipring.plugins import Plugins
from tipring.providers import Call
from tipring.testing import CallerTurn, Clip, Phone, Script, run

from tests.emulators.deepgram import DeepgramEmulator
from tests.emulators.elevenlabs import KEY as ELEVENLABS_KEY
from tests.emulators.elevenlabs import ElevenLabs
from tests.emulators.flux import FluxEmulator
from tests.emulators.gateway import ACCOUNT, KEYS, TOKEN, GatewayEmulator
from tests.emulators.gateway_streams import Reply
from tests.emulators.hearing import Script as Hearing

SAID = "I would like to book a table for tonight."
ANSWER = "Gladly. For how many people?"
PUBLIC = "https://voice.example.com"
AUTH_TOKEN = "twilio-auth-token"


@contextlib.asynccontextmanager
async def providers(reached_at: str) -> AsyncIterator[dict[str, str]]:
    """Emulated providers: the variables with which the image's configuration uses them.

    Args:
        reached_at: This machine's address, as a container sees it.
    """
    async with (
        contextlib.AsyncExitStack() as relays,
        DeepgramEmulator(Hearing([SAID], seconds=0.15), (), interim_every=0.3) as hears,
        FluxEmulator(Hearing([SAID], seconds=0.15), ()) as decides,
        GatewayEmulator(replies=[Reply(text=ANSWER) for _ in range(4)]) as thinks,
        ElevenLabs() as speaks,
    ):

        async def there(url: str) -> str:
            port = urlsplit(url).port
            assert port is not None
            await relays.enter_async_context(_relay(reached_at, port))
            return url.replace("127.0.0.1", reached_at)

        gateway = await there(thinks.gateway_url)
        environ = {
            "DEEPGRAM_API_KEY": "dg-key",
            "ANTHROPIC_API_KEY": KEYS["anthropic"],
            "OPENAI_API_KEY": KEYS["openai"],
            "CF_AIG_TOKEN": TOKEN,
            "CLOUDFLARE_API_TOKEN": KEYS["workers-ai"],
            "ELEVENLABS_API_KEY": ELEVENLABS_KEY,
            "TIPRING_STT__DEEPGRAM__URL": await there(hears.url),
            "TIPRING_TURN__FLUX__URL": await there(decides.url),
            "TIPRING_TTS__ELEVENLABS__URL": await there(speaks.url),
            "TIPRING_TTS__ELEVENLABS__BASE_URL": await there(speaks.base_url),
            "TIPRING_TTS__ELEVENLABS__VOICE": "voice-1",
        }
        for rung in ("CLAUDE", "GPT", "LLAMA"):
            environ[f"TIPRING_LLM__{rung}__ACCOUNT"] = ACCOUNT
            environ[f"TIPRING_LLM__{rung}__GATEWAY"] = "voice"
            environ[f"TIPRING_LLM__{rung}__URL"] = gateway
        yield environ


@contextlib.asynccontextmanager
async def _relay(address: str, port: int) -> AsyncIterator[None]:
    """Pass on what comes to this port at another address of this machine."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            theirs, mine = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionError:
            writer.close()
            return
        await asyncio.gather(pump(reader, mine), pump(theirs, writer))

    server = await asyncio.start_server(serve, address, port)
    try:
        yield
    finally:
        server.close()


@functools.cache
def voice(text: str) -> Clip:
    """The caller: a voice that Silero and Smart Turn know as one."""
    provider: Any = Plugins.discover().load("tts", "hibari")
    pcm = provider.render(provider.settings(), Call(id="rehearsal"), text)
    return Clip.from_samples(np.frombuffer(pcm, np.int16), 8000, text=text)


async def dial(url: str) -> Phone:
    """Call a host, or the Worker before it."""
    return await Phone.dial(url, auth_token=AUTH_TOKEN, public_url=PUBLIC)


async def talk(phone: Phone) -> list[CallerTurn]:
    """Say one thing once the agent is silent, wait for the answer, and hang up."""
    script = Script.parse(f'say "{SAID}"\nwait within 60')
    script = await asyncio.to_thread(script.render, voice)
    await phone.agent_silent(within=60)
    return await run(phone, script)
