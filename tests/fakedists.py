"""Fake distributions on disk, as an installer leaves them: module, entry points, metadata."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tipring.plugins import Plugins

REQUIRES = ("tipring>=0.1,<0.2",)

HEAD = """
from collections.abc import Iterable
from pydantic import Field, SecretStr
from tipring.hookspecs import hookimpl
from tipring.providers import *
from tipring.providers import NoSettings, secret
"""

BUILDS = {
    "stt": """
from pipecat.services.settings import STTSettings
from pipecat.services.stt_service import STTService
class Hears(STTService):
    async def run_stt(self, audio):
        yield None
return Hears(settings=STTSettings(model=None, language=None))
""",
    "turn": "return TurnPlan(stop=None)",
    "llm": """
class Answers:
    async def stream(self, context, *, system):
        yield TextDelta(text="Yes.")
    async def aclose(self):
        pass
return Answers()
""",
    "tts": """
from pipecat.services.settings import TTSSettings
from pipecat.services.tts_service import TTSService
class Speaks(TTSService):
    async def run_tts(self, text, context_id):
        yield None
return Speaks(settings=TTSSettings(model=None, voice=None, language=None))
""",
}


def plugin(kind: str, name: str, *, settings: str = "pass", build: str = "", more: str = "") -> str:
    """The source of a plugin that works.

    Args:
        kind: Its kind.
        name: Its name.
        settings: The body of its settings class.
        build: The body of ``build(settings, call)``; without it, one that works.
        more: More arguments of the declaration: ``transcribes=True``.
    """
    return "\n".join(
        [
            HEAD,
            "class Set(Settings):",
            textwrap.indent(textwrap.dedent(settings), "    "),
            "def build(settings, call):",
            textwrap.indent(textwrap.dedent(build or BUILDS[kind]), "    "),
            "@hookimpl",
            f"def register_{kind}():",
            f"    yield {kind.capitalize()}(name={name!r}, settings=Set, build=build, {more})",
        ]
    )


class Site:
    """A folder that stands for site-packages.

    Args:
        folder: Where; it has to be on ``sys.path`` for its plugins to load.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(
        self,
        kind: str,
        name: str,
        source: str | None = None,
        *,
        dist: str = "",
        version: str = "1.0",
        requires: Sequence[str] = REQUIRES,
        module: str = "",
    ) -> str:
        """Install one plugin and give the name of its module."""
        dist = dist or f"fake-{kind}-{name}"
        module = module or f"{dist}-{self.folder.parent.name}".replace("-", "_").lower()
        (self.folder / f"{module}.py").write_text(plugin(kind, name) if source is None else source)
        self.points(dist, {f"tipring.{kind}": {name: module}}, version=version, requires=requires)
        return module

    def points(
        self,
        dist: str,
        groups: Mapping[str, Mapping[str, str]],
        *,
        version: str = "1.0",
        requires: Sequence[str] = REQUIRES,
    ) -> Path:
        """Write the metadata of a distribution, and give its folder."""
        folder = self.folder / f"{dist.replace('-', '_')}-{version}.dist-info"
        folder.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {dist}", f"Version: {version}"]
        (folder / "METADATA").write_text(
            "\n".join([*lines, *(f"Requires-Dist: {need}" for need in requires)]) + "\n"
        )
        told = [
            "\n".join([f"[{group}]", *(f"{name} = {module}" for name, module in points.items())])
            for group, points in groups.items()
        ]
        (folder / "entry_points.txt").write_text("\n\n".join(told) + "\n")
        return folder

    def whole(self) -> None:
        """Install one plugin of each kind that works: ears, end, brain and mouth."""
        for kind, name in (("stt", "ears"), ("turn", "end"), ("llm", "brain"), ("tts", "mouth")):
            self.add(kind, name)

    def last_resort(self) -> None:
        """Install what stands for the host's own detector."""
        self.add("turn", "vad", dist="tipring", version="0.1.0")

    def plugins(self, *, patience: float = 30.0) -> Plugins:
        """Find what is installed here, and only that."""
        found = Plugins.discover([str(self.folder)], environ={})
        every = [
            one for kind in ("stt", "turn", "llm", "tts", "observer") for one in found.found(kind)
        ]
        return Plugins(every, problems=found.problems, patience=patience)


WHOLE = {
    "TIPRING_STT": "ears",
    "TIPRING_TURN": "end",
    "TIPRING_LLM": "brain",
    "TIPRING_TTS": "mouth",
}


@contextmanager
def site(tmp_path: Path) -> Iterator[Site]:
    """A site-packages of one's own, importable until the end of the block."""
    folder = tmp_path / "site"
    folder.mkdir()
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        yield Site(folder)
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(folder)):
                del sys.modules[name]
