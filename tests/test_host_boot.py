"""What a host renders before it says that it is ready, what after, and what it says as it stops."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from tipring import web
from tipring.call import PhoneCall
from tipring.config import load
from tipring.host import Host
from tipring.journal import Event
from tipring.sections import Agent
from tipring.server import audio_app
from tipring.testing import Phone

from tests.emulated_host import KEYRING, Providers, emulated
from tests.emulators.elevenlabs import Answer, ElevenLabs
from tests.faults.call import on_a_port

GREETING, GOODBYE = "Kitchen.", "Bye."
APOLOGY = Agent().apology
WITHIN = 240.0


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


async def booted(providers: Providers) -> Host:
    """A host that says that it is ready."""
    host = Host(load(providers.config, KEYRING))
    await host.load()
    assert host.ready
    return host


def asked(voice: ElevenLabs) -> list[str]:
    """The phrases that ElevenLabs was asked for, in order."""
    return [one.payload["body"]["text"] for one in voice.said("speech")]


def health(host: Host) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(bytes(web.health(host).body))
    return told


async def test_the_host_is_ready_with_its_greeting_and_the_next_start_has_every_phrase(
    tmp_path: Path,
) -> None:
    apologise = asyncio.Event()
    voice = ElevenLabs(held={APOLOGY: apologise})
    async with asyncio.timeout(WITHIN), emulated(tmp_path, voice=voice) as providers:
        host = await booted(providers)
        assert host.phrases.get(GREETING)
        assert host.phrases.get(APOLOGY) is host.phrases.get(GOODBYE) is None
        apologise.set()
        await host.rendered()
        assert host.phrases.get(APOLOGY) and host.phrases.get(GOODBYE)
        assert asked(voice)[:2] == [GREETING, APOLOGY]
        rendered = len(asked(voice))
        await host.close(within=1)

        again = await booted(providers)
        assert again.phrases.get(APOLOGY) and again.phrases.get(GOODBYE)
        await again.rendered()
        assert len(asked(voice)) == rendered == len(set(asked(voice)))
        await again.close(within=1)
        assert health(host)["problems"] == health(again)["problems"] == []


async def test_a_phrase_that_cannot_be_rendered_after_ready_is_a_problem_with_its_mend(
    tmp_path: Path,
) -> None:
    apologise = asyncio.Event()
    voice = ElevenLabs(held={APOLOGY: apologise})
    async with asyncio.timeout(WITHIN), emulated(tmp_path, voice=voice) as providers:
        host = await booted(providers)
        await voice.until(lambda: len(asked(voice)) == 2, within=WITHIN)
        voice.answers["speech"] = [Answer(status=401, detail={"status": "invalid_api_key"})] * 9
        assert health(host)["problems"] == []
        apologise.set()
        await host.rendered()
        told = health(host)
        assert told["ready"] and host.phrases.get(APOLOGY) and not host.phrases.get(GOODBYE)
        assert told["problems"] == [
            {
                "where": "tts.elevenlabs",
                "what": "ElevenLabs does not know this key",
                "fix": "set ELEVENLABS_API_KEY to a valid one",
            }
        ]
        await host.close(within=1)


async def test_a_host_that_is_closed_waits_for_no_phrase(tmp_path: Path) -> None:
    never = asyncio.Event()
    voice = ElevenLabs(held={APOLOGY: never})
    async with asyncio.timeout(WITHIN), emulated(tmp_path, voice=voice) as providers:
        host = await booted(providers)
        await host.close(within=1)
        await host.rendered()
        assert not host.phrases.get(APOLOGY)
        never.set()  # so that the emulator can end, too


class Stopping(Host):
    """A host that is told to stop when a call begins."""

    def hold(self, call: PhoneCall) -> None:
        super().hold(call)
        self.stopping = asyncio.create_task(self.close(within=WITHIN))


async def test_a_call_that_begins_as_the_host_stops_is_a_goodbye(tmp_path: Path) -> None:
    events: list[Event] = []
    async with asyncio.timeout(WITHIN), emulated(tmp_path) as providers:
        config = load(providers.config, KEYRING)
        host = Stopping(config, on_event=lambda _, event: events.append(event))
        await host.load()
        async with on_a_port(lambda url: audio_app(host, None, url)) as url:
            async with await Phone.dial(url) as phone:
                ending = await phone.closed()
            await host.stopping
    assert ending.by == "agent"
    assert [event.detail["text"] for event in events if event.name == "agent.said"] == [GOODBYE]
    assert [event.detail for event in events if event.name == "call.ended"] == [
        {"reason": "host stopped"}
    ]
