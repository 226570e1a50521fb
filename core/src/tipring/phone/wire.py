"""Uvicorn's websocket, which does not stop to read after each message."""

from __future__ import annotations

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

_AHEAD = 50
"""Messages that may wait for the application, a second of a phone's, before reading stops."""


class PhoneProtocol(WebSocketsSansIOProtocol):
    """A websocket of fifty messages a second, each of which is taken at once.

    Uvicorn's own takes the socket out of the event loop's selector with each message and puts it
    back when the application has taken it: a twentieth of what the loop does for calls.
    """

    def send_receive_event_to_app(self) -> None:
        """Hand a message over, and go on reading while few wait."""
        if self.read_paused or self.queue.qsize() >= _AHEAD:
            super().send_receive_event_to_app()
            return
        self.read_paused = True  # then it is not paused
        try:
            super().send_receive_event_to_app()
        finally:
            self.read_paused = False
