"""hibari speaks for the agent, on this machine, without a key."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pydantic import Field
from tipring.hookspecs import hookimpl
from tipring.providers import Call, Settings, Tts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from pipecat.services.tts_service import TTSService


class HibariSettings(Settings):
    """How hibari speaks."""

    voice: str = Field(
        "heart",
        description="Whose voice. Only heart is in the package; others must be in hibari's cache.",
    )
    speed: float = Field(1.0, ge=0.5, le=2.0, description="Pace: 1 is natural, 2 twice as fast.")


def build(settings: HibariSettings, call: Call) -> TTSService:
    """Give one call its voice. The model is loaded once per process, by the first build.

    Raises:
        ValueError: When the call is not in English, or the voice is not on this machine.
    """
    if call.language.lower().split("-")[0] != "en":
        raise ValueError(f"hibari speaks English only, and this call is in {call.language!r}")
    from tipring_tts_hibari.service import HibariService
    from tipring_tts_hibari.voice import shared_voice

    return HibariService(settings, shared_voice(settings.voice))


def render(settings: HibariSettings, call: Call, text: str) -> bytes:
    """Speak one phrase ahead of time, as PCM16 mono at ``call.audio_out_rate``.

    Blocks for some hundredths of a second, and for the load of the model the first time.

    Raises:
        ValueError: When the voice is not on this machine.
    """
    from tipring_tts_hibari.voice import shared_voice

    voice = shared_voice(settings.voice)
    return voice.say(text, rate=call.audio_out_rate, speed=settings.speed).tobytes()


def speak(
    text: str, *, rate: int = 8000, pitch: float = 1.0, speed: float = 1.0
) -> tuple[NDArray[np.int16], int]:
    """Speak for somebody who is not the agent: the caller of a rehearsed call.

    Blocks like :func:`render`; give it to a thread.

    Args:
        text: What to say.
        rate: Hz of what comes back.
        pitch: Higher than 1 is a smaller speaker, lower a larger one: 0.85 is told from the
            agent at once. The pace stays.
        speed: Pace, 0.5 to 2.

    Returns:
        Mono samples and their rate in Hz.
    """
    from tipring_tts_hibari.voice import shared_voice

    return shared_voice("heart").say(text, rate=rate, speed=speed, pitch=pitch), rate


@hookimpl
def register_tts() -> Iterable[Tts[HibariSettings]]:
    """Offer hibari as ``hibari``."""
    yield Tts(
        name="hibari",
        settings=HibariSettings,
        build=build,
        render=render,
        summary="hibari on this machine: one American voice, English, no key, no network.",
    )
