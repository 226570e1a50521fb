"""The contract, kept by the embedded ears."""

from tipring.testing import SttContract


class TestMoonshine(SttContract):
    plugin = "stt.moonshine"
    words = ("book", "cleaning", "tuesday")
