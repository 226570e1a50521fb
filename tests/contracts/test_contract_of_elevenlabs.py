"""The contract, kept by ElevenLabs' voice, before an emulated ElevenLabs."""

from collections.abc import Iterator
from typing import ClassVar

import pytest
from tipring.testing import TtsContract

from tests.contracts.beside import beside
from tests.emulators.elevenlabs import KEY, VOICE, ElevenLabs

pytestmark = pytest.mark.slow


class TestElevenLabs(TtsContract):
    plugin = "tts.elevenlabs"
    secrets: ClassVar = {"ELEVENLABS_API_KEY": KEY}

    @pytest.fixture(autouse=True)
    def elevenlabs(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        with beside(ElevenLabs()) as (emulator, _):
            where = {"url": emulator.url, "base_url": emulator.base_url, "voice": VOICE}
            monkeypatch.setattr(type(self), "settings", where)
            yield
