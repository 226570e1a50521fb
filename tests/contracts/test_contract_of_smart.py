"""The contract, kept by Smart Turn."""

import pytest
from tipring.testing import TurnContract

pytestmark = pytest.mark.slow


class TestSmart(TurnContract):
    plugin = "turn.smart"
