"""The contract, kept by Deepgram's Flux, before an emulated Flux."""

from collections.abc import Iterator
from typing import ClassVar

import pytest
from tipring.testing import TurnContract

from tests.contracts.beside import beside
from tests.emulators.flux import FluxEmulator

pytestmark = pytest.mark.slow


class TestFlux(TurnContract):
    plugin = "turn.flux"
    secrets: ClassVar = {"DEEPGRAM_API_KEY": "dg-key"}

    @pytest.fixture(autouse=True)
    def flux(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        with beside(FluxEmulator(["i would like to book", "and so on"] * 5)) as (emulator, _):
            monkeypatch.setattr(type(self), "settings", {"url": emulator.url})
            yield
