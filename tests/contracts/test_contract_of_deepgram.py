"""The contract, kept by Deepgram's nova-3, before an emulated Deepgram."""

from collections.abc import Iterator
from typing import ClassVar

import pytest
from tipring.testing import SttContract

from tests.contracts.beside import beside
from tests.emulators.deepgram import DeepgramEmulator

pytestmark = pytest.mark.slow


class TestDeepgram(SttContract):
    plugin = "stt.deepgram"
    secrets: ClassVar = {"DEEPGRAM_API_KEY": "dg-key"}

    @pytest.fixture(autouse=True)
    def deepgram(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        said = ["i would like to book", "and so on"] * 5
        with beside(DeepgramEmulator(said, interim_every=0.3)) as (emulator, _):
            monkeypatch.setattr(type(self), "settings", {"url": emulator.url})
            yield
