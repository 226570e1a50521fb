"""Deepgram nova-3 hears the caller, whatever becomes of the connection."""

from __future__ import annotations

import asyncio
import logging
import warnings
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pipecat.frames.frames import (
    InterimTranscriptionFrame,
    StartFrame,
    STTUpdateSettingsFrame,
    TranscriptionFrame,
)
from pipecat.services.stt_service import STTService
from pydantic import SecretStr, ValidationError
from tipring.errors import ConfigError
from tipring.providers import Call
from tipring.settings import settle
from tipring.written import Value
from tipring_stt_deepgram import DeepgramSettings, build, online
from tipring_stt_deepgram.service import HeldDeepgramSTTService

from tests.emulators.deepgram import (
    NO_ACCESS,
    NO_CREDIT,
    TOO_MANY,
    UNAVAILABLE,
    WRONG_KEY,
    DeepgramEmulator,
    DeepgramScenario,
    wrong_query,
)
from tests.emulators.hearing import Tones, silence
from tests.emulators.socket import Fault, Refusal
from tests.hearing_call import hearing

pytestmark = pytest.mark.loopback

KEY = "dg-key"
SENTENCE = "i would like a table for four people on friday evening please"
CALLER = Tones([*SENTENCE.split(), "thanks"])
CALL = Call(id="CA1")
FINE = DeepgramScenario()


def settings(emulator: DeepgramEmulator, **values: Any) -> DeepgramSettings:
    return DeepgramSettings(**({"api_key": SecretStr(KEY), "url": emulator.url} | values))


def ears(emulator: DeepgramEmulator, **values: Any) -> STTService:
    return build(settings(emulator, **values), CALL)


def spoken(text: str = SENTENCE) -> bytes:
    return CALLER.speak(*text.split())


def fails(**fault: Any) -> DeepgramScenario:
    return DeepgramScenario(faults=(Fault(**fault),))


# ------------------------------------------------------------------------------ hearing


async def test_a_caller_is_heard_as_they_speak_and_once_when_they_stop() -> None:
    async with DeepgramEmulator(CALLER) as deepgram, hearing(ears(deepgram)) as call:
        await call.say(spoken())
        await call.falls_silent()
        await call.until(lambda: call.finals)
    assert call.finals == [SENTENCE]
    assert call.interims[0] and SENTENCE.startswith(call.interims[0])
    assert call.seen(TranscriptionFrame)[0].finalized
    assert call.errors == []


async def test_the_settings_and_the_language_of_the_call_are_what_deepgram_is_asked_for() -> None:
    async with DeepgramEmulator(CALLER) as deepgram:
        service = build(
            settings(deepgram, keyterms=("Tisch 4", "IVR"), endpointing=250, mip_opt_out=True),
            Call(id="CA1", language="es-MX"),
        )
        async with hearing(service):
            line = await deepgram.until_said("handshake")
            await deepgram.until_said("open")
    query = parse_qs(urlsplit(line.payload.path).query)
    assert query["model"] == ["nova-3"] and query["language"] == ["es-MX"]
    assert query["keyterm"] == ["Tisch 4", "IVR"] and query["endpointing"] == ["250"]
    assert query["encoding"] == ["linear16"] and query["sample_rate"] == ["16000"]
    assert query["interim_results"] == query["punctuate"] == query["mip_opt_out"] == ["true"]


async def test_a_setting_changed_in_the_call_takes_a_new_connection_and_costs_no_word() -> None:
    async with DeepgramEmulator(CALLER) as deepgram, hearing(ears(deepgram)) as call:
        await call.say(spoken("i would like"))
        delta = HeldDeepgramSTTService.Settings(keyterm=["Tisch 4"])
        await call.put(STTUpdateSettingsFrame(delta=delta))
        again = await deepgram.until_said("handshake", count=2)
        await call.say(spoken("a table"))
        await call.falls_silent()
        await call.until(lambda: len(call.words) >= 5)
    assert parse_qs(urlsplit(again.payload.path).query)["keyterm"] == ["Tisch 4"]
    assert call.words == "i would like a table".split()


