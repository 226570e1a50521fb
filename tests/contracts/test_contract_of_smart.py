"""The contract, kept by Smart Turn."""

from collections.abc import Iterator

import pytest
from tipring.testing import TurnContract

from tests.patient_loop import patient

pytestmark = pytest.mark.slow


class TestSmart(TurnContract):
    plugin = "turn.smart"

    @pytest.fixture(autouse=True)
    def no_waiting(self) -> Iterator[None]:
        with patient():
            yield
