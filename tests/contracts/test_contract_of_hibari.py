"""The contract, kept by the embedded voice."""

from tipring.testing import TtsContract


class TestHibari(TtsContract):
    plugin = "tts.hibari"