async def test_new_settings_bring_back_a_service_that_had_been_refused() -> None:
    script = [DeepgramScenario(refuse=NO_ACCESS)]
    async with DeepgramEmulator(CALLER, script) as deepgram, hearing(ears(deepgram)) as call:
        await call.until(lambda: not call.service.is_usable and call.errors)
        delta = HeldDeepgramSTTService.Settings(model="nova-2")
        await call.put(STTUpdateSettingsFrame(delta=delta))
        await deepgram.until_said("open")
        await call.say(spoken("like a table"))
        await call.falls_silent()
        await call.until(lambda: call.finals)
    assert call.words == "like a table".split()


async def test_a_call_that_ends_says_so_to_deepgram() -> None:
    async with DeepgramEmulator(CALLER) as deepgram:
        async with hearing(ears(deepgram)):
            await deepgram.until_said("open")
        await deepgram.until_said("CloseStream")
        over = await deepgram.until_said("over")
    assert over.payload == 1000


async def test_a_quiet_phone_does_not_cost_the_connection() -> None:
    async with (
        DeepgramEmulator(CALLER, scale=0.45) as deepgram,
        hearing(ears(deepgram)) as call,
    ):
        await call.say(spoken("i would"))
        await deepgram.until_said("KeepAlive")
        await call.say(spoken("like a table"))
        await call.falls_silent()
        await call.until(lambda: call.words == "i would like a table".split())
    assert len(deepgram.said("open")) == 1


# ------------------------------------------------------------------------------ the line fails


@pytest.mark.parametrize(
    "fault",
    [
        Fault(do="reset", at=1.2),
        Fault(do="half-close", at=1.2),
        Fault(do="close", at=1.2, code=1000),
        Fault(do="close", at=1.2, code=1011, reason="NET-0000"),
        Fault(do="close", at=1.2, code=1008, reason="DATA-0000"),
        Fault(do="reset", before="final"),
    ],
    ids=lambda fault: f"{fault.do} {fault.code if fault.do == 'close' else fault.before}".strip(),
)
async def test_what_a_caller_says_around_a_lost_connection_is_heard_once(fault: Fault) -> None:
    script = [DeepgramScenario(faults=(fault,))]
    async with DeepgramEmulator(CALLER, script) as deepgram, hearing(ears(deepgram)) as call:
        await call.say(spoken())
        await call.falls_silent()
        await call.until(lambda: len(call.words) >= len(SENTENCE.split()))
    assert call.words == SENTENCE.split()
    assert len(call.errors) == 1 and call.service.is_usable


async def test_words_that_are_final_are_not_heard_again_after_the_connection_was_lost() -> None:
    script = [fails(do="reset", at=3.2)]
    async with DeepgramEmulator(CALLER, script) as deepgram, hearing(ears(deepgram)) as call:
        await call.say(spoken("i would like a table") + silence(0.5))
        await call.falls_silent()
        await call.until(lambda: call.words)
        await call.starts_to_speak()
        await call.say(spoken("for four people on friday evening please"))
        await call.falls_silent()
        await call.until(lambda: call.words[-1] == "please")
    assert call.words == SENTENCE.split()


async def test_what_a_caller_says_before_deepgram_answers_is_heard() -> None:
    script = [
        DeepgramScenario(hang=True),
        DeepgramScenario(reset=True),
        DeepgramScenario(refuse=TOO_MANY),
        DeepgramScenario(refuse=UNAVAILABLE),
        FINE,
    ]
    async with DeepgramEmulator(CALLER, script) as deepgram, hearing(ears(deepgram)) as call:
        await call.say(spoken())
        await call.falls_silent()
        await call.until(lambda: len(call.words) >= len(SENTENCE.split()))
    assert call.words == SENTENCE.split()
    assert len(call.errors) == 4 and call.service.is_usable


