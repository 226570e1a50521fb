"""Take out of an installed environment what no call ever uses, and tell how much that was.

``bake.py`` runs after it and loads everything a call needs, so a part that is missed after all
fails the build. Run with the interpreter of the environment.
"""

from __future__ import annotations

import re
import shutil
import sysconfig
from importlib.metadata import distributions
from pathlib import Path

SITE = Path(sysconfig.get_path("purelib"))
# What belongs to one distribution, and is left out unless a plugin requires that one itself.
PARTS = {
    # For building against numpy, and for its own tests.
    "numpy": (
        "numpy/_core/_simd.*.so",
        "numpy/_core/include",
        "numpy/_core/lib",
        "numpy/f2py",
        "numpy/random/lib",
    ),
    # Pipecat can show images, and a phone cannot: what Pillow is not imported without remains.
    "pillow": (
        "PIL/_avif.*.so",
        "PIL/_imagingft.*.so",
        "pillow.libs/libavif-*",
        "pillow.libs/libfreetype-*",
        "pillow.libs/libharfbuzz-*",
    ),
    # Starting a project, and judging one.
    "pipecat-ai": ("pipecat/cli", "pipecat/evals"),
    # The API of everything that is not speech from text; the client imports a part when it is used.
    "elevenlabs": (
        "elevenlabs/conversational_ai",
        "elevenlabs/dubbing",
        "elevenlabs/studio",
        "elevenlabs/workspace",
    ),
    # Signatures and TwiML are used; the REST client, one class for each of Twilio's pages, is not.
    "twilio": ("twilio/rest",),
    # Tools for making models, and a second copy of the runtime for programs in C: Python's own
    # module has all of it inside.
    "onnxruntime": (
        "onnxruntime/backend",
        "onnxruntime/capi/libonnxruntime.so.*",
        "onnxruntime/datasets",
        "onnxruntime/quantization",
        "onnxruntime/tools",
        "onnxruntime/transformers",
    ),
}
# Whose requirement does not mean that these parts are wanted: ours, and what they bring.
OURS = {
    "hibari-tts",
    "loudness",
    "onnxruntime",
    "pipecat-ai",
    "soundfile",
    "soxr",
    "tipring",
    "tipring-llm-gateway",
    "tipring-stt-deepgram",
    "tipring-tts-elevenlabs",
    "tipring-tts-hibari",
    "tipring-turn-flux",
    "tipring-turn-smart",
}


def main() -> None:
    """Remove, and print what was removed."""
    before = size(SITE)
    for folder in sorted(SITE.rglob("*")):
        # A package's own tests; a package whose name is "tests" would be nobody's.
        if folder.is_dir() and folder.name in ("test", "tests") and folder.parent != SITE:
            shutil.rmtree(folder)
    wanted = required()
    for name, parts in PARTS.items():
        if name in wanted:
            continue
        for part in parts:
            for path in SITE.glob(part):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    after = size(SITE)
    print(f"packages: {before / 1e6:.0f} MB, of which {(before - after) / 1e6:.0f} MB left out")


def required() -> set[str]:
    """The distributions that a plugin, or something it brought, requires by name."""
    found: set[str] = set()
    for one in distributions(path=[str(SITE)]):
        needs = [] if one.name in OURS else one.requires or []
        found |= {re.split(r"[^\w.-]", need)[0].lower() for need in needs if "extra ==" not in need}
    return found


def size(folder: Path) -> int:
    """Bytes in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    main()
