"""Deepgram nova-3 hears the caller."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pydantic import Field
from tipring.hookspecs import hookimpl
from tipring.providers import Call, Stt
from tipring_deepgram.refusals import ask
from tipring_deepgram.settings import LineSettings

if TYPE_CHECKING:
    from pipecat.services.stt_service import STTService


class DeepgramSettings(LineSettings):
    """How Deepgram's nova-3 hears a call."""

    model: str = Field("nova-3", min_length=1, description="Which Deepgram model hears the caller.")
    endpointing: int = Field(
        300, ge=10, le=5000, description="Milliseconds of silence that close a stretch of words."
    )
    numerals: bool = Field(False, description="Whether spoken numbers are written as digits.")
    smart_format: bool = Field(False, description="Whether dates, amounts and the like are shaped.")
    profanity_filter: bool = Field(False, description="Whether swear words are masked.")


def build(settings: DeepgramSettings, call: Call) -> STTService:
    """Make the transcriber of one call."""
    from tipring_stt_deepgram.service import HeldDeepgramSTTService

    return HeldDeepgramSTTService(
        api_key=settings.api_key.get_secret_value(),
        base_url=settings.url,
        mip_opt_out=settings.mip_opt_out or None,
        keep=settings.keep,
        give_up_after=settings.give_up_after,
        settings=HeldDeepgramSTTService.Settings(
            model=settings.model,
            language=call.language,
            keyterm=list(settings.keyterms) or None,
            endpointing=settings.endpointing,
            numerals=settings.numerals,
            smart_format=settings.smart_format,
            profanity_filter=settings.profanity_filter,
            interim_results=True,
            punctuate=True,
        ),
    )


def online(settings: DeepgramSettings) -> list[str]:
    """Ask Deepgram whether it would take a call with these settings."""
    return ask(
        f"{settings.url}/v1/listen",
        settings.api_key.get_secret_value(),
        {
            "model": settings.model,
            "encoding": "linear16",
            "sample_rate": "16000",
            "endpointing": str(settings.endpointing),
            "keyterm": list(settings.keyterms),
        },
    )


@hookimpl
def register_stt() -> Iterable[Stt[DeepgramSettings]]:
    """Offer ``deepgram``."""
    yield Stt(
        name="deepgram",
        settings=DeepgramSettings,
        build=build,
        summary="Deepgram nova-3 over a connection that is held through failures.",
        online=online,
        punctuates=True,
    )
