"""The emulators of Deepgram and Flux say what the provider says and refuse what it refuses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
from deepgram.listen.v1.types import (
    ListenV1Error,
    ListenV1Metadata,
    ListenV1Results,
    ListenV1SpeechStarted,
    ListenV1UtteranceEnd,
)
from deepgram.listen.v2.types import (
    ListenV2ConfigureFailure,
    ListenV2ConfigureSuccess,
    ListenV2Connected,
    ListenV2FatalError,
    ListenV2TurnInfo,
)
from pydantic import BaseModel, TypeAdapter
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.emulators.deepgram import DeepgramEmulator, DeepgramScenario
from tests.emulators.flux import FluxEmulator, FluxScenario
from tests.emulators.hearing import Script, Tones, silence
from tests.emulators.socket import Fault

pytestmark = pytest.mark.loopback

CALLER = Tones(["a", "table", "for", "four"])
V1 = {
    "model": "nova-3",
    "language": "en",
    "encoding": "linear16",
    "sample_rate": "16000",
    "interim_results": "true",
    "endpointing": "300",
}
V2 = {"model": "flux-general-en", "encoding": "linear16", "sample_rate": "16000"}

MODELS: dict[str, Any] = {
    "Results": ListenV1Results,
    "Metadata": ListenV1Metadata,
    "UtteranceEnd": ListenV1UtteranceEnd,
    "SpeechStarted": ListenV1SpeechStarted,
    "Error": ListenV1Error,
    "Connected": ListenV2Connected,
    "TurnInfo": ListenV2TurnInfo,
    "ConfigureSuccess": ListenV2ConfigureSuccess,
    "ConfigureFailure": ListenV2ConfigureFailure,
}


class Phone:
    """A client that writes down every message, and checks it with the SDK's own model."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.messages: list[dict[str, Any]] = []

    async def say(self, pcm: bytes) -> None:
        for at in range(0, len(pcm), 2560):
            await self.socket.send(pcm[at : at + 2560])

    async def send(self, **message: Any) -> None:
        await self.socket.send(json.dumps(message))

    async def until(self, **fields: Any) -> dict[str, Any]:
        """Read on until a message has these fields."""
        async with asyncio.timeout(5):
            while True:
                message: dict[str, Any] = json.loads(await self.socket.recv())
                model = MODELS[message["type"]]
                if message["type"] == "Error" and "variant" not in message:
                    model = ListenV2FatalError
                assert issubclass(model, BaseModel)
                TypeAdapter(model).validate_python(message, strict=True)
                self.messages.append(message)
                if all(message.get(name) == value for name, value in fields.items()):
                    return message

    async def until_closed(self) -> tuple[int, str]:
        try:
            await self.until(type="never")
        except ConnectionClosed as closed:
            assert closed.rcvd is not None
            return closed.rcvd.code, closed.rcvd.reason
        raise AssertionError("it never closed")

    def transcript(self, message: dict[str, Any]) -> str:
        return str(message["channel"]["alternatives"][0]["transcript"])


@asynccontextmanager
async def phone(
    emulator: DeepgramEmulator | FluxEmulator, *, key: str = "dg-key", path: str = "", **query: str
) -> AsyncIterator[Phone]:
    flux = isinstance(emulator, FluxEmulator)
    path = path or ("/v2/listen" if flux else "/v1/listen")
    asked = urlencode({k: v for k, v in ((V2 if flux else V1) | query).items() if v})
    headers = {"Authorization": f"Token {key}"}
    async with connect(
        f"{emulator.url}{path}?{asked}", additional_headers=headers, close_timeout=1
    ) as socket:
        yield Phone(socket)


# ------------------------------------------------------------------------------ Deepgram v1


async def test_interims_grow_and_a_final_covers_them_and_the_next_begins_where_it_ended() -> None:
    async with DeepgramEmulator(CALLER, interim_every=0.25) as deepgram, phone(deepgram) as caller:
        await caller.say(CALLER.speak("a", "table") + silence(0.4))
        first = await caller.until(speech_final=True)
        await caller.say(CALLER.speak("for", "four") + silence(0.4))
        second = await caller.until(speech_final=True)
    interims = [m for m in caller.messages if not m["is_final"]]
    assert caller.transcript(first) == "a table" and caller.transcript(second) == "for four"
    assert {m["start"] for m in interims if m["start"] < first["duration"]} == {0.0}
    assert second["start"] == pytest.approx(first["start"] + first["duration"])
    words = first["channel"]["alternatives"][0]["words"]
    assert [word["punctuated_word"] for word in words] == ["a", "table"]


