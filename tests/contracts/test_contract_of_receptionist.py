"""The contract, kept by the scripted receptionist."""

from tipring.testing import LlmContract


class TestReceptionist(LlmContract):
    plugin = "llm.receptionist"
