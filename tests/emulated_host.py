"""What a real host needs whose providers are all emulated: light, because nothing is recognised.

The caller speaks in tones, a pitch a word (``TONES``), and Flux hears exactly those.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.emulators.elevenlabs import KEY as ELEVENLABS_KEY
from tests.emulators.elevenlabs import ElevenLabs
from tests.emulators.flux import FluxEmulator
from tests.emulators.gateway import ACCOUNT, KEYS, TOKEN, GatewayEmulator
from tests.emulators.gateway_streams import Reply
from tests.emulators.hearing import Tones

TONES = Tones(["table", "tonight", "window", "bill", "honey"])

KEYRING = {
    "DEEPGRAM_API_KEY": "dg-key",
    "ANTHROPIC_API_KEY": KEYS["anthropic"],
    "CF_AIG_TOKEN": TOKEN,
    "ELEVENLABS_API_KEY": ELEVENLABS_KEY,
}
"""The host's secrets."""

_CONFIG = """
[use]
turn = "flux"
llm = "claude"
tts = "elevenlabs"

[agent]
prompt = "You answer the phone."
greeting = "Kitchen."
goodbye = "Bye."
warning = "One minute."

[turn.flux]
url = "{flux}"

[llm.claude]
plugin = "gateway"
model = "anthropic/claude-haiku-4-5-20251001"
account = "{account}"
gateway = "voice"
url = "{gateway}"

[tts.elevenlabs]
voice = "voice-1"
url = "{elevenlabs}"
base_url = "{elevenlabs_http}"
"""


@dataclass(frozen=True, kw_only=True)
class Providers:
    """The emulators.

    Attributes:
        config: The host's configuration, which names them.
        model: Who answers.
    """

    config: Path
    model: GatewayEmulator

    def asked(self) -> list[Mapping[str, Any]]:
        """What the model was asked, in order."""
        return [exchange.body for exchange in self.model.transcript]


@contextlib.asynccontextmanager
async def emulated(
    folder: Path, *replies: str, voice: ElevenLabs | None = None
) -> AsyncIterator[Providers]:
    """Start the emulators.

    Args:
        folder: Where the configuration goes.
        replies: What the model says, one an answer; then a default.
        voice: ElevenLabs, when it is not simply well.
    """
    async with (
        FluxEmulator(TONES) as hears,
        GatewayEmulator(replies=[Reply(text=text) for text in replies]) as model,
        voice or ElevenLabs() as speaks,
    ):
        config = folder / "tipring.toml"
        config.write_text(
            _CONFIG.format(
                flux=hears.url,
                account=ACCOUNT,
                gateway=model.gateway_url,
                elevenlabs=speaks.url,
                elevenlabs_http=speaks.base_url,
            )
        )
        yield Providers(config=config, model=model)
