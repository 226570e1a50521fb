"""ElevenLabs over HTTP, through its own SDK: phrases rendered ahead, and the check of a set-up."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

# The SDK's own ElevenLabs is this one and the makers' other products, which are imported with it.
from elevenlabs.base_client import BaseElevenLabs as ElevenLabs
from elevenlabs.core.api_error import ApiError
from elevenlabs.core.request_options import RequestOptions
from elevenlabs.types import VoiceSettings
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential
from tipring.errors import PluginError

from tipring_tts_elevenlabs.errors import explain, status_of

if TYPE_CHECKING:
    from tipring.providers import Call

    from tipring_tts_elevenlabs.settings import ElevenLabsSettings

T = TypeVar("T")

# ElevenLabs' flash models take a language; its v2 models of one language refuse one.
_TAKES_LANGUAGE = ("eleven_flash_v2_5", "eleven_turbo_v2_5")
_TIMEOUT = 20.0
# Repeating is ours, so that it is the same for every request.
_ONCE: RequestOptions = {"max_retries": 0}
_ATTEMPTS = 4


def speak(settings: ElevenLabsSettings, call: Call, text: str) -> bytes:
    """Render one text.

    Args:
        settings: The voice.
        call: Its rate and language.
        text: What is said.

    Returns:
        PCM16 mono at ``call.audio_out_rate``.

    Raises:
        PluginError: ElevenLabs refused, or could not be reached after some attempts.
    """
    language = call.language.split("-")[0].lower()

    def once(client: ElevenLabs) -> bytes:
        return b"".join(
            client.text_to_speech.stream(
                settings.voice,
                text=text,
                model_id=settings.model,
                output_format=f"pcm_{call.audio_out_rate}",
                language_code=language if settings.model in _TAKES_LANGUAGE else None,
                voice_settings=VoiceSettings(
                    stability=settings.stability,
                    similarity_boost=settings.similarity,
                    speed=settings.speed,
                ),
            )
        )

    try:
        with _client(settings) as client:
            # The SDK never repeats a stream, so a 429 is ours to repeat.
            pcm = _patiently(lambda: once(client))
    except ApiError as error:
        refusal = explain(status_of(error.body), settings, status=error.status_code or 0)
        raise PluginError("tts.elevenlabs", refusal.what, refusal.fix) from None
    except (httpx.HTTPError, OSError) as error:
        raise PluginError(
            "tts.elevenlabs",
            f"ElevenLabs could not be reached at {settings.base_url} ({type(error).__name__})",
            "check the network and [tts.elevenlabs] base_url",
        ) from None
    if not pcm:
        raise PluginError(
            "tts.elevenlabs",
            "ElevenLabs rendered no audio for a phrase",
            "look whether [tts.elevenlabs] voice and model can say it",
        )
    # A stream that was cut in the middle of a sample would shift everything after it.
    return pcm[: len(pcm) // 2 * 2]


def problems(settings: ElevenLabsSettings) -> list[str]:
    """Prove the key, the voice and the model, each on its own.

    Returns:
        One sentence a problem; nothing when all three work.
    """
    try:
        with _client(settings) as client:
            return _found(client, settings)
    except (httpx.HTTPError, OSError) as error:
        return [
            f"ElevenLabs could not be reached at {settings.base_url} ({type(error).__name__}):"
            " check the network and [tts.elevenlabs] base_url."
        ]


def _found(client: ElevenLabs, settings: ElevenLabsSettings) -> list[str]:
    if (refused := _asked(lambda: client.user.get(request_options=_ONCE))) and refused[
        1
    ] != "missing_permissions":
        # Nothing else can be asked with a key that does not work.
        return [explain(refused[1], settings, status=refused[0]).sentence]
    found = []
    if refused := _asked(lambda: client.voices.get(settings.voice, request_options=_ONCE)):
        status, word = refused
        if word == "missing_permissions":
            found.append(
                f"The voice {settings.voice!r} was not checked: the ElevenLabs key lacks the"
                " permission voices_read."
            )
        else:
            unknown = "voice_not_found" if status in (400, 404, 422) else word
            found.append(explain(unknown, settings, status=status).sentence)
    models: list[Any] = []
    if refused := _asked(lambda: models.extend(client.models.list(request_options=_ONCE))):
        if refused[1] == "missing_permissions":
            found.append(
                f"The model {settings.model!r} was not checked: the ElevenLabs key lacks the"
                " permission models_read."
            )
        else:
            found.append(explain(refused[1], settings, status=refused[0]).sentence)
    else:
        speaking = sorted(m.model_id for m in models if m.can_do_text_to_speech)
        if settings.model not in speaking:
            found.append(
                explain("model_not_found", settings).sentence + f" It has {', '.join(speaking)}."
            )
    return found


@contextmanager
def _client(settings: ElevenLabsSettings) -> Iterator[ElevenLabs]:
    with httpx.Client(verify=_trusted(), timeout=_TIMEOUT, follow_redirects=True) as http:
        yield ElevenLabs(
            api_key=settings.api_key.get_secret_value(),
            base_url=settings.base_url,
            httpx_client=http,
        )


@cache
def _trusted() -> ssl.SSLContext:
    """The world's certificates, which take too long to read to do it for each phrase."""
    return httpx.create_ssl_context()


def _asked(question: Callable[[], object]) -> tuple[int, str] | None:
    """Ask, and give the status and the word of a refusal."""
    try:
        _patiently(question)
    except ApiError as error:
        return error.status_code or 0, status_of(error.body)
    return None


def _patiently(request: Callable[[], T]) -> T:
    """Repeat what a moment may mend: 429, 5xx, and a connection that broke."""
    return Retrying(
        stop=stop_after_attempt(_ATTEMPTS),
        wait=wait_random_exponential(multiplier=0.25, max=4),
        retry=retry_if_exception(_passing),
        reraise=True,
    )(request)


def _passing(error: BaseException) -> bool:
    if isinstance(error, ApiError):
        return error.status_code == 429 or (error.status_code or 0) >= 500
    return isinstance(error, httpx.TransportError)
