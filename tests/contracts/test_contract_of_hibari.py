"""The contract, kept by the embedded voice."""

import pytest
from tipring.testing import TtsContract

pytestmark = pytest.mark.slow


class TestHibari(TtsContract):
    plugin = "tts.hibari"
