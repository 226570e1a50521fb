"""What can be set of a line to Deepgram, whoever is at its other end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field, SecretStr, field_validator, model_validator
from tipring.providers import Settings, secret

from tipring_deepgram.refusals import DEFAULT_URL, socket_root

_CODEC = (
    "hearing gets PCM16 mono whatever the phone line carries, and a Deepgram that is told otherwise"
    " (mulaw, 8000) gives no transcript at all"
)


class LineSettings(Settings):
    """The key, the address, and how long a line is held through failures."""

    refused: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("encoding", "sample_rate", "channels", "multichannel", "container"), _CODEC
    )

    api_key: SecretStr = secret("DEEPGRAM_API_KEY", "The Deepgram key.")
    keyterms: tuple[str, ...] = Field(
        (), max_length=100, description="Names and terms to listen for, as they are written."
    )
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
