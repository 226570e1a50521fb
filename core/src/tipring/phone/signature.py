"""Whether a request is Twilio's."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import SecretStr
from twilio.request_validator import RequestValidator


class Signatures:
    """Checks ``X-Twilio-Signature`` on webhooks and on the upgrade of a stream.

    Twilio signs the URL that it was given, so the host's public URL counts and never what a proxy
    made of it.

    Args:
        token: Twilio's auth token.
        public_url: Where Twilio reaches the host: scheme and host, no slash at the end.
    """

    def __init__(self, token: SecretStr, public_url: str) -> None:
        self._validator = RequestValidator(token.get_secret_value())
        self._public_url = public_url.rstrip("/")

    def webhook(self, path: str, form: Mapping[str, str], signature: str) -> bool:
        """Whether Twilio signed this form POST.

        Args:
            path: With its query, beginning with a slash.
            form: The posted fields.
            signature: The header; empty when there was none.
        """
        url = self._public_url + path
        return bool(signature) and bool(self._validator.validate(url, dict(form), signature))

    def upgrade(self, path: str, signature: str) -> bool:
        """Whether Twilio signed the upgrade of this stream."""
        url = stream_url(self._public_url, path)
        return bool(signature) and bool(self._validator.validate(url, {}, signature))


def stream_url(public_url: str, path: str) -> str:
    """The websocket URL of a path: ``https`` becomes ``wss``, ``http`` (a laptop) ``ws``."""
    return "ws" + public_url.rstrip("/").removeprefix("http") + path
