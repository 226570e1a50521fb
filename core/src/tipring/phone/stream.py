"""Twilio's media stream, as the host hears it: everything from outside is doubted.

Pipecat's serializer does what goes out: the codec and the ``clear``. Here stand the limits, the
caller's audio, the marks, the key presses, the end of the call, and the tap for the recording.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipecat.frames.frames import (
    AudioRawFrame,
    Frame,
    InputAudioRawFrame,
    InputDTMFFrame,
    InterruptionFrame,
    OutputTransportMessageFrame,
    OutputTransportMessageUrgentFrame,
)
from pipecat.serializers.twilio import TwilioFrameSerializer
from starlette.websockets import WebSocket, WebSocketDisconnect

from tipring.journal import Journal
from tipring.phone import mulaw
from tipring.phone.wideband import Wideband

log = logging.getLogger(__name__)

# Twilio sends 160 bytes every 20 ms; a second at once is a lot, and more is not a phone.
MAX_MESSAGE = 16_384
_MAX_PAYLOAD = 8_000
_SID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PARAMETERS = 32
_PARAMETER = 500  # Twilio's own limit for a name and its value


@dataclass(frozen=True, kw_only=True)
class Start:
    """How a stream introduced itself.

    Attributes:
        stream: Twilio's id of the stream.
        call: Twilio's id of the call.
        parameters: What the TwiML told it.
    """

    stream: str
    call: str
    parameters: Mapping[str, str] = field(default_factory=dict)


class NotAPhone(Exception):
    """What connected does not speak Twilio's protocol. The message says what was wrong with it."""


async def greet(websocket: WebSocket, *, within: float = 5.0) -> Start:
    """Read up to the start message.

    Args:
        websocket: Accepted, nothing read yet.
        within: Seconds the other side has for it.

    Raises:
        NotAPhone: No start message came, or one that cannot be.
    """
    try:
        async with asyncio.timeout(within):
            for _ in range(8):  # connected, start, and some patience for what is not ours
                message = _parse(await websocket.receive_text())
                if message is not None and message.get("event") == "start":
                    return _start(message)
    except TimeoutError:
        raise NotAPhone(f"no start message within {within:g} s") from None
    except (WebSocketDisconnect, KeyError):  # KeyError: a binary message, which Twilio never sends
        raise NotAPhone("the stream closed, or sent bytes, before its start message") from None
    raise NotAPhone("eight messages and no start message among them")


def _start(message: Mapping[str, Any]) -> Start:
    start = message.get("start")
    if not isinstance(start, dict):
        raise NotAPhone("a start message without its body")
    ids = [start.get("streamSid"), start.get("callSid")]
    if not all(isinstance(sid, str) and _SID.fullmatch(sid) for sid in ids):
        raise NotAPhone("a start message without the ids of stream and call")
    parameters = start.get("customParameters") or {}
    if not isinstance(parameters, dict) or len(parameters) > _PARAMETERS:
        raise NotAPhone("custom parameters that are no table, or too large a one")
    told = {
        str(name): value
        for name, value in parameters.items()
        if isinstance(value, str) and len(str(name)) + len(value) < _PARAMETER
    }
    return Start(stream=str(ids[0]), call=str(ids[1]), parameters=told)


def _parse(text: str | bytes) -> dict[str, Any] | None:
    """One message, or None when it is not one of Twilio's."""
    if isinstance(text, bytes) or len(text) > MAX_MESSAGE:
        return None
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) else None


class CallerAudio(InputAudioRawFrame):
    """The caller's audio, which makes no more of itself in a log than its name.

    Pipecat words a log line for each step of each frame, whether or not it is ever written: fifty
    times a second and step, a thirtieth of what the event loop does.
    """

    def __str__(self) -> str:
        return self.name


