"""The contract, kept by Smart Turn."""

from tipring.testing import TurnContract


class TestSmart(TurnContract):
    plugin = "turn.smart"
