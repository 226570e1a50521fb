"""docs/plugins/writing.md does what it says: every command is run, and every snippet is used."""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
import textwrap
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.contracts.beside import beside
from tests.emulators.gateway import MODELS, GatewayEmulator
from tests.installed import install
from tests.patient_loop import command

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[1] / "docs" / "plugins" / "writing.md"
# A heading begins with a capital; a comment in a snippet that names a file does not.
PARTS = re.split(r"^#{1,2} (?=[A-Z])", PAGE.read_text(), flags=re.M)[1:]
SECTIONS = {part.partition("\n")[0]: part for part in PARTS}
STORIES = {
    "turn": ("Write a plugin", "What is in it", "A turn detector"),
    "stt": ("Ears",),
    "llm": ("A rung of the ladder",),
    "tts": ("A voice",),
}
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```", re.M | re.S)


@dataclass
class Reader:
    """Somebody who does what the page says, in an empty folder."""

    folder: Path
    environ: dict[str, str] = field(default_factory=dict)
    ran: list[str] = field(default_factory=list)

    @property
    def site(self) -> Path:
        return self.folder.parent / "site"

    def follow(self, section: str) -> None:
        for language, text in BLOCK.findall(section):
            if language == "python":
                self.write(text)
                continue
            for line in text.splitlines():
                assert line.startswith("$ ")
                self.run(line.removeprefix("$ "))

    def run(self, line: str) -> None:
        self.ran.append(line)
        words = shlex.split(line)
        env = {}
        while "=" in words[0]:
            key, _, value = words.pop(0).partition("=")
            env[key] = value
        if words[0] == "cd":
            self.folder = self.folder / words[1]
            return
        if words[0] == "pip":
            # What an installer does, without its network. -e means that the source stays in use.
            assert words[1:] == ["install", "-e", ".", "pytest"]
            self.site.mkdir(exist_ok=True)
            install(self.folder, self.site, editable=True)
            return
        assert words[0] in ("tipring", "pytest")
        keep = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
        paths = os.pathsep.join([str(self.site), str(self.folder / "src")])
        # Only a call, and the plugin that has a server, need the time of the clock on the wall.
        real = words[:2] == ["tipring", "call"] or self.environ
        done = subprocess.run(
            [sys.executable, "-m", *words] if real else command(*words),
            cwd=self.folder,
            env=keep | {"PYTHONPATH": paths} | self.environ | env,
            capture_output=True,
            text=True,
            timeout=110,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout[-3000:]}{done.stderr[-2000:]}"

    def write(self, text: str) -> None:
        """Write a file, or one definition in it, as the snippet's first line says."""
        head, _, body = text.partition("\n")
        path, _, name = head.removeprefix("# ").partition(": instead of ")
        file = self.folder / path
        if not name:
            file.write_text(body)
            return
        source = file.read_text()
        (old,) = [
            node
            for node in ast.walk(ast.parse(source))
            if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
            and node.name == name
        ]
        assert old.end_lineno is not None
        lines = source.splitlines()
        new = textwrap.indent(body.rstrip(), " " * old.col_offset).splitlines()
        file.write_text(
            "\n".join([*lines[: old.lineno - 1], *new, *lines[old.end_lineno :]]) + "\n"
        )


@pytest.mark.timeout(400)  # four runs of a contract whose caller speaks in real time, and a call
@pytest.mark.parametrize("kind", STORIES)
def test_the_page_takes_a_reader_from_nothing_to_a_working_plugin(
    kind: str, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    with ExitStack() as stack:
        reader = Reader(tmp_path / "empty")
        if kind == "llm":
            server, _ = stack.enter_context(beside(GatewayEmulator()))
            reader.environ = {"MODEL_URL": server.plain_url, "MODEL": MODELS["plain"]}
        for title in STORIES[kind]:
            reader.follow(SECTIONS[title])
    assert reader.ran[-1] == "pytest"


def test_no_command_or_snippet_of_the_page_is_left_out() -> None:
    told = {title for titles in STORIES.values() for title in titles}
    assert {title for title, text in SECTIONS.items() if BLOCK.search(text)} == told