class TwilioStream(TwilioFrameSerializer):
    """One call's stream.

    Args:
        start: How it introduced itself.
        journal: Told of keys, clears and marks.
        on_mark: Called with the name of a mark that came back.
        on_stop: Called when Twilio says that the caller is gone.
        on_caller: Called with the caller's μ-law as it comes, for the recording.
        on_agent: Called with the agent's μ-law as it goes.
    """

    def __init__(
        self,
        start: Start,
        *,
        journal: Journal,
        on_mark: Callable[[str], None],
        on_stop: Callable[[], None],
        on_caller: Callable[[bytes], None] | None = None,
        on_agent: Callable[[bytes], None] | None = None,
    ) -> None:
        super().__init__(
            stream_sid=start.stream,
            call_sid=start.call,
            # Closing the stream ends the call, since no TwiML follows it. A REST call could stall.
            # Messages to browsers, which would be looked for with each mark, there are none.
            params=TwilioFrameSerializer.InputParams(
                auto_hang_up=False, ignore_rtvi_messages=False
            ),
        )
        self._journal = journal
        self._on_mark = on_mark
        self._on_stop = on_stop
        self._on_caller = on_caller
        self._on_agent = on_agent
        self._complained = False
        self._stopped = False
        self._wideband = Wideband()

    def moved(self, stream: str) -> None:
        """The call goes on over another stream."""
        self._stream_sid = stream

    async def deserialize(self, data: str | bytes) -> Frame | None:
        """Turn a message into a frame, or into nothing. Never raises for what it is given."""
        message = _parse(data)
        if message is None:
            self._complain("a message that is not Twilio's JSON")
            return None
        match message.get("event"):
            case "media":
                return await self._media(message, data)
            case "mark":
                mark = message.get("mark")
                name = mark.get("name") if isinstance(mark, dict) else None
                if isinstance(name, str):
                    self._on_mark(name)
            case "dtmf":
                if not isinstance(message.get("dtmf"), dict):
                    self._complain("a key press without its key")
                    return None
                frame = await super().deserialize(data)
                if isinstance(frame, InputDTMFFrame):
                    self._journal.note("key", digit=frame.button.value)
                return frame
            case "stop":
                self._on_stop()
            case "connected":
                pass
            case "start":
                self._complain("a second start message")
            case _:
                self._complain("an event that Twilio does not have")
        return None

    def stop(self) -> OutputTransportMessageUrgentFrame:
        """Say nothing more, until Pipecat's interruption has come down the line.

        What it passes on its way is what was still to be said, and what comes after it is new.

        Returns:
            The ``clear`` that is to be sent now.
        """
        self._stopped = True
        self._journal.note("clear")
        return OutputTransportMessageUrgentFrame(
            message={"event": "clear", "streamSid": self._stream_sid}
        )

    async def serialize(self, frame: Frame) -> str | bytes | None:
        """Turn a frame into what Twilio plays, or clears."""
        if self._stopped:
            if isinstance(frame, InterruptionFrame):
                self._stopped = False
                return None
            if isinstance(frame, AudioRawFrame | OutputTransportMessageFrame):
                return None
        payload = await super().serialize(frame)
        if isinstance(frame, InterruptionFrame):
            self._journal.note("clear")
        elif isinstance(frame, AudioRawFrame) and payload and self._on_agent:
            self._on_agent(base64.b64decode(json.loads(payload)["media"]["payload"]))
        return payload

    async def _media(self, message: dict[str, Any], data: str | bytes) -> Frame | None:
        media = message.get("media")
        payload = media.get("payload") if isinstance(media, dict) else None
        if not isinstance(payload, str):
            self._complain("media without a payload")
            return None
        try:
            sound = base64.b64decode(payload, validate=True)
        except (binascii.Error, ValueError):
            self._complain("media whose payload is not base64")
            return None
        if len(sound) > _MAX_PAYLOAD:
            self._complain("media of more than a second")
            return None
        if not sound:
            return None
        if self._on_caller:
            self._on_caller(sound)
        match self._sample_rate:
            case 16_000:
                pcm = self._wideband.double(mulaw.decode(sound))
            case mulaw.RATE:
                pcm = mulaw.decode(sound).tobytes()
            case _:
                return await super().deserialize(data)
        return CallerAudio(audio=pcm, sample_rate=self._sample_rate, num_channels=1)

    def _complain(self, what: str) -> None:
        """One line a call is enough: a stream that talks nonsense talks a lot of it."""
        if not self._complained:
            self._complained = True
            log.warning("call %s: the stream sent %s; it is ignored", self._call_sid, what)
            self._journal.note("problem", where="phone", what=f"the stream sent {what}")
