"""The same stream, seen by a Twilio that nobody here wrote."""

from __future__ import annotations

import pytest
from streamdouble.protocol import StreamIdentity
from streamdouble.session import Session, SessionConfig
from tipring.phone import mulaw

from tests.emulators.hearing import plain
from tests.faults.call import RATE, TONES, answering
from tests.faults.lines import GREETING
from tests.faults.table import Row

SILENCE = [b"\xff" * 160] * 50
"""A caller who says nothing for a second."""

NOTHING_WRONG = Row(provider="Flux", moment="connect", fault="none", within=4.0)


@pytest.mark.line
@pytest.mark.timeout(180)
async def test_another_twilio_finds_nothing_to_object_to_and_hears_the_greeting_whole() -> None:
    async with answering(NOTHING_WRONG, signed=False) as at:
        identity = StreamIdentity()
        ticket = at.host.admit(identity.call_sid)
        url = at.url.replace("http", "ws") + f"/media/{identity.call_sid}/{ticket}"
        config = SessionConfig(response_timeout_s=60.0, quiet_period_s=1.5)
        result = await Session(url, SILENCE, identity=identity, config=config).run()
    assert result.violations == []
    assert result.unknown_events == []
    heard = mulaw.decode(result.audio_received).tobytes()
    words = [word.text for word in TONES.heard(heard, RATE)]
    assert words == [plain(word) for word in GREETING.split()]
    # A mark behind what was said, played back when it was heard.
    assert result.marks_received == result.marks_echoed == ["u1"]
    played = [event.detail["name"] for event in at.events if event.name == "mark.played"]
    assert played == ["u1"]
