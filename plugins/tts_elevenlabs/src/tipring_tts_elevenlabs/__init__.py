"""ElevenLabs speaks for the agent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tipring.errors import PluginError
from tipring.hookspecs import hookimpl
from tipring.providers import Call, Tts

from tipring_tts_elevenlabs.settings import RATES, ElevenLabsSettings

if TYPE_CHECKING:
    from pipecat.services.tts_service import TTSService

__all__ = ["ElevenLabsSettings", "build", "online", "register_tts", "render"]


def build(settings: ElevenLabsSettings, call: Call) -> TTSService:
    """Give the Pipecat service for one call. It connects when the pipeline starts.

    Raises:
        PluginError: ElevenLabs has no PCM at ``call.audio_out_rate``.
    """
    _check_rate(call)
    from tipring import lean

    # Its other service, over HTTP, is what has use for aiohttp.
    lean.load("pipecat.services.elevenlabs", "pipecat.services.elevenlabs.tts", later=["aiohttp"])
    from tipring_tts_elevenlabs.service import SteadyElevenLabs

    return SteadyElevenLabs(settings, call)


def render(settings: ElevenLabsSettings, call: Call, text: str) -> bytes:
    """Render one phrase over HTTP, as PCM16 mono at ``call.audio_out_rate``. Blocks.

    Raises:
        PluginError: ElevenLabs has no such PCM, refused, or could not be reached.
    """
    _check_rate(call)
    from tipring_tts_elevenlabs.http import speak

    return speak(settings, call, text)


def online(settings: ElevenLabsSettings) -> list[str]:
    """Ask ElevenLabs whether key, voice and model would work: one sentence a problem. Blocks."""
    from tipring_tts_elevenlabs.http import problems

    return problems(settings)


@hookimpl
def register_tts() -> Iterable[Tts[ElevenLabsSettings]]:
    """Offer ``elevenlabs``."""
    yield Tts(
        name="elevenlabs",
        settings=ElevenLabsSettings,
        summary="ElevenLabs, streamed over one socket a call.",
        build=build,
        render=render,
        online=online,
    )


def _check_rate(call: Call) -> None:
    if call.audio_out_rate not in RATES:
        raise PluginError(
            "tts.elevenlabs",
            f"ElevenLabs has no PCM at {call.audio_out_rate} Hz",
            f"use one of {', '.join(map(str, RATES))}; a phone wants 8000",
        )