async def test_a_flush_is_answered_and_a_close_brings_the_rest_and_the_metadata() -> None:
    async with (
        DeepgramEmulator(CALLER) as deepgram,
        phone(deepgram, endpointing="false") as caller,
    ):
        await caller.say(CALLER.speak("a", "table"))
        await caller.send(type="Finalize")
        flushed = await caller.until(from_finalize=True)
        await caller.say(CALLER.speak("for", "four"))
        await caller.send(type="CloseStream")
        assert await caller.until_closed() == (1000, "")
    assert caller.transcript(flushed) == "a table"
    assert caller.transcript(caller.messages[-2]) == "for four"
    assert caller.messages[-1]["type"] == "Metadata"


@pytest.mark.parametrize(
    ("how", "answers"), [("none", []), ("empty", ["a table", ""]), ("late", ["a table"])]
)
async def test_a_flush_may_be_answered_otherwise(how: Any, answers: list[str]) -> None:
    script = [DeepgramScenario(finalize=how, late=0.1)]
    async with (
        DeepgramEmulator(CALLER, script) as deepgram,
        phone(deepgram, endpointing="false", interim_results="false") as caller,
    ):
        await caller.say(CALLER.speak("a", "table"))
        await caller.send(type="Finalize")
        if answers:
            await caller.until(from_finalize=True)
        await caller.send(type="Nonsense")
        error = await caller.until(type="Error")
    finals = [caller.transcript(m) for m in caller.messages if m["type"] == "Results"]
    assert finals == answers
    assert error["variant"] == "SchemaError"


async def test_the_beginnings_and_ends_of_speech_are_told_when_asked_for() -> None:
    asked = {"vad_events": "true", "utterance_end_ms": "1000"}
    async with DeepgramEmulator(CALLER) as deepgram, phone(deepgram, **asked) as caller:
        await caller.say(silence(0.5) + CALLER.speak("a") + silence(1.2))
        await caller.until(type="UtteranceEnd")
    begun = next(m for m in caller.messages if m["type"] == "SpeechStarted")
    assert begun["timestamp"] == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"model": "nova-99"}, "No such model/version combination found"),
        ({"language": "tlh"}, "No such model/version combination found"),
        ({"encoding": "pcm"}, "encoding=pcm"),
        ({"interim_results": "yes"}, "interim_results=yes"),
        ({"utterance_end_ms": "300"}, "utterance_end_ms=300"),
        ({"eot_threshold": "0.7"}, "unknown parameter eot_threshold"),
        ({"sample_rate": ""}, "sample_rate is required"),
    ],
)
async def test_deepgram_refuses_a_query_with_its_reason(query: dict[str, str], said: str) -> None:
    async with DeepgramEmulator(CALLER) as deepgram:
        with pytest.raises(InvalidStatus) as refused:
            async with phone(deepgram, **query):
                raise AssertionError("it was let in")
    response = refused.value.response
    body = json.loads(response.body or b"")
    assert response.status_code == 400 and said in body["err_msg"]
    assert response.headers["dg-error"] == body["err_msg"]
    assert response.headers["dg-request-id"] == body["request_id"]


async def test_both_refuse_a_wrong_key_and_a_wrong_path() -> None:
    async with DeepgramEmulator(CALLER) as deepgram, FluxEmulator(CALLER) as flux:
        for emulator in (deepgram, flux):
            for how, status in (({"key": "no"}, 401), ({"path": "/v3/listen"}, 404)):
                with pytest.raises(InvalidStatus) as refused:
                    async with phone(emulator, **how):
                        raise AssertionError("it was let in")
                assert refused.value.response.status_code == status


async def test_deepgram_closes_on_a_client_that_says_nothing_and_not_on_one_that_keeps_alive() -> (
    None
):
    async with DeepgramEmulator(CALLER, scale=0.03) as deepgram:
        async with phone(deepgram) as caller:
            code, reason = await caller.until_closed()
            assert code == 1011 and "net0001" in reason
        async with phone(deepgram) as caller:
            for _ in range(5):
                await asyncio.sleep(0.1)
                await caller.send(type="KeepAlive")
            await caller.say(CALLER.speak("a") + silence(0.4))
            await caller.until(speech_final=True)


