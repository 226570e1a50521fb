"""Load every model that the image holds, once, and prove that what was left out is not missed."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from importlib.metadata import entry_points

KINDS = ("stt", "turn", "llm", "tts", "observer")
LEFT_OUT = ("numba", "llvmlite", "torch")


def main() -> None:
    """Import the host and its plugins, and load the models of those that have one."""
    from pipecat.audio.turn.smart_turn.local_smart_turn_v3 import LocalSmartTurnAnalyzerV3
    from tipring import call, server
    from tipring.turns.vad import phone_vad

    LocalSmartTurnAnalyzerV3()
    phone_vad()
    names = [server.__name__, call.__name__]
    for kind in KINDS:
        for one in entry_points(group=f"tipring.{kind}"):
            importlib.import_module(one.module)
            names.append(one.module)
    for name in LEFT_OUT:
        if importlib.util.find_spec(name) or name in sys.modules:
            sys.exit(f"{name} is in the image; something new requires it: see the Dockerfile")
    print("loaded:", ", ".join(names))


if __name__ == "__main__":
    main()
