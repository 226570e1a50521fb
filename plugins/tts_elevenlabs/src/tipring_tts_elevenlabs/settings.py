"""What can be set about the ElevenLabs voice."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr
from tipring.providers import Settings, secret

RATES = (8000, 16000, 22050, 24000, 32000, 44100, 48000)
"""Hz in which ElevenLabs gives PCM."""


def _root(schemes: tuple[str, str]) -> AfterValidator:
    def check(url: str) -> str:
        if not url.startswith(schemes):
            raise ValueError(f"begins with {schemes[0]} or {schemes[1]}")
        return url.rstrip("/")

    return AfterValidator(check)


def _streams(model: str) -> str:
    if model.startswith("eleven_v3"):
        raise ValueError("is not offered over ElevenLabs' sockets; use eleven_flash_v2_5")
    return model


class ElevenLabsSettings(Settings):
    """The voice, how it speaks, and where ElevenLabs is."""

    api_key: SecretStr = secret("ELEVENLABS_API_KEY", "The ElevenLabs key.")
    # The voice of the examples in ElevenLabs' own SDK.
    voice: str = Field(
        "JBFqnCBsd6RMkjVDRZzb",
        min_length=1,
        pattern=r"^[A-Za-z0-9_-]+$",
        description="The id of the voice.",
    )
    model: Annotated[str, AfterValidator(_streams)] = Field(
        "eleven_flash_v2_5", min_length=1, description="The model; flash answers soonest."
    )
    speed: float = Field(1.0, ge=0.7, le=1.2, description="How fast it speaks; 1.0 is as recorded.")
    stability: float = Field(0.5, ge=0, le=1, description="Low: lively. High: even.")
    similarity: float = Field(
        0.75, ge=0, le=1, description="How closely it keeps to the voice as recorded."
    )
    patience: float = Field(
        3.0, gt=0, le=30, description="Seconds without audio before a sentence is given up."
    )
    url: Annotated[str, _root(("ws://", "wss://"))] = Field(
        "wss://api.elevenlabs.io", description="The root of the sockets."
    )
    base_url: Annotated[str, _root(("http://", "https://"))] = Field(
        "https://api.elevenlabs.io", description="The root of the HTTP calls."
    )
