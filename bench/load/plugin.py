"""The stubs as tipring plugins."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

from tipring.hookspecs import hookimpl
from tipring.providers import Call, End, Llm, NoSettings, RungEvent, Stt, TextDelta, Tts

_POINTS = "".join(
    f"[tipring.{kind}]\nload_stub = bench.load.plugin\n" for kind in ("stt", "llm", "tts")
)


def install(folder: Path) -> None:
    """Write what makes these plugins be found, into a folder on ``sys.path``."""
    info = folder / "tipring_bench_load-0.dist-info"
    info.mkdir(parents=True)
    head = "Metadata-Version: 2.1\nName: tipring-bench-load\nVersion: 0\n"
    (info / "METADATA").write_text(head, encoding="utf-8")
    (info / "entry_points.txt").write_text(_POINTS, encoding="utf-8")


class Answers:
    """A rung that always says the same."""

    async def stream(self, context: Any, *, system: str) -> AsyncIterator[RungEvent]:
        """Answer."""
        from bench.load.stubs import ANSWER, FIRST_TOKEN

        await asyncio.sleep(FIRST_TOKEN)
        for word in ANSWER.split():
            yield TextDelta(text=word + " ")
        yield End()

    async def aclose(self) -> None:
        """Nothing is kept."""


def _stt(settings: NoSettings, call: Call) -> Any:
    from bench.load.stubs import StubSTT

    return StubSTT()


def _llm(settings: NoSettings, call: Call) -> Answers:
    return Answers()


def _tts(settings: NoSettings, call: Call) -> Any:
    from bench.load.stubs import StubTTS

    return StubTTS(call.id)


def _render(settings: NoSettings, call: Call, text: str) -> bytes:
    from bench.load.stubs import voice

    return voice(call.audio_out_rate)


@hookimpl
def register_stt() -> Iterable[Stt[NoSettings]]:
    """Offer ears that hear one sentence."""
    yield Stt(name="load_stub", settings=NoSettings, build=_stt)


@hookimpl
def register_llm() -> Iterable[Llm[NoSettings]]:
    """Offer one answer."""
    yield Llm(name="load_stub", settings=NoSettings, build=_llm)


@hookimpl
def register_tts() -> Iterable[Tts[NoSettings]]:
    """Offer a tone for a voice."""
    yield Tts(name="load_stub", settings=NoSettings, build=_tts, render=_render)
