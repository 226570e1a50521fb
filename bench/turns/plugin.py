"""The stubs as tipring plugins; the process tells :data:`DESK` before the host looks for them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

from pipecat.processors.aggregators.llm_context import LLMContext
from tipring.hookspecs import hookimpl
from tipring.providers import (
    Call,
    End,
    Llm,
    NoSettings,
    RungEvent,
    Stt,
    TextDelta,
    Tts,
    Turn,
    TurnPlan,
)

from bench.turns.truth import Desk

DESK: list[Desk] = []
"""The process's calls; one."""

FLUX: list[str] = []
"""Where the emulated Flux listens; one, in the system that uses it."""

_DIST = """Metadata-Version: 2.1
Name: tipring-bench-turns
Version: 0
"""
_POINTS = """[tipring.stt]
bench_oracle = bench.turns.plugin
[tipring.turn]
bench_flux = bench.turns.plugin
[tipring.llm]
bench_lines = bench.turns.plugin
[tipring.tts]
bench_voice = bench.turns.plugin
"""


def install(folder: Path) -> None:
    """Write what makes these plugins be found, into a folder on ``sys.path``."""
    info = folder / "tipring_bench_turns-0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text(_DIST, encoding="utf-8")
    (info / "entry_points.txt").write_text(_POINTS, encoding="utf-8")


class Lines:
    """A rung that says the call's lines."""

    def __init__(self, sid: str) -> None:
        self._sid = sid

    async def stream(self, context: LLMContext, *, system: str) -> AsyncIterator[RungEvent]:
        """Answer with the next line."""
        from bench.turns.pipecat_stubs import last_said

        asked = DESK[0].asked(self._sid)
        asked.heard = last_said(context.get_messages())
        async for token in asked.tokens_of(asked.truth.reply()):
            yield TextDelta(text=token)
        yield End()

    async def aclose(self) -> None:
        """Nothing is kept."""


def _stt(settings: NoSettings, call: Call) -> Any:
    from bench.turns.pipecat_stubs import OracleSTT

    return OracleSTT(DESK[0], call.id)


def _llm(settings: NoSettings, call: Call) -> Lines:
    return Lines(call.id)


def _tts(settings: NoSettings, call: Call) -> Any:
    from bench.turns.pipecat_stubs import StubTTS

    return StubTTS(DESK[0])


def _render(settings: NoSettings, call: Call, text: str) -> bytes:
    return DESK[0].voice.say(text).tobytes()


def _flux(settings: NoSettings, call: Call) -> TurnPlan:
    from pydantic import SecretStr
    from tipring_turn_flux import FluxSettings, build

    where = f"{FLUX[0]}/{call.id}"
    return build(FluxSettings(api_key=SecretStr("dg-key"), url=where), call)


@hookimpl
def register_stt() -> Iterable[Stt[NoSettings]]:
    """Offer the oracle transcriber."""
    yield Stt(name="bench_oracle", settings=NoSettings, build=_stt)


@hookimpl
def register_turn() -> Iterable[Turn[NoSettings]]:
    """Offer Flux as the emulator plays it."""
    yield Turn(name="bench_flux", settings=NoSettings, build=_flux, transcribes=True)


@hookimpl
def register_llm() -> Iterable[Llm[NoSettings]]:
    """Offer the lines."""
    yield Llm(name="bench_lines", settings=NoSettings, build=_llm)


@hookimpl
def register_tts() -> Iterable[Tts[NoSettings]]:
    """Offer the rendered voice."""
    yield Tts(name="bench_voice", settings=NoSettings, build=_tts, render=_render)
