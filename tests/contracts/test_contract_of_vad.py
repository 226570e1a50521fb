"""The contract, kept by the host's own detector."""

from tipring.testing import TurnContract


class TestVad(TurnContract):
    plugin = "turn.vad"
