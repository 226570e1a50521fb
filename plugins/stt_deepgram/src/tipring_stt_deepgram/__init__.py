"""Deepgram nova-3 hears the caller."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, SecretStr, field_validator, model_validator
from tipring.hookspecs import hookimpl
from tipring.providers import Call, Settings, Stt, secret
from tipring_deepgram.refusals import DEFAULT_URL, ask, socket_root

if TYPE_CHECKING:
    from pipecat.services.stt_service import STTService

_CODEC = (
    "hearing gets PCM16 mono whatever the phone line carries, and a Deepgram that is told otherwise"
    " (mulaw, 8000) gives no transcript at all"
)


class DeepgramSettings(Settings):
    """How Deepgram's nova-3 hears a call."""

    refused: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("encoding", "sample_rate", "channels", "multichannel", "container"), _CODEC
    )
    """What somebody might want to set and must not, with the reason."""

    api_key: SecretStr = secret("DEEPGRAM_API_KEY", "The Deepgram key.")
    model: str = Field("nova-3", min_length=1, description="Which Deepgram model hears the caller.")
    keyterms: tuple[str, ...] = Field(
        (), max_length=100, description="Names and terms to listen for, as they are written."
    )
    endpointing: int = Field(
        300, ge=10, le=5000, description="Milliseconds of silence that close a stretch of words."
    )
    numerals: bool = Field(False, description="Whether spoken numbers are written as digits.")
    smart_format: bool = Field(False, description="Whether dates, amounts and the like are shaped.")
    profanity_filter: bool = Field(False, description="Whether swear words are masked.")
    mip_opt_out: bool = Field(
        False, description="Whether to stay out of Deepgram's model improvement programme."
    )
    url: str = Field(
        DEFAULT_URL, description="Where Deepgram is: a region, a proxy, a deployment of your own."
    )
    keep: float = Field(
        15.0, ge=1, le=60, description="Seconds of audio kept for a connection that is away."
    )
    give_up_after: float = Field(
        20.0, ge=1, le=300, description="Seconds without a connection after which it has failed."
    )

    @model_validator(mode="before")
    @classmethod
    def _codec_is_not_a_setting(cls, values: Any) -> Any:
        for key, reason in cls.refused.items():
            if isinstance(values, dict) and key in values:
                raise ValueError(f"{key} is not a setting: {reason}. Remove it.")
        return values

    @field_validator("url")
    @classmethod
    def _an_address(cls, url: str) -> str:
        return socket_root(url)


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
