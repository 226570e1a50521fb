"""What is not chosen is not imported, and the page of import times has every provider there is."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tipring.discovery import discover

pytestmark = pytest.mark.slow

DOCS = Path(__file__).parent.parent / "docs"

PRODUCTION = {
    "TIPRING_STT": "deepgram",
    "TIPRING_TURN": "smart",
    "TIPRING_LLM": "gateway",
    "TIPRING_TTS": "elevenlabs",
    "TIPRING_LLM__GATEWAY__ACCOUNT": "0" * 32,
    "TIPRING_LLM__GATEWAY__GATEWAY": "voice",
    "DEEPGRAM_API_KEY": "key",
    "ANTHROPIC_API_KEY": "key",
    "ELEVENLABS_API_KEY": "key",
}
OURS = {
    "tipring_stt_deepgram",
    "tipring_stt_moonshine",
    "tipring_turn_flux",
    "tipring_turn_smart",
    "tipring_llm_gateway",
    "tipring_llm_receptionist",
    "tipring_tts_elevenlabs",
    "tipring_tts_hibari",
}
# Pipecat itself imports openai, for its types.
THEIRS = {"deepgram", "elevenlabs", "anthropic", "moonshine_voice", "hibari"}

# What the SDKs would bring that no call uses: seconds of a core.
NOT_CALLED = {
    "anthropic.lib.foundry",
    "anthropic.resources.beta",
    "elevenlabs.client",
    "openai.types.evals",
    "openai.types.responses.response",
}

LOADED = """
import asyncio, json, os, sys
from tipring.config import load
from tipring.plugins import Plugins
from tipring.selection import rehearse, select
asyncio.run(rehearse(select(load(None, os.environ), Plugins.discover())))
print(json.dumps(sorted(sys.modules)))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("environ", "chosen"),
    [
        (
            PRODUCTION,
            {
                "tipring_stt_deepgram",
                "tipring_turn_smart",
                "tipring_llm_gateway",
                "tipring_tts_elevenlabs",
                "deepgram",
                "anthropic",
            },
        ),
        (
            {},
            {
                "tipring_stt_moonshine",
                "tipring_turn_smart",
                "tipring_llm_receptionist",
                "tipring_tts_hibari",
                "moonshine_voice",
                "hibari",
            },
        ),
    ],
    ids=["production", "embedded"],
)
def test_a_host_that_is_ready_has_imported_nothing_that_was_not_chosen(
    environ: dict[str, str], chosen: set[str], tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], **environ},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    packages = {name.partition(".")[0] for name in loaded}
    assert packages & (OURS | THEIRS) == chosen
    assert "torch" not in packages
    assert not loaded & NOT_CALLED


def test_the_page_of_import_times_has_a_row_for_every_provider() -> None:
    spec = importlib.util.spec_from_file_location("docs_imports", DOCS / "imports.py")
    assert spec is not None and spec.loader is not None
    imports = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(imports)
    text = (DOCS / "imports.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1].strip(" `") for line in text.splitlines() if line.startswith("| `")]
    found, _ = discover()
    ours = {
        f"{one.kind}.{one.name}"
        for one in found
        if one.kind in ("stt", "turn", "llm", "tts") and one.dist.startswith("tipring-")
    }
    assert rows == list(imports.PROVIDERS)
    assert set(rows) == ours
