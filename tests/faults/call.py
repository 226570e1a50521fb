"""One whole call with something going wrong in it, and what its caller heard.

Host, providers and phone share one process and one loop, so that many calls are held side by side.
The emulated voice gives every word a pitch of its own: what the caller heard is read from the sound
that reached the phone, and from nothing that the host says about itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import uvicorn
from pydantic import SecretStr
from starlette.types import ASGIApp
from tipring.config import load
from tipring.host import Host
from tipring.journal import Event
from tipring.phone.signature import Signatures
from tipring.plugins import Plugins
from tipring.providers import Call
from tipring.server import audio_app
from tipring.testing import CallOver, Clip, Phone

from tests.emulators.deepgram import DeepgramEmulator
from tests.emulators.elevenlabs import KEY, VOICE, ElevenLabs
from tests.emulators.flux import FluxEmulator
from tests.emulators.gateway import ACCOUNT, GATEWAY, KEYS, TOKEN, GatewayEmulator
from tests.emulators.gateway_streams import Reply
from tests.emulators.hearing import Script, Tones, plain
from tests.faults.lines import ANSWERS, APOLOGY, GOODBYE, GREETING, LINES, MOMENT, NUDGE, SAID
from tests.faults.table import PRODUCTION, Row

RATE = 8000
AUTH_TOKEN = "twilio-token"
PATIENCE = 30.0
"""Seconds after which a caller who hears nothing of an answer gives up."""

TONES = Tones(sorted({plain(word) for line in LINES for word in line.split()}))


@dataclass
class Outcome:
    """What became of a call.

    Attributes:
        heard: What the caller heard, line by line; a line that is not whole stands as its words.
        silence: Seconds of the longest stretch in which neither was heard.
        ended: Why the call ended.
        second: Whether the second voice spoke, or would have.
    """

    heard: list[str]
    silence: float
    ended: str
    second: bool


@dataclass
class Answering:
    """A host that waits for the call of a row."""

    host: Host
    url: str
    events: list[Event]


@functools.cache
def voice(text: str) -> Clip:
    """The caller, whom a voice detector knows for one."""
    provider: Any = Plugins.discover().load("tts", "hibari")
    pcm = provider.render(provider.settings(), Call(id="rehearsal"), text)
    return Clip.from_samples(np.frombuffer(pcm, np.int16), RATE, text=text)


@contextlib.asynccontextmanager
async def answering(row: Row, *, signed: bool = True) -> AsyncIterator[Answering]:
    """Bring up a host and its providers for one row.

    Args:
        row: What goes wrong.
        signed: Whether only what Twilio signed is believed.
    """
    events: list[Event] = []
    async with _providers(row) as addresses:
        config = load(PRODUCTION, {**_KEYS, **_SAYS, **addresses, **row.variables})
        host = Host(config, on_event=lambda _, event: events.append(event))
        await host.load()
        await host.rendered()  # a call of the table begins when everything is there
        async with _served(host, signed) as url:
            yield Answering(host, url, events)
            await host.close(within=10)


async def hold(at: Answering) -> Outcome:
    """Hold one call."""
    phone = await Phone.dial(at.url, auth_token=AUTH_TOKEN)
    spoken = await _speak(phone)
    if phone.ending is None:
        await phone.hang_up()
    await at.host.close(within=10)
    heard = [word.text for word in TONES.heard(phone.heard.tobytes(), RATE)]
    reasons = [str(e.detail["reason"]) for e in at.events if e.name == "call.ended"]
    return Outcome(
        heard=_lines(heard),
        silence=round(_longest_silence(phone, spoken), 1),
        ended=reasons[0] if reasons else "it did not end",
        second=any(map(_second_speaks, at.events)),
    )


def _second_speaks(event: Event) -> bool:
    if event.name == "call.began":
        return bool(event.detail["tts"] != "elevenlabs")
    return event.name == "problem" and str(event.detail["what"]).endswith("hibari speaks now")


@contextlib.asynccontextmanager
async def _providers(row: Row) -> AsyncIterator[dict[str, str]]:
    replies = [Reply(text=text) for text in ANSWERS[row.answered :]]
    hears = functools.partial(Script, SAID, seconds=0.15)
    async with (
        DeepgramEmulator(
            hears(), row.deepgram, otherwise=row.deepgram_ever, interim_every=0.3
        ) as a,
        FluxEmulator(hears(), row.flux, otherwise=row.flux_ever) as b,
        GatewayEmulator(replies=[*row.replies, *replies]) as c,
        ElevenLabs(
            *row.voice,
            answers={"speech": row.voice_http},
            otherwise=row.voice_ever,
            sound=TONES.spell,
        ) as d,
        ElevenLabs(sound=TONES.spell) as e,
    ):
        yield {
            "TIPRING_STT__DEEPGRAM__URL": a.url,
            "TIPRING_TURN__FLUX__URL": b.url,
            **{f"TIPRING_LLM__{rung}__URL": c.gateway_url for rung in _RUNGS},
            "TIPRING_TTS__ELEVENLABS__URL": d.url,
            "TIPRING_TTS__ELEVENLABS__BASE_URL": d.base_url,
            # The second voice is an emulated one, too: its words can be read from its sound.
            "TIPRING_TTS__HIBARI__PLUGIN": "elevenlabs",
            "TIPRING_TTS__HIBARI__VOICE": VOICE,
            "TIPRING_TTS__HIBARI__URL": e.url,
            "TIPRING_TTS__HIBARI__BASE_URL": e.base_url,
        }


_RUNGS = ("CLAUDE", "GPT", "LLAMA")
_KEYS = {
    "DEEPGRAM_API_KEY": "dg-key",
    "ANTHROPIC_API_KEY": KEYS["anthropic"],
    "OPENAI_API_KEY": KEYS["openai"],
    "CLOUDFLARE_API_TOKEN": KEYS["workers-ai"],
    "CF_AIG_TOKEN": TOKEN,
    "ELEVENLABS_API_KEY": KEY,
    "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
    **{f"TIPRING_LLM__{rung}__ACCOUNT": ACCOUNT for rung in _RUNGS},
    **{f"TIPRING_LLM__{rung}__GATEWAY": GATEWAY for rung in _RUNGS},
    "TIPRING_TTS__ELEVENLABS__VOICE": VOICE,
}
_SAYS = {
    "TIPRING_AGENT__GREETING": GREETING,
    "TIPRING_AGENT__APOLOGY": APOLOGY,
    "TIPRING_AGENT__FILLER": MOMENT,
    "TIPRING_AGENT__NUDGE": NUDGE,
    "TIPRING_AGENT__GOODBYE": GOODBYE,
    "TIPRING_AGENT__WARNING": "",
}


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield


@contextlib.asynccontextmanager
async def _served(host: Host, signed: bool) -> AsyncIterator[str]:
    def app(url: str) -> ASGIApp:
        signatures = Signatures(SecretStr(AUTH_TOKEN), url) if signed else None
        return audio_app(host, signatures, url)

    async with on_a_port(app) as url:
        yield url


@contextlib.asynccontextmanager
async def on_a_port(make: Callable[[str], ASGIApp]) -> AsyncIterator[str]:
    """Serve an app on a port of this machine; it is made with its address, which this gives."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        server = _Server(
            uvicorn.Config(make(url), log_config=None, lifespan="off", ws="websockets-sansio")
        )
        serving = asyncio.create_task(server.serve([sock]))
        try:
            yield url
        finally:
            server.should_exit = True
            await serving


