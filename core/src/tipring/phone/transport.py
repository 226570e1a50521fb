"""The phone's websocket as Pipecat's transport, on the shortest way for the caller's sound."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from pipecat.frames.frames import BotSpeakingFrame, Frame, InputAudioRawFrame
from pipecat.transports.websocket.fastapi import (
    FastAPIWebsocketInputTransport,
    FastAPIWebsocketOutputTransport,
    FastAPIWebsocketParams,
    FastAPIWebsocketTransport,
)

from tipring.phone.socket import PhoneSocket
from tipring.phone.stream import TwilioStream


class PhoneTransport(FastAPIWebsocketTransport):
    """Pipecat's websocket transport for one call.

    Args:
        socket: The call's.
        stream: The phone's protocol.
        pulse: Told, five times a second, that the agent is still speaking.
    """

    def __init__(
        self,
        socket: PhoneSocket,
        stream: TwilioStream,
        *,
        pulse: Callable[[Frame], Awaitable[None]],
    ) -> None:
        super().__init__(
            socket,
            FastAPIWebsocketParams(
                audio_in_enabled=True,
                audio_out_enabled=True,
                # The last words have been heard, by the marks, when the end comes.
                audio_out_end_silence_secs=0,
                serializer=stream,
                allowed_origins=[],
            ),
        )
        self._input = _PhoneInput(self, socket, stream)
        self._output = _PhoneOutput(self, pulse)


class _PhoneInput(FastAPIWebsocketInputTransport):
    """What the caller says.

    Pipecat's own reads a message in one task, and pushes its sound in another: fifty times a
    second, a queue, a timer and a switch for what an audio filter would need.
    """

    def __init__(
        self, transport: PhoneTransport, socket: PhoneSocket, stream: TwilioStream
    ) -> None:
        super().__init__(transport, transport._client, transport._params)
        self._socket = socket
        self._stream = stream

    async def push_audio_frame(self, frame: InputAudioRawFrame) -> None:
        """Push it at once."""
        if not self._paused:
            await self.push_frame(frame)

    def _create_audio_task(self) -> None:
        """There is nothing to do for one."""

    async def _receive_messages(self) -> None:
        await self._socket.listen(self._hear)
        if not self._client.is_closing:
            await self._client.trigger_client_disconnected()

    async def _hear(self, said: str | bytes) -> None:
        frame = await self._stream.deserialize(said)
        if isinstance(frame, InputAudioRawFrame):
            await self.push_audio_frame(frame)
        elif frame is not None:
            await self.push_frame(frame)


class _PhoneOutput(FastAPIWebsocketOutputTransport):
    """What the caller hears.

    Pipecat's own tells every processor of the pipeline that the agent is still speaking. Only the
    rules of the turns might want to know.
    """

    def __init__(
        self, transport: PhoneTransport, pulse: Callable[[Frame], Awaitable[None]]
    ) -> None:
        super().__init__(transport, transport._client, transport._params)
        self._pulse = pulse

    async def broadcast_frame(self, frame_cls: type[Frame], **kwargs: Any) -> None:
        """Tell everybody, or those who want to know."""
        if frame_cls is BotSpeakingFrame:
            await self._pulse(frame_cls(**kwargs))
        else:
            await super().broadcast_frame(frame_cls, **kwargs)
