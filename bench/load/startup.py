"""From the start of a process to ready, for each configuration, and what the imports cost."""

from __future__ import annotations

import asyncio
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

CONFIGURATIONS = {
    "embedded": """
[use]
stt = "moonshine"
turn = "smart"
llm = "receptionist"
tts = "hibari"
""",
    "cloud": """
[use]
stt = "deepgram"
turn = "smart"
llm = ["claude", "gpt"]
tts = "hibari"
[llm.claude]
plugin = "gateway"
account = "00000000000000000000000000000000"
gateway = "none"
model = "anthropic/claude-haiku-4-5-20251001"
[llm.gpt]
plugin = "gateway"
account = "00000000000000000000000000000000"
gateway = "none"
model = "openai/gpt-4.1-mini"
""",
    "cloud, silence": """
[use]
stt = "deepgram"
turn = "vad"
llm = "claude"
tts = "hibari"
[llm.claude]
plugin = "gateway"
account = "00000000000000000000000000000000"
gateway = "none"
model = "anthropic/claude-haiku-4-5-20251001"
""",
}
"""What is started. The keys are nobody's and nothing is dialled: services are built without a
socket. ElevenLabs is left out, which would be asked for the phrases that are rendered ahead."""

_KEYS = {
    "DEEPGRAM_API_KEY": "none",
    "CF_AIG_TOKEN": "none",
    "ANTHROPIC_API_KEY": "none",
    "OPENAI_API_KEY": "none",
    "TWILIO_AUTH_TOKEN": "none",
    "TIPRING_SERVER__HOST": "127.0.0.1",
    "TIPRING_SERVER__PORT": "0",
    "TIPRING_SERVER__CONTROL_PORT": "0",
}
_LINE = re.compile(r"import time:\s*(\d+) \|\s*(\d+) \|( *)(\S+)")


async def start(folder: Path, *, times: int, core: int | None) -> list[dict[str, Any]]:
    """Start each configuration so many times.

    Args:
        folder: For the configurations.
        times: How often; the median is told.
        core: Where the process runs.
    """
    told = []
    for name, text in CONFIGURATIONS.items():
        toml = folder / f"{name.replace(', ', '-')}.toml"
        toml.write_text(text, encoding="utf-8")
        starts = [await asyncio.to_thread(_ready, toml, core) for _ in range(times)]
        bill = await asyncio.to_thread(_bill, toml, core)
        told.append(
            {
                "configuration": name,
                "ready_s": statistics.median(clock for clock, _ in starts),
                "core_s": statistics.median(of_core for _, of_core in starts),
                "imports": bill,
            }
        )
    return told


def _ready(toml: Path, core: int | None) -> tuple[float, float]:
    """Seconds to ready by the clock, and of a core, which other work disturbs less."""
    with open(toml.with_suffix(".errors"), "w+b") as errors:
        began = time.monotonic()
        process = _serve(toml, core, errors)
        assert process.stdout is not None
        line = process.stdout.readline()
        took = time.monotonic() - began
        spent = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        process.terminate()
        process.communicate()
        if b"ready" not in line:
            errors.seek(0)
            why = errors.read().decode(errors="replace")
            raise ConnectionError(f"tipring serve was not ready with {toml.name}: {why}")
    return took, (int(spent[11]) + int(spent[12])) / os.sysconf("SC_CLK_TCK")


def _bill(toml: Path, core: int | None) -> list[tuple[str, float]]:
    """The largest imports with all that they import: name and seconds, the ten largest packages."""
    with open(toml.with_suffix(".imports"), "w+b") as file:
        process = _serve(toml, core, file, "-X", "importtime")
        assert process.stdout is not None
        process.stdout.readline()
        process.terminate()
        process.communicate()
        file.seek(0)
        lines = file.read().decode(errors="replace").splitlines()
    alone: dict[str, float] = {}
    for line in lines:
        if found := _LINE.match(line):
            package = found[4].split(".")[0]
            alone[package] = alone.get(package, 0.0) + int(found[1]) / 1e6
    largest = sorted(alone.items(), key=lambda one: -one[1])[:10]
    return [("all", sum(alone.values())), *largest]


def _serve(toml: Path, core: int | None, errors: Any, *flags: str) -> subprocess.Popen[bytes]:
    pin = None if core is None else (lambda: os.sched_setaffinity(0, {core}))
    return subprocess.Popen(
        [sys.executable, *flags, "-m", "tipring", "--config", str(toml), "serve"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=errors,
        env={**os.environ, **_KEYS},
        preexec_fn=pin,
    )