async def _speak(phone: Phone) -> list[tuple[float, float]]:
    """Say everything there is to say, each line after the answer to the one before.

    Returns:
        When the caller was heard: begin and end, in seconds.
    """
    spoken: list[tuple[float, float]] = []
    try:
        await _until_heard(phone, 0.0, [GREETING])
        for text in SAID:
            clip = await asyncio.to_thread(voice, text)
            said = phone.say(clip)
            spoken.append((said.begin + clip.onset, said.begin + clip.offset))
            await _until_heard(phone, spoken[-1][1], [*ANSWERS, APOLOGY])
    except (CallOver, TimeoutError):
        pass
    return spoken


async def _until_heard(phone: Phone, since: float, answers: list[str]) -> None:
    """Wait for an answer, and until the agent has said all of it; half a line is waited for."""
    firsts = {plain(answer.split()[0]) for answer in answers}
    looked_at, whole = 0, False

    def answered() -> bool:
        nonlocal looked_at, whole
        if phone.silent_for < 0.7:
            return False
        if len(phone.utterances) != looked_at:
            looked_at = len(phone.utterances)
            pcm = phone.heard[round(since * RATE) :].tobytes()
            words = [word.text for word in TONES.heard(pcm, RATE)]
            whole = not firsts.isdisjoint(words) and _lines(words)[-1] in LINES
        return whole

    await phone.when(answered, within=PATIENCE)


def _lines(words: list[str]) -> list[str]:
    """Put words together to the lines that they are, as far as they are lines."""
    known = {tuple(plain(word) for word in line.split()): line for line in LINES}
    lines: list[str] = []
    loose: list[str] = []
    at = 0
    while at < len(words):
        for key, line in known.items():
            if tuple(words[at : at + len(key)]) == key:
                if loose:
                    lines.append(" ".join(loose))
                    loose = []
                lines.append(line)
                at += len(key)
                break
        else:
            loose.append(words[at])
            at += 1
    return [*lines, " ".join(loose)] if loose else lines


def _longest_silence(phone: Phone, spoken: list[tuple[float, float]]) -> float:
    assert phone.ending is not None
    over = phone.ending.at
    agent = [(u.begin, u.end if u.end is not None else over) for u in phone.utterances]
    longest, quiet_since = 0.0, 0.0
    for begin, end in sorted([*agent, *spoken, (over, over)]):
        longest = max(longest, begin - quiet_since)
        quiet_since = max(quiet_since, end)
    return longest
