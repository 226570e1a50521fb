"""Moonshine hears the caller, on this machine, without a key."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pydantic import Field
from tipring.hookspecs import hookimpl
from tipring.providers import Call, Settings, Stt

if TYPE_CHECKING:
    from pipecat.services.stt_service import STTService


class MoonshineSettings(Settings):
    """How Moonshine listens. All times are seconds."""

    interims: bool = Field(
        True, description="Whether words are told while they are spoken; barge-in needs them."
    )
    interim_every: float = Field(
        0.4, ge=0.1, le=5, description="How often unfinished speech is decoded again."
    )
    longest: float = Field(
        12.0,
        ge=6,
        le=30,
        description="Speech without a pause is cut here, at its quietest point, and goes on.",
    )
    threads: int = Field(
        1, ge=1, le=16, description="How many decodes run at once in this process, over all calls."
    )


def build(settings: MoonshineSettings, call: Call) -> STTService:
    """Give one call its ears. The model is loaded once per process, by the first build.

    Raises:
        ValueError: When the call is not in English.
    """
    if call.language.lower().split("-")[0] != "en":
        raise ValueError(
            f"Moonshine's bundled model hears English only, and this call is in {call.language!r}"
        )
    from tipring_stt_moonshine.decoder import shared_decoder
    from tipring_stt_moonshine.service import MoonshineService

    return MoonshineService(settings, shared_decoder(settings.threads))


@hookimpl
def register_stt() -> Iterable[Stt[MoonshineSettings]]:
    """Offer Moonshine as ``moonshine``."""
    yield Stt(
        name="moonshine",
        settings=MoonshineSettings,
        build=build,
        summary="Moonshine tiny-en on this machine: English, no key, no network.",
        # It closes whatever it is given with a full stop, finished or not.
        punctuates=False,
    )
