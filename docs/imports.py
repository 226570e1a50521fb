"""Measure what each provider costs to import: ``python docs/imports.py`` writes docs/imports.md.

Every figure is the shortest of some runs of ``python -X importtime``, each in its own process.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

PAGE = Path(__file__).parent / "imports.md"
RUNS = 3

PROVIDERS: dict[str, dict[str, str]] = {
    "stt.deepgram": {"DEEPGRAM_API_KEY": "key"},
    "stt.moonshine": {},
    "turn.flux": {"DEEPGRAM_API_KEY": "key"},
    "turn.smart": {},
    "llm.gateway": {
        "TIPRING_LLM__GATEWAY__ACCOUNT": "0" * 32,
        "TIPRING_LLM__GATEWAY__GATEWAY": "voice",
        "ANTHROPIC_API_KEY": "key",
    },
    "llm.receptionist": {},
    "tts.elevenlabs": {"ELEVENLABS_API_KEY": "key"},
    "tts.hibari": {},
}
"""Every provider in this repository, with what it needs to be built."""

_HOST = "from tipring.cli.serve import import_host; import_host()"
_PART = """
import os, sys
{host}
from tipring.config import load
from tipring.plugins import Plugins
from tipring.providers import Call
from tipring.selection import Part
from tipring.settings import settle
mark = lambda name: print("import time: mark |", name, file=sys.stderr, flush=True)
kind, name = {kind!r}, {name!r}
plugins, config = Plugins.discover(), load(None, os.environ)
mark("declare")
provider = plugins.load(kind, name)
mark("build")
settings = settle(provider.settings, config.table(kind, name), os.environ, name)
part = Part(kind=kind, name=name, provider=provider, settings=settings, dist="")
part.build(Call(id="rehearsal"))
mark("done")
"""

_LINE = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)")
_MARK = re.compile(r"import time: mark \| (\w+)")


def spent(program: str, **environ: str) -> dict[str, Counter[str]]:
    """Microseconds by package, for each stretch between two marks of a program."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", program],
        env={"PATH": os.environ.get("PATH", ""), **environ},
        capture_output=True,
        text=True,
        check=True,
    )
    stretches: dict[str, Counter[str]] = {}
    now = stretches.setdefault("", Counter())
    for line in done.stderr.splitlines():
        if mark := _MARK.match(line):
            now = stretches.setdefault(mark[1], Counter())
        elif found := _LINE.match(line):
            now[found[2].partition(".")[0]] += int(found[1])
    return stretches


def shortest(program: str, stretch: str, **environ: str) -> Counter[str]:
    """The run in which a stretch took least."""
    runs = [spent(program, **environ)[stretch] for _ in range(RUNS)]
    return min(runs, key=Counter.total)


def row(name: str) -> str:
    """One provider's line of the table."""
    kind, _, plugin = name.partition(".")
    program = _PART.format(host=_HOST, kind=kind, name=plugin)
    runs = [spent(program, **PROVIDERS[name]) for _ in range(RUNS)]
    declare = min((run["declare"] for run in runs), key=Counter.total)
    build = min((run["build"] for run in runs), key=Counter.total)
    most = ", ".join(f"`{package}` {_ms(micro)}" for package, micro in build.most_common(3))
    return f"| `{name}` | {_ms(declare.total())} | {_ms(build.total())} | {most or 'nothing'} |"


def page() -> str:
    """The whole page, measured now."""
    host = shortest(_HOST, "")
    most = ", ".join(f"`{package}` {_ms(micro)}" for package, micro in host.most_common(4))
    rows = "\n".join(row(name) for name in PROVIDERS)
    text = PAGE.read_text(encoding="utf-8")
    text = re.sub(r"(?m)^The host alone.*$", _host_line(host, most), text)
    before, rule, rest = text.partition("|---|---|---|---|\n")
    return before + rule + rows + "\n" + rest[rest.index("\n*Declared*") :]


def _host_line(host: Counter[str], most: str) -> str:
    return f"The host alone, Pipecat and its servers included: {_ms(host.total())} ({most})."


def _ms(micro: int) -> str:
    return f"{micro / 1000:.0f} ms" if micro >= 500 else "under 1 ms"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
