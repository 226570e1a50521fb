"""The contract, kept by the host's own detector."""

from collections.abc import Iterator

import pytest
from tipring.testing import TurnContract

from tests.patient_loop import patient

pytestmark = pytest.mark.slow


class TestVad(TurnContract):
    plugin = "turn.vad"

    @pytest.fixture(autouse=True)
    def no_waiting(self) -> Iterator[None]:
        with patient():
            yield
