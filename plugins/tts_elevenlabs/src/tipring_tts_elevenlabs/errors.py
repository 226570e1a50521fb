"""What ElevenLabs refuses, as sentences with a mend."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tipring_tts_elevenlabs.settings import ElevenLabsSettings


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Something ElevenLabs will not do.

    Attributes:
        what: What it is, a sentence without its full stop.
        fix: What mends it; empty when there is nothing to do but ask again.
        kind: Pipecat's name for the category: ``quota``, ``authentication``, …
        lasting: Whether asking again can never help.
    """

    what: str
    fix: str = ""
    kind: str = "unknown"
    lasting: bool = False

    @property
    def sentence(self) -> str:
        """What it is and what mends it, in one."""
        if not self.fix:
            return f"{self.what}."
        if self.what.endswith("key"):
            # Pipecat takes what follows "key:" for a secret, and hides it.
            return f"{self.what}. {self.fix[0].upper()}{self.fix[1:]}."
        return f"{self.what}: {self.fix}."


def explain(code: object, settings: ElevenLabsSettings, *, status: int = 0) -> Refusal:
    """Say what a refusal means.

    ElevenLabs' own message is not repeated: it may hold what was said.

    Args:
        code: The provider's word for it, such as ``quota_exceeded``.
        settings: To name the voice and the model.
        status: The HTTP status, 0 where there is none.
    """
    word = code if isinstance(code, str) and re.fullmatch(r"[\w+.-]{1,60}", code) else ""
    if word == "quota_exceeded" or status == 402:
        return Refusal(
            what="The ElevenLabs quota is used up",
            fix="raise the plan, or wait for its next month",
            kind="quota",
            lasting=True,
        )
    if word == "detected_unusual_activity":
        return Refusal(
            what="ElevenLabs has blocked this account for unusual activity",
            fix="ask its support",
            kind="authorization",
            lasting=True,
        )
    if word in ("voice_not_found", "voice_id_does_not_exist") or (status == 404 and not word):
        return Refusal(
            what=f"ElevenLabs has no voice {settings.voice!r}",
            fix="choose another in [tts.elevenlabs] voice",
            kind="invalid_request",
            lasting=True,
        )
    if word in ("model_not_found", "model_can_not_do_text_to_speech"):
        return Refusal(
            what=f"ElevenLabs cannot speak with the model {settings.model!r}",
            fix="choose another in [tts.elevenlabs] model",
            kind="invalid_request",
            lasting=True,
        )
    if word == "missing_permissions" or status == 403:
        return Refusal(
            what="The ElevenLabs key may not do this",
            fix="give it the text to speech permission" + (f" ({word})" if word else ""),
            kind="authorization",
            lasting=True,
        )
    if word == "invalid_api_key" or status == 401:
        return Refusal(
            what="ElevenLabs does not know this key",
            fix="set ELEVENLABS_API_KEY to a valid one",
            kind="authentication",
            lasting=True,
        )
    if status == 429:
        return Refusal(
            what="ElevenLabs has too much to do for this account just now (429)",
            fix="raise the plan's concurrency, or take fewer calls",
            kind="rate_limit",
        )
    if word == "input_timeout_exceeded":
        return Refusal(what="ElevenLabs closed the voice after a long wait for text")
    if word == "max_active_conversations":
        return Refusal(what="ElevenLabs counts too many open voices on this socket")
    told = " ".join(part for part in (str(status) if status else "", word) if part)
    return Refusal(
        what=f"ElevenLabs refused{f' ({told})' if told else ''}",
        fix="try again in a minute, and ask its support if it stays" if status else "",
        kind="server" if status >= 500 else "unknown",
        lasting=400 <= status < 500,
    )


def status_of(body: Any) -> str:
    """The provider's word in the body of an HTTP refusal, empty when there is none."""
    detail = body.get("detail") if isinstance(body, dict) else None
    if isinstance(detail, dict):
        for key in ("status", "code", "type"):
            if isinstance(detail.get(key), str):
                return str(detail[key])
    return ""
