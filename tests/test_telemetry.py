"""Nothing in a call tells a library's maker about it."""

import os
import subprocess
import sys
from pathlib import Path

_LOADS = """
import tipring
from tipring.turns.vad import phone_vad
phone_vad()
"""


def test_loading_a_model_leaves_no_identity_behind(tmp_path: Path) -> None:
    # ONNX Runtime makes up an identity in the home folder before it sends anything. It asks for
    # CI by itself, so the variables of this machine stay out.
    told = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, "-c", _LOADS], env=told, check=True, capture_output=True)
    assert not [path for path in tmp_path.rglob("*") if "deviceid" in path.name]


def test_who_wants_to_tell_may() -> None:
    told = {"PATH": os.environ["PATH"], "ORT_DISABLE_TELEMETRY": "0"}
    asked = "import os, tipring; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    done = subprocess.run(
        [sys.executable, "-c", asked], env=told, check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "0"