async def test_deepgram_closes_on_an_empty_audio_frame() -> None:
    async with DeepgramEmulator(CALLER) as deepgram, phone(deepgram) as caller:
        await caller.socket.send(b"")
        code, reason = await caller.until_closed()
    assert code == 1008 and "data0000" in reason


# ------------------------------------------------------------------------------ Flux


def events(caller: Phone) -> list[str]:
    """The events of turns, without the updates."""
    kinds = [m.get("event", m["type"]) for m in caller.messages]
    return [kind for kind in kinds if kind != "Update"]


async def test_flux_tells_a_turn_from_its_start_to_its_end_with_guesses_between() -> None:
    async with FluxEmulator(CALLER) as flux, phone(flux, eager_eot_threshold="0.5") as caller:
        await caller.say(CALLER.speak("a", "table") + silence(0.4))
        await caller.say(CALLER.speak("for", "four") + silence(0.8))
        end = await caller.until(event="EndOfTurn")
        await caller.say(silence(0.3))
        after = await caller.until(event="Update", turn_index=1)
    assert events(caller) == [
        "Connected",
        "StartOfTurn",
        "EagerEndOfTurn",
        "TurnResumed",
        "EagerEndOfTurn",
        "EndOfTurn",
    ]
    assert [m["sequence_id"] for m in caller.messages] == list(range(len(caller.messages)))
    guess = [m for m in caller.messages if m.get("event") == "EagerEndOfTurn"][-1]
    assert end["transcript"] == guess["transcript"] == "a table for four"
    assert end["trigger"] == "model" and after["transcript"] == ""
    assert all("trigger" not in m for m in caller.messages if m is not end)


async def test_flux_updates_every_quarter_of_a_second_also_before_speech() -> None:
    async with FluxEmulator(CALLER) as flux, phone(flux) as caller:
        await caller.say(silence(1.0))
        await caller.until(audio_window_end=1.0)
    updates = [m for m in caller.messages if m.get("event") == "Update"]
    assert len(updates) == 4 and {m["transcript"] for m in updates} == {""}


async def test_flux_without_an_eager_threshold_guesses_nothing() -> None:
    async with FluxEmulator(CALLER) as flux, phone(flux) as caller:
        await caller.say(CALLER.speak("a", "table") + silence(0.8))
        await caller.until(event="EndOfTurn")
    assert events(caller) == ["Connected", "StartOfTurn", "EndOfTurn"]


async def test_a_flux_that_is_not_sure_ends_the_turn_by_its_timeout() -> None:
    script = [FluxScenario(sure=False)]
    async with FluxEmulator(CALLER, script) as flux, phone(flux, eot_timeout_ms="700") as caller:
        await caller.say(CALLER.speak("a", "table") + silence(1.0))
        end = await caller.until(event="EndOfTurn")
    assert end["trigger"] == "timeout" and end["end_of_turn_confidence"] < 0.7


async def test_flux_takes_a_configuration_and_refuses_a_wrong_one_and_goes_on() -> None:
    async with FluxEmulator(CALLER) as flux, phone(flux) as caller:
        await caller.send(type="Configure", thresholds={"eot_threshold": 0.8}, keyterms=["Acme"])
        success = await caller.until(type="ConfigureSuccess")
        await caller.send(type="Configure", thresholds={"eot_threshold": 2})
        await caller.until(type="ConfigureFailure")
        await caller.say(CALLER.speak("a") + silence(0.8))
        await caller.until(event="EndOfTurn")
    assert success["thresholds"]["eot_threshold"] == 0.8 and success["keyterms"] == ["Acme"]


@pytest.mark.parametrize("message", ['{"type": "KeepAlive"}', '{"type": "Finalize"}', "hello"])
async def test_flux_closes_on_a_message_it_does_not_know(message: str) -> None:
    async with FluxEmulator(CALLER) as flux, phone(flux) as caller:
        await caller.socket.send(message)
        error = await caller.until(type="Error")
        await caller.until_closed()
    assert error["code"] == "UNPARSABLE_CLIENT_MESSAGE"