async def test_a_handshake_that_hangs_holds_up_neither_its_call_nor_another() -> None:
    script = [DeepgramScenario(hang=True)]
    async with DeepgramEmulator(CALLER, script) as deepgram:
        async with hearing(ears(deepgram)) as held_up:
            await held_up.until(lambda: held_up.seen(StartFrame))
            await deepgram.until_said("hang")
            async with hearing(ears(deepgram)) as call:
                await call.say(spoken("like a table"))
                await call.falls_silent()
                await call.until(lambda: call.finals)
            # The first one is still waiting: it held nothing up.
            assert held_up.errors == []


async def test_a_caller_who_falls_silent_in_the_gap_is_flushed_after_it() -> None:
    # Deepgram closes no sentence by itself here: without the flush nothing would be final.
    script = [fails(do="reset", at=0.3), DeepgramScenario(refuse=UNAVAILABLE)]
    async with (
        DeepgramEmulator(CALLER, script) as deepgram,
        hearing(ears(deepgram, endpointing=5000)) as call,
    ):
        await call.say(spoken("i would"))
        await deepgram.until_said("reset")
        await call.say(spoken("like a table"))
        await call.falls_silent()
        await call.until(lambda: call.finals)
    assert call.finals == ["i would like a table"]
    assert call.seen(TranscriptionFrame)[0].finalized


async def test_a_caller_who_goes_on_in_the_gap_is_not_flushed_in_the_middle() -> None:
    away = DeepgramScenario(refuse=UNAVAILABLE)
    async with (
        DeepgramEmulator(CALLER, [fails(do="reset", at=0.3), away, away]) as deepgram,
        hearing(ears(deepgram, endpointing=5000)) as call,
    ):
        await call.say(spoken("i would"))
        await deepgram.until_said("reset")
        await call.falls_silent()
        await call.starts_to_speak()
        await deepgram.until_said("audio", connection=3)
        await call.say(spoken("like a table"))
        await call.falls_silent()
        await call.until(lambda: call.finals)
    assert call.finals == ["i would like a table"]
    assert len(deepgram.said("Finalize")) == 1


async def test_a_flush_whose_answer_was_lost_is_asked_for_again() -> None:
    script = [fails(do="reset", before="final")]
    async with (
        DeepgramEmulator(CALLER, script) as deepgram,
        hearing(ears(deepgram, endpointing=5000)) as call,
    ):
        await call.say(spoken("i would like a table"))
        await call.falls_silent()
        await call.until(lambda: call.finals)
    assert call.finals == ["i would like a table"]
    assert [line.connection for line in deepgram.said("Finalize")] == [0, 1]


async def test_a_flush_that_was_answered_is_not_asked_for_again() -> None:
    script = [fails(do="reset", at=2.0)]
    async with DeepgramEmulator(CALLER, script) as deepgram, hearing(ears(deepgram)) as call:
        await call.say(spoken("like a table"))
        await call.falls_silent()
        await call.until(lambda: call.finals)
        await call.say(silence(2.0))
        await deepgram.until_said("open", count=2)
        await deepgram.until_said("audio", connection=1)
    assert [line.connection for line in deepgram.said("Finalize")] == [0]


@pytest.mark.parametrize("how", ["none", "late", "empty"])
async def test_the_words_arrive_however_a_flush_is_answered(how: Any) -> None:
    script = [DeepgramScenario(finalize=how, late=0.3)]
    async with DeepgramEmulator(CALLER, script) as deepgram, hearing(ears(deepgram)) as call:
        await call.say(spoken("like a table"))
        await call.falls_silent()
        await call.say(silence(0.6))
        await call.until(lambda: call.finals)
        await deepgram.until_said("audio")
    assert call.words == "like a table".split()


async def test_a_connection_that_is_open_and_mute_is_replaced_and_the_words_are_heard() -> None:
    script = [fails(do="mute", at=0.1)]
    async with DeepgramEmulator(CALLER, script) as deepgram, hearing(ears(deepgram)) as call:
        await deepgram.until_said("open")
        await call.starts_to_speak()
        await call.say(spoken("like a table"), pace=1.0)
        await call.falls_silent()
        await call.until(lambda: call.finals, within=5.0)
    assert call.words == "like a table".split()
    assert any("said nothing" in error for error in call.errors)


