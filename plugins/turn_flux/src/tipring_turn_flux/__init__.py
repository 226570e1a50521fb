"""Deepgram Flux hears the caller and says when they are done."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

from pydantic import Field, model_validator
from tipring.hookspecs import hookimpl
from tipring.providers import Call, Turn, TurnPlan
from tipring_deepgram.refusals import ask
from tipring_deepgram.settings import LineSettings

ENGLISH = "flux-general-en"
MANY_LANGUAGES = "flux-general-multi"


class FluxSettings(LineSettings):
    """How Flux hears a call and ends its turns."""

    model: str = Field(
        "",
        description=f"Which Flux model hears the caller. Empty: {ENGLISH} for English,"
        f" {MANY_LANGUAGES} for anything else.",
    )
    eot_threshold: float = Field(
        0.7, ge=0.5, le=0.9, description="How sure Flux must be that the turn is over."
    )
    eager_eot_threshold: float | None = Field(
        None,
        ge=0.3,
        le=0.9,
        description="How sure Flux must be for the model to start ahead, unheard. Unset: never.",
    )
    eot_timeout_ms: int = Field(
        5000, ge=500, le=10000, description="Silence after which Flux ends a turn, sure or not."
    )
    silence_limit: float = Field(
        2.5,
        ge=1.0,
        le=15.0,
        description="Seconds of silence after which a turn Flux left open is ended without it.",
    )

    @model_validator(mode="after")
    def _eager_is_below(self) -> Self:
        if self.eager_eot_threshold is not None and self.eager_eot_threshold > self.eot_threshold:
            raise ValueError(
                f"eager_eot_threshold is {self.eager_eot_threshold}, above eot_threshold"
                f" {self.eot_threshold}: a guess must come before the verdict. Lower it."
            )
        return self

    def model_for(self, language: str) -> str:
        """Which model hears this language, a BCP 47 tag."""
        return self.model or (ENGLISH if language.split("-")[0] == "en" else MANY_LANGUAGES)


def build(settings: FluxSettings, call: Call) -> TurnPlan:
    """Make the transcriber and the detector of one call, which are one."""
    from pipecat.turns.user_stop import EagerUserTurnStopStrategy, ExternalUserTurnStopStrategy
    from tipring.turns.vad import phone_vad

    from tipring_turn_flux.service import HeldFluxSTTService

    eager = settings.eager_eot_threshold is not None
    return TurnPlan(
        stop=EagerUserTurnStopStrategy() if eager else ExternalUserTurnStopStrategy(),
        vad=phone_vad(),
        stt=HeldFluxSTTService.for_call(settings, call),
        # The service ends a forgotten turn itself; the host need only wait a little longer.
        patience=settings.silence_limit + 0.5,
        punctuates=True,
    )


def online(settings: FluxSettings) -> list[str]:
    """Ask Deepgram whether it would take a call with these settings."""
    query: dict[str, str | list[str]] = {
        "model": settings.model_for("en"),
        "encoding": "linear16",
        "sample_rate": "16000",
        "eot_threshold": str(settings.eot_threshold),
        "eot_timeout_ms": str(settings.eot_timeout_ms),
        "keyterm": list(settings.keyterms),
    }
    if settings.eager_eot_threshold is not None:
        query["eager_eot_threshold"] = str(settings.eager_eot_threshold)
    return ask(f"{settings.url}/v2/listen", settings.api_key.get_secret_value(), query)


@hookimpl
def register_turn() -> Iterable[Turn[FluxSettings]]:
    """Offer ``flux``."""
    yield Turn(
        name="flux",
        settings=FluxSettings,
        build=build,
        summary="Deepgram Flux: transcriber and turn detector in one.",
        online=online,
        transcribes=True,
    )
