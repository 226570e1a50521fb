from tipring.testing import TurnContract


class TestEnergy(TurnContract):
    plugin = "turn.energy"