async def test_a_connection_that_no_longer_reads_is_replaced_and_the_words_are_heard() -> None:
    script = [fails(do="stall", at=0.1)]
    async with DeepgramEmulator(CALLER, script) as deepgram, hearing(ears(deepgram)) as call:
        await deepgram.until_said("open")
        await call.starts_to_speak()
        await call.say(spoken("like a table"))
        await call.falls_silent()
        await call.until(lambda: call.finals)
    assert call.words == "like a table".split()


async def test_what_is_kept_for_a_gap_is_bounded_and_the_newest_of_it_stays() -> None:
    script = [DeepgramScenario(hang=True)]
    async with (
        DeepgramEmulator(CALLER, script) as deepgram,
        hearing(ears(deepgram, keep=1.0)) as call,
    ):
        await deepgram.until_said("hang")
        await call.say(spoken(), pace=8.0)
        await call.falls_silent()
        await call.until(lambda: call.finals)
    assert call.words == SENTENCE.split()[-len(call.words) :]
    assert 3 <= len(call.words) <= 5  # a second of it


async def test_a_malformed_message_is_passed_over() -> None:
    script = [fails(do="say", at=0.3, text='{"type": "Results", "channel": 7}')]
    async with DeepgramEmulator(CALLER, script) as deepgram, hearing(ears(deepgram)) as call:
        await call.say(spoken("like a table"))
        await call.falls_silent()
        await call.until(lambda: call.finals)
    assert call.words == "like a table".split()
    assert len(deepgram.said("open")) == 1


# ------------------------------------------------------------------------------ for good


@pytest.mark.parametrize(
    ("refused", "sentence"),
    [
        (WRONG_KEY, "Set DEEPGRAM_API_KEY"),
        (NO_ACCESS, "may not use the model 'nova-3'"),
        (NO_CREDIT, "out of credit"),
        (wrong_query("keyterm"), "Correct the model"),
        (Refusal(status=404), "Correct the url"),
    ],
    ids=lambda value: str(value.status) if isinstance(value, Refusal) else "",
)
async def test_a_refusal_that_will_not_pass_is_said_once_and_never_tried_again(
    refused: Refusal, sentence: str
) -> None:
    script = [DeepgramScenario(refuse=refused)]
    async with DeepgramEmulator(CALLER, script) as deepgram, hearing(ears(deepgram)) as call:
        await call.until(lambda: call.errors)
        await call.say(spoken("like a table"))
        assert not call.service.is_usable
    assert len(call.errors) == 1 and sentence in call.errors[0]
    assert KEY not in call.errors[0] and "headers" not in call.errors[0]
    assert len(deepgram.said("handshake")) == 1


async def test_a_deepgram_that_stays_away_is_given_up_so_that_the_host_can_go_on() -> None:
    away = DeepgramScenario(refuse=UNAVAILABLE)
    async with (
        DeepgramEmulator(CALLER, otherwise=away) as deepgram,
        hearing(ears(deepgram, give_up_after=1.0)) as call,
    ):
        await call.until(lambda: not call.service.is_usable)
        await call.until(lambda: any("given up after 1 s" in error for error in call.errors))
    assert len(deepgram.said("handshake")) > 2


async def test_neither_the_key_nor_a_word_is_logged_even_when_everything_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    async with DeepgramEmulator(CALLER) as deepgram, hearing(ears(deepgram)) as call:
        await asyncio.to_thread(online, settings(deepgram))
        await call.say(spoken("thanks"))
        await call.falls_silent()
        await call.until(lambda: call.finals)
    # The emulator is in this process; its own websocket logs are not ours.
    ours = [r for r in caplog.records if r.name != "websockets.server"]
    assert not any(KEY in r.getMessage() or "thanks" in r.getMessage() for r in ours)


# ------------------------------------------------------------------------------ settings


@pytest.mark.parametrize("key", ["encoding", "sample_rate", "channels"])
def test_a_setting_that_would_deafen_deepgram_is_refused_with_the_reason(key: str) -> None:
    with pytest.raises(ValidationError, match=f"{key} is not a setting.*no transcript at all"):
        DeepgramSettings(**{"api_key": SecretStr(KEY), key: "mulaw"})


