"""Whole calls over the production set: real services and SDKs, emulated providers and phone.

One variable swaps the detector. What callers notice of faults is told by test_faults.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tipring.plugins import Plugins
from tipring.providers import Call
from tipring.testing import CallerTurn, Clip, Phone, Script, run
from tipring.testing.hosted import hosted

from tests.emulators.deepgram import DeepgramEmulator
from tests.emulators.elevenlabs import KEY as ELEVENLABS_KEY
from tests.emulators.elevenlabs import ElevenLabs
from tests.emulators.flux import FluxEmulator
from tests.emulators.gateway import ACCOUNT, KEYS, TOKEN, GatewayEmulator
from tests.emulators.gateway_streams import Reply
from tests.emulators.hearing import Script as Hearing
from tests.told import Told

pytestmark = pytest.mark.line

SAID = ["I would like to book a table for tonight.", "For four people, please."]
ANSWERS = ["Gladly. For how many people?", "A table for four. See you tonight."]

CONFIG = """
[use]
stt = "deepgram"
turn = ["{turn}"]
llm = ["claude", "gpt"]
tts = "elevenlabs"

[agent]
greeting = "Riverside Kitchen, how can I help?"

[stt.deepgram]
url = "{deepgram}"

[turn.flux]
url = "{flux}"

[llm.claude]
plugin = "gateway"
model = "anthropic/claude-haiku-4-5-20251001"
account = "{account}"
gateway = "voice"
url = "{gateway}"

[llm.gpt]
plugin = "gateway"
model = "openai/gpt-4o-mini"
account = "{account}"
gateway = "voice"
url = "{gateway}"

[tts.elevenlabs]
voice = "voice-1"
url = "{elevenlabs}"
base_url = "{elevenlabs_http}"
"""


@functools.cache
def voice(text: str) -> Clip:
    """The caller: a voice that Silero and Smart Turn know as one."""
    provider: Any = Plugins.discover().load("tts", "hibari")
    pcm = provider.render(provider.settings(), Call(id="rehearsal"), text)
    return Clip.from_samples(np.frombuffer(pcm, np.int16), 8000, text=text)


@dataclass
class Held:
    """A call that was held."""

    told: Told
    call: str
    turns: list[CallerTurn] = field(default_factory=list)

    def all(self, name: str) -> list[Any]:
        return self.told.of(self.call, name)

    def texts(self, name: str) -> list[str]:
        return [event["text"] for event in self.all(name)]


def heard() -> Hearing:
    """What the transcribers hear, at the pace of the caller's voice."""
    return Hearing(SAID, seconds=0.15)


@contextlib.asynccontextmanager
async def providers() -> AsyncIterator[dict[str, str]]:
    async with (
        DeepgramEmulator(heard(), interim_every=0.3) as hears,
        FluxEmulator(heard()) as decides,
        GatewayEmulator(replies=[Reply(text=text) for text in ANSWERS]) as thinks,
        ElevenLabs() as speaks,
    ):
        yield {
            "deepgram": hears.url,
            "flux": decides.url,
            "gateway": thinks.gateway_url,
            "account": ACCOUNT,
            "elevenlabs": speaks.url,
            "elevenlabs_http": speaks.base_url,
        }


async def hold(folder: Path, turn: str, where: dict[str, str]) -> Held:
    config = folder / "tipring.toml"
    config.write_text(CONFIG.format(turn="smart", **where))
    secrets = {
        "DEEPGRAM_API_KEY": "dg-key",
        "ANTHROPIC_API_KEY": KEYS["anthropic"],
        "OPENAI_API_KEY": KEYS["openai"],
        "CF_AIG_TOKEN": TOKEN,
        "ELEVENLABS_API_KEY": ELEVENLABS_KEY,
        "XDG_CACHE_HOME": str(folder),
        "TIPRING_TURN": turn,
    }
    script = Script.parse("\n".join(["wait", *(f'say "{text}"\nwait' for text in SAID)]))
    script = await asyncio.to_thread(script.render, voice)
    told = Told()
    async with hosted(config=config, environ=secrets, on_event=told) as host:
        async with await Phone.dial(host.url, auth_token=host.auth_token) as phone:
            held = Held(told, phone.call_sid)
            held.turns = await run(phone, script)
        await told.until(held.call, "call.ended")
    return held


@pytest.mark.timeout(180)
@pytest.mark.parametrize("turn", ["flux", "smart"])
async def test_one_variable_swaps_the_detector_and_the_call_stays_the_same(
    turn: str, tmp_path: Path
) -> None:
    async with providers() as where:
        held = await hold(tmp_path, turn, where)
    assert held.texts("turn.committed") == SAID
    assert [event["by"] for event in held.all("turn.committed")] == [turn, turn]
    assert held.texts("agent.said") == [
        "Riverside Kitchen, how can I help?",
        "Gladly.",
        "For how many people?",
        "A table for four.",
        "See you tonight.",
    ]
    assert not any(one.cut_ins for one in held.turns)
    assert all(one.answer is not None for one in held.turns)
    began = held.all("call.began")[0]
    assert began["stt"] == ("flux" if turn == "flux" else "deepgram")
