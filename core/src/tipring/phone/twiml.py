"""What Twilio is told to do with a call, made with the twilio library."""

from __future__ import annotations

from collections.abc import Mapping

from twilio.twiml.voice_response import Connect, VoiceResponse


def connect_stream(url: str, parameters: Mapping[str, str]) -> str:
    """Put the caller on the line: TwiML that opens the media stream.

    Nothing follows the stream, so the call ends when the host closes it.

    Args:
        url: ``wss://…`` without a query, which Twilio refuses (error 31920).
        parameters: Told to the stream in its start message.
    """
    response = VoiceResponse()
    connect = Connect()
    stream = connect.stream(url=url)
    for name, value in parameters.items():
        stream.parameter(name=name, value=value)
    response.append(connect)
    return str(response)


def say_and_hang_up(text: str, *, language: str) -> str:
    """Say one thing with Twilio's own voice and end the call.

    Args:
        text: What the caller hears.
        language: A BCP 47 tag. Twilio wants a region, so plain ``en`` and ``es`` get one.
    """
    response = VoiceResponse()
    tag = {"en": "en-US", "es": "es-US"}.get(language, language)
    response.say(text, language=tag)
    response.hangup()
    return str(response)