def test_who_writes_such_a_setting_is_told_the_reason_and_not_that_it_is_unknown() -> None:
    written = {"encoding": Value(value="mulaw", source="tipring.toml line 7")}
    with pytest.raises(ConfigError) as raised:
        settle(DeepgramSettings, written, {"DEEPGRAM_API_KEY": KEY}, "stt.deepgram")
    error = raised.value
    assert error.where == "tipring.toml line 7, [stt.deepgram] encoding"
    assert error.what.startswith("it is not a setting: hearing gets PCM16 mono")
    assert error.what.endswith("(mulaw, 8000) gives no transcript at all")
    assert error.fix == "remove it"


@pytest.mark.parametrize(
    "values",
    [{"endpointing": 5}, {"keep": 0}, {"model": ""}, {"url": "api.deepgram.com"}, {"modle": "x"}],
)
def test_a_setting_out_of_its_range_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        DeepgramSettings(**({"api_key": SecretStr(KEY)} | values))


# ------------------------------------------------------------------------------ online


async def test_a_check_tells_a_wrong_key_a_wrong_model_and_a_wrong_address_apart() -> None:
    async with DeepgramEmulator(CALLER) as deepgram:

        async def ask(**values: Any) -> list[str]:
            return await asyncio.to_thread(online, settings(deepgram, **values))

        assert await ask() == []
        (key,) = await ask(api_key=SecretStr("other-key"))
        (model,) = await ask(model="nova-33")
        (address,) = await ask(url="http://127.0.0.1:1")
        (path,) = await ask(url=f"{deepgram.url}/somewhere")
    assert "refused the key" in key and "other-key" not in key
    assert "does not know the model 'nova-33'" in model
    assert "cannot be reached at 127.0.0.1:1" in address
    assert "no Deepgram at this address" in path


async def test_a_check_repeats_what_deepgram_says_of_credit_access_and_load() -> None:
    refusals = [NO_CREDIT, NO_ACCESS, TOO_MANY]
    script = [DeepgramScenario(refuse=refused) for refused in refusals]
    async with DeepgramEmulator(CALLER, script) as deepgram:
        said = [await asyncio.to_thread(online, settings(deepgram)) for _ in refusals]
    assert "enough credits" in said[0][0]
    assert "does not have access" in said[1][0]
    assert "Too many requests" in said[2][0]


# ------------------------------------------------------------------------------ plain Pipecat


def stock(emulator: DeepgramEmulator) -> STTService:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import deepgram.listen.v1.client  # noqa: F401
        from pipecat.services.deepgram.stt import DeepgramSTTService

    return DeepgramSTTService(
        api_key=KEY,
        base_url=emulator.url,
        settings=DeepgramSTTService.Settings(endpointing=300),
    )


@pytest.mark.stock
async def test_plain_pipecat_loses_what_is_said_in_the_four_seconds_before_it_reconnects() -> None:
    script = [fails(do="reset", at=1.0)]
    async with DeepgramEmulator(CALLER, script) as deepgram, hearing(stock(deepgram)) as call:
        await call.say(spoken(), pace=1.0)
        again = await deepgram.until_said("open", count=2)
        await call.say(spoken("please"))
        await call.falls_silent()
        await call.until(lambda: call.finals)
    assert again.at - deepgram.said("reset")[0].at > 3.5
    assert call.words == ["please"]


@pytest.mark.stock
async def test_plain_pipecat_is_deaf_for_the_whole_call_after_one_429() -> None:
    script = [DeepgramScenario(refuse=TOO_MANY)]
    async with DeepgramEmulator(CALLER, script) as deepgram, hearing(stock(deepgram)) as call:
        await call.until(lambda: not call.service.is_usable and call.seen(StartFrame))
        await call.say(spoken())
        assert call.seen(InterimTranscriptionFrame) == [] and call.finals == []
    assert len(deepgram.said("handshake")) == 1
