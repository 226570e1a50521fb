"""The contract, kept by the scripted receptionist."""

import pytest
from tipring.testing import LlmContract

pytestmark = pytest.mark.slow


class TestReceptionist(LlmContract):
    plugin = "llm.receptionist"
