"""The contract, kept by the host's own detector."""

import pytest
from tipring.testing import TurnContract

pytestmark = pytest.mark.slow


class TestVad(TurnContract):
    plugin = "turn.vad"
