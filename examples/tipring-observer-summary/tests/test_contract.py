import pytest
from tipring.testing import ObserverContract


class TestSummary(ObserverContract):
    plugin = "observer.summary"

    @pytest.fixture(autouse=True)
    def _in_a_folder_of_its_own(self, tmp_path, monkeypatch):
        monkeypatch.setenv("CALL_SUMMARIES", str(tmp_path))
