"""The contract, kept by the embedded ears."""

import pytest
from tipring.testing import SttContract

pytestmark = pytest.mark.slow


class TestMoonshine(SttContract):
    plugin = "stt.moonshine"
    words = ("book", "cleaning", "tuesday")