@pytest.mark.parametrize(
    "query",
    [
        {"model": "nova-3"},
        {"eot_threshold": "0.2"},
        {"eager_eot_threshold": "0.8"},
        {"eot_timeout_ms": "70000"},
        {"sample_rate": "11025"},
        {"endpointing": "300"},
        {"language_hint": "es"},
    ],
    ids=lambda query: "=".join(*query.items()),
)
async def test_flux_refuses_a_query_with_its_reason(query: dict[str, str]) -> None:
    async with FluxEmulator(CALLER) as flux:
        with pytest.raises(InvalidStatus) as refused:
            async with phone(flux, **query):
                raise AssertionError("it was let in")
    assert refused.value.response.status_code == 400
    assert refused.value.response.headers["dg-error"]


# ------------------------------------------------------------------------------ ears and faults


def voice(seconds: float) -> bytes:
    """Something loud that is no tone: any recorded caller would do."""
    noise = np.random.default_rng(7).normal(0, 3000, int(16000 * seconds))
    return noise.clip(-32000, 32000).astype("<i2").tobytes()


async def test_any_voice_unrolls_the_script_an_utterance_for_each_stretch_of_speech() -> None:
    script = Script(["I would like a table.", "For four, please."])
    async with FluxEmulator(script) as flux, phone(flux) as caller:
        await caller.say(silence(0.5) + voice(1.2) + silence(0.8))
        first = await caller.until(event="EndOfTurn")
        await caller.say(voice(1.0) + silence(0.8))
        second = await caller.until(event="EndOfTurn")
    grown = [m["transcript"] for m in caller.messages if m.get("turn_index") == 0]
    assert first["transcript"] == "I would like a table."
    assert second["transcript"] == "For four, please."
    assert [len(text) for text in grown] == sorted(len(text) for text in grown)
    assert len(set(grown)) > 3


async def test_words_that_were_never_final_are_said_again_on_the_next_connection() -> None:
    script = Script(["I would like a table."])
    faults = [DeepgramScenario(faults=(Fault(do="reset", at=1.0),))]
    async with DeepgramEmulator(script, faults, interim_every=0.25) as deepgram:
        with pytest.raises(ConnectionClosed):
            async with phone(deepgram) as caller:
                await caller.say(voice(1.2))
                await caller.until(speech_final=True)
        heard = caller.transcript(caller.messages[-1])
        async with phone(deepgram) as caller:
            await caller.say(voice(1.5) + silence(0.5))
            final = await caller.until(speech_final=True)
    assert heard and "I would like a table.".startswith(heard)
    assert caller.transcript(final) == "I would like a table."


@pytest.mark.parametrize(
    ("scenario", "next_words"),
    [
        (FluxScenario(faults=(Fault(do="mute", before="EndOfTurn"),)), "I would like a table."),
        (FluxScenario(endless=True), "For four, please."),
    ],
    ids=["the client never got them", "the client took them as they were"],
)
async def test_the_script_goes_on_where_the_client_must_be(
    scenario: FluxScenario, next_words: str
) -> None:
    script = Script(["I would like a table.", "For four, please."])
    async with FluxEmulator(script, [scenario]) as flux:
        async with phone(flux) as caller:
            await caller.say(voice(1.6) + silence(1.5))
            await caller.until(event="StartOfTurn")
            await flux.until(lambda: len(flux.sessions[0].audio) >= 2 * 16000 * 3)
        await flux.until_said("over")
        async with phone(flux) as caller:
            await caller.say(voice(1.6) + silence(0.8))
            assert (await caller.until(event="EndOfTurn"))["transcript"] == next_words


async def test_what_went_each_way_is_written_down_with_its_time() -> None:
    async with DeepgramEmulator(CALLER) as deepgram:
        async with phone(deepgram) as caller:
            await caller.say(CALLER.speak("a") + silence(0.4))
            await caller.until(speech_final=True)
        await deepgram.until_said("over")
    labels = [line.label for line in deepgram.transcript]
    assert labels[:3] == ["handshake", "open", "audio"] and labels[-1] == "over"
    assert "final" in labels
    times = [line.at for line in deepgram.transcript]
    assert times == sorted(times)
