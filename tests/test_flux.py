"""Flux hears the caller and says when they are done, whatever becomes of the connection."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pipecat.frames.frames import (
    EagerEndOfTurnCancelFrame,
    EagerTranscriptionFrame,
    InterimTranscriptionFrame,
    InterruptionFrame,
    LLMContextFrame,
    ProposedUserStartedSpeakingFrame,
    ProposedUserStoppedSpeakingFrame,
    StartFrame,
    STTUpdateSettingsFrame,
    TranscriptionFrame,
    UserStoppedSpeakingFrame,
)
from pipecat.services.deepgram.flux.stt import DeepgramFluxSTTService
from pipecat.services.stt_service import STTService
from pipecat.turns.user_start import VADUserTurnStartStrategy
from pipecat.turns.user_stop import EagerUserTurnStopStrategy, ExternalUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import ExternalUserTurnStrategies, UserTurnStrategies
from pydantic import SecretStr, ValidationError
from tipring.providers import Call, TurnPlan
from tipring_turn_flux import FluxSettings, build, online

from tests.emulators.deepgram import (
    NO_ACCESS,
    NO_CREDIT,
    TOO_MANY,
    UNAVAILABLE,
    WRONG_KEY,
    wrong_query,
)
from tests.emulators.flux import FluxEmulator, FluxScenario
from tests.emulators.hearing import Tones, silence
from tests.emulators.socket import Fault, Line, Refusal
from tests.hearing_call import HearingCall, Loudness, hearing

pytestmark = pytest.mark.loopback

KEY = "dg-key"
SENTENCE = "i would like a table for four people on friday evening please"
CALLER = Tones([*SENTENCE.split(), "mhm", "thanks"])
CALL = Call(id="CA1")
WITHIN = 3.0
"""Seconds in which a stuck turn must be over."""


def settings(emulator: FluxEmulator, **values: Any) -> FluxSettings:
    return FluxSettings(**({"api_key": SecretStr(KEY), "url": emulator.url} | values))


def plan(emulator: FluxEmulator, **values: Any) -> TurnPlan:
    return build(settings(emulator, **values), CALL)


def ears(emulator: FluxEmulator, **values: Any) -> STTService:
    service = plan(emulator, **values).stt
    assert service is not None
    return service


def spoken(text: str = SENTENCE, pause: float = 0.8) -> bytes:
    return CALLER.speak(*text.split()) + silence(pause)


def fails(**fault: Any) -> FluxScenario:
    return FluxScenario(faults=(Fault(**fault),))


def proposals(call: HearingCall) -> list[str]:
    """The starts, words and stops of turns, in the order in which the host gets them."""
    return [
        frame.text if isinstance(frame, TranscriptionFrame) else type(frame).__name__[12:-13]
        for _, frame in call.frames
        if isinstance(
            frame,
            TranscriptionFrame
            | ProposedUserStartedSpeakingFrame
            | ProposedUserStoppedSpeakingFrame,
        )
    ]


# ------------------------------------------------------------------------------ hearing


async def test_a_turn_is_proposed_with_its_words() -> None:
    async with FluxEmulator(CALLER) as flux, hearing(ears(flux)) as call:
        await call.say(spoken())
        await call.until(lambda: call.seen(ProposedUserStoppedSpeakingFrame))
    assert proposals(call) == ["Started", SENTENCE, "Stopped"]
    assert call.interims[0] and SENTENCE.startswith(call.interims[0])
    assert call.seen(TranscriptionFrame)[0].finalized
    assert call.errors == []


async def test_the_words_with_which_a_turn_begins_are_told_at_once() -> None:
    async with FluxEmulator(CALLER) as flux, hearing(ears(flux)) as call:
        await call.say(spoken())
        await call.until(lambda: call.seen(ProposedUserStoppedSpeakingFrame))
    first = call.seen(InterimTranscriptionFrame)[0]
    assert first.text and first.result is not None
    assert first.result["event"] == "StartOfTurn"


async def test_the_settings_are_what_flux_is_asked_for() -> None:
    async with FluxEmulator(CALLER) as flux:
        service = ears(
            flux,
            eot_threshold=0.8,
            eager_eot_threshold=0.4,
            eot_timeout_ms=3000,
            keyterms=("Tisch 4", "IVR"),
        )
        async with hearing(service):
            line = await flux.until_said("handshake")
            await flux.until_said("Connected")
    query = parse_qs(urlsplit(line.payload.path).query)
    assert query["model"] == ["flux-general-en"]
    assert query["eot_threshold"] == ["0.8"] and query["eager_eot_threshold"] == ["0.4"]
    assert query["eot_timeout_ms"] == ["3000"] and query["keyterm"] == ["Tisch 4", "IVR"]
    assert query["encoding"] == ["linear16"] and query["sample_rate"] == ["16000"]


async def test_a_call_in_another_language_is_heard_by_the_model_for_many() -> None:
    async with FluxEmulator(CALLER) as flux:
        built = build(settings(flux), Call(id="CA1", language="es-MX")).stt
        assert built is not None
        async with hearing(built):
            line = await flux.until_said("handshake")
            await flux.until_said("Connected")
    query = parse_qs(urlsplit(line.payload.path).query)
    assert query["model"] == ["flux-general-multi"] and query["language_hint"] == ["es"]


async def test_the_start_of_a_turn_alone_does_not_interrupt_the_agent() -> None:
    async with FluxEmulator(CALLER) as flux:
        made = plan(flux)
        assert made.stt is not None
        # No start strategy here takes Flux's word for it; the host's backchannel rule decides.
        deaf = UserTurnStrategies(start=[VADUserTurnStartStrategy()], stop=[made.stop])
        async with hearing(made.stt, strategies=deaf) as call:
            await flux.until_said("Connected")
            script = CALLER.speak("mhm")[: 2 * 16000 * 60 // 1000]
            await call.say(script + silence(0.1))
            await flux.until_said("StartOfTurn")
            await call.until(lambda: call.seen(ProposedUserStartedSpeakingFrame))
            assert call.seen(InterruptionFrame) == []


async def test_a_guessed_end_starts_the_model_and_is_withdrawn_when_the_caller_goes_on() -> None:
    async with FluxEmulator(CALLER) as flux:
        made = plan(flux, eager_eot_threshold=0.5)
        assert isinstance(made.stop, EagerUserTurnStopStrategy) and made.stt is not None
        async with hearing(made.stt, stop=made.stop) as call:
            await call.say(spoken("i would like a table", pause=0.4), pace=2.0)
            await call.until(lambda: call.seen(EagerTranscriptionFrame))
            await call.say(spoken("for four"), pace=2.0)
            await call.until(lambda: call.finals)
            await call.until(lambda: call.seen(UserStoppedSpeakingFrame))
        guesses = [frame.text for frame in call.seen(EagerTranscriptionFrame)]
        speculations = [f for f in call.seen(LLMContextFrame) if f.speculation]
    assert set(guesses) == {"i would like a table", "i would like a table for four"}
    assert call.seen(EagerEndOfTurnCancelFrame)
    assert call.finals == ["i would like a table for four"]
    assert len(speculations) == 2


async def test_without_an_eager_threshold_nothing_is_guessed() -> None:
    async with FluxEmulator(CALLER) as flux:
        made = plan(flux)
        assert type(made.stop) is ExternalUserTurnStopStrategy and made.stt is not None
        async with hearing(made.stt, stop=made.stop) as call:
            await call.say(spoken())
            await call.until(lambda: call.seen(UserStoppedSpeakingFrame))
    assert call.seen(EagerTranscriptionFrame) == []


async def test_a_phone_that_stops_sending_in_mid_turn_does_not_leave_it_open() -> None:
    async with FluxEmulator(CALLER) as flux, hearing(ears(flux)) as call:
        await call.say(spoken("like a table", pause=0.0))
        await call.until(lambda: call.seen(ProposedUserStoppedSpeakingFrame))
    assert call.finals == ["like a table"]


async def test_a_call_that_ends_says_so_to_flux() -> None:
    async with FluxEmulator(CALLER) as flux:
        async with hearing(ears(flux)):
            await flux.until_said("Connected")
        await flux.until_said("CloseStream")
        over = await flux.until_said("over")
    assert over.payload == 1000


async def test_a_setting_changed_in_the_call_reaches_flux_and_a_refusal_is_reported() -> None:
    script = [FluxScenario(configure="failure")]
    async with FluxEmulator(CALLER, script) as flux, hearing(ears(flux)) as call:
        await flux.until_said("Connected")
        await call.say(silence(0.3))
        await flux.until_said("Update")
        delta = DeepgramFluxSTTService.Settings(keyterm=["Tisch 4"])
        await call.put(STTUpdateSettingsFrame(delta=delta))
        line = await flux.until_said("Configure")
        await call.until(lambda: call.errors)
    assert line.payload["keyterms"] == ["Tisch 4"]
    assert "INVALID_THRESHOLD" in call.errors[0]


# ------------------------------------------------------------------------------ the line fails

INTERNAL = json.dumps(
    {"type": "Error", "sequence_id": 9, "code": "INTERNAL_SERVER_ERROR", "description": "Oh."}
)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(do="reset", at=1.2),
        Fault(do="half-close", at=1.2),
        Fault(do="close", at=1.2, code=1000),
        Fault(do="close", at=1.2, code=1011, reason="INTERNAL"),
        Fault(do="say", at=1.2, text=INTERNAL),
        Fault(do="reset", before="EndOfTurn"),
        Fault(do="reset", after="StartOfTurn"),
    ],
    ids=["reset", "half-close", "close 1000", "close 1011", "error", "at the end", "at the start"],
)
async def test_a_turn_goes_on_over_a_lost_connection_and_its_words_are_heard_once(
    fault: Fault,
) -> None:
    script = [FluxScenario(faults=(fault,))]
    async with FluxEmulator(CALLER, script) as flux, hearing(ears(flux)) as call:
        await call.say(spoken(), pace=2.0)
        await call.until(lambda: call.seen(ProposedUserStoppedSpeakingFrame))
    assert proposals(call) == ["Started", SENTENCE, "Stopped"]
    assert len(call.errors) == 1 and call.service.is_usable


async def test_a_turn_that_was_over_is_not_heard_again_after_the_connection_was_lost() -> None:
    script = [fails(do="reset", at=2.6)]
    async with FluxEmulator(CALLER, script) as flux, hearing(ears(flux)) as call:
        await call.say(spoken("i would like a table"))
        await call.until(lambda: len(call.finals) == 1)
        await call.say(spoken("for four people please"))
        await call.until(lambda: len(call.seen(ProposedUserStoppedSpeakingFrame)) == 2)
    assert call.finals == ["i would like a table", "for four people please"]


async def test_a_connection_that_held_longer_than_giving_up_takes_is_still_replaced() -> None:
    script = [fails(do="say", at=1.6, text=INTERNAL)]
    async with (
        FluxEmulator(CALLER, script) as flux,
        hearing(ears(flux, give_up_after=1.0)) as call,
    ):
        await flux.until_said("Connected")
        await call.say(spoken(), pace=1.0)
        await call.until(lambda: call.seen(ProposedUserStoppedSpeakingFrame))
    assert proposals(call) == ["Started", SENTENCE, "Stopped"]
    assert call.service.is_usable


async def test_what_a_caller_says_before_flux_is_ready_is_heard() -> None:
    script = [
        FluxScenario(reset=True),
        FluxScenario(refuse=TOO_MANY),
        FluxScenario(refuse=UNAVAILABLE),
        FluxScenario(refuse=UNAVAILABLE),
        FluxScenario(refuse=UNAVAILABLE),
    ]
    async with FluxEmulator(CALLER, script) as flux, hearing(ears(flux)) as call:
        await call.say(spoken())
        await call.until(lambda: call.finals)
    assert call.finals == [SENTENCE]
    assert call.service.is_usable


async def test_a_connection_that_is_never_confirmed_is_replaced() -> None:
    script = [FluxScenario(connected=False)]
    async with FluxEmulator(CALLER, script) as flux, hearing(ears(flux)) as call:
        await call.say(spoken())
        await call.until(lambda: call.finals)
    assert call.finals == [SENTENCE]
    assert len(flux.said("open")) == 2


async def test_a_handshake_that_hangs_holds_up_neither_its_call_nor_another() -> None:
    script = [FluxScenario(hang=True)]
    async with FluxEmulator(CALLER, script) as flux:
        async with hearing(ears(flux)) as held_up:
            await held_up.until(lambda: held_up.seen(StartFrame))
            await flux.until_said("hang")
            async with hearing(ears(flux)) as call:
                await call.say(spoken("like a table"))
                await call.until(lambda: call.finals)
            assert held_up.errors == []


# ------------------------------------------------------------------------------ Flux forgets


@pytest.mark.parametrize(
    "forgetful",
    [FluxScenario(endless=True), fails(do="mute", before="EndOfTurn"), fails(do="stall", at=0.5)],
    ids=["updates go on", "mute before the end", "stops reading"],
)
async def test_a_turn_flux_never_ends_is_ended_by_voice_and_words_within_three_seconds(
    forgetful: FluxScenario,
) -> None:
    async with FluxEmulator(CALLER, [forgetful]) as flux:
        made = plan(flux)
        assert made.stt is not None
        async with hearing(made.stt, vad=Loudness(), stop=made.stop) as call:
            await flux.until_said("Connected")
            await call.say(spoken("like a table", pause=0.0), pace=1.0)
            quiet = asyncio.create_task(call.say(silence(4.0), pace=1.0))
            await call.until(lambda: call.seen(UserStoppedSpeakingFrame), within=WITHIN)
            # The agent has its turn; and on the new connection the caller is heard as before.
            await flux.until_said("Connected", count=2)
            await quiet
            await call.say(spoken("thanks"), pace=2.0)
            await call.until(lambda: len(call.finals) == 2)
    assert call.finals == ["like a table", "thanks"]


async def test_a_turn_flux_ends_by_its_own_timeout_costs_no_connection() -> None:
    async with FluxEmulator(CALLER, [FluxScenario(sure=False)]) as flux:
        made = plan(flux, eot_timeout_ms=1000)
        assert made.stt is not None
        async with hearing(made.stt, vad=Loudness(), stop=made.stop) as call:
            await call.say(spoken("like a table", pause=1.5), pace=1.0)
            await call.until(lambda: call.seen(UserStoppedSpeakingFrame))
    assert call.finals == ["like a table"] and call.errors == []
    assert flux.said("EndOfTurn")[0].payload["trigger"] == "timeout"


async def test_a_mute_connection_is_replaced_while_the_caller_speaks_and_no_word_is_lost() -> None:
    script = [fails(do="mute", at=0.4)]
    async with FluxEmulator(CALLER, script) as flux, hearing(ears(flux)) as call:
        await call.say(spoken(), pace=1.0)
        await call.until(lambda: len(call.words) >= len(SENTENCE.split()), within=WITHIN)
    assert call.words == SENTENCE.split()
    assert any("said nothing for 2 s" in error for error in call.errors)


@pytest.mark.parametrize(
    "next_one",
    [FluxScenario(hang=True), fails(do="mute", after="StartOfTurn")],
    ids=["hangs", "is mute after the first word"],
)
async def test_a_caller_who_falls_silent_in_a_gap_is_answered_and_the_rest_is_heard_later(
    next_one: FluxScenario,
) -> None:
    script = [fails(do="reset", at=1.6), next_one, FluxScenario(hang=True)]
    async with FluxEmulator(CALLER, script) as flux:
        made = plan(flux)
        assert made.stt is not None
        async with hearing(made.stt, vad=Loudness(), stop=made.stop) as call:
            await flux.until_said("Connected")
            await call.say(spoken(pause=0.0), pace=1.0)
            quiet = asyncio.create_task(call.say(silence(4.0), pace=1.0))
            await call.until(lambda: call.seen(ProposedUserStoppedSpeakingFrame), within=WITHIN)
            first = list(call.words)
            await call.until(lambda: len(call.finals) == 2)
            await quiet
    assert first == CALLER.words[: len(first)] and len(first) >= 5
    assert call.words == SENTENCE.split()


# ------------------------------------------------------------------------------ for good


@pytest.mark.parametrize(
    ("refused", "sentence"),
    [
        (WRONG_KEY, "Set DEEPGRAM_API_KEY"),
        (NO_ACCESS, "may not use the model 'flux-general-en'"),
        (NO_CREDIT, "out of credit"),
        (wrong_query("eot_threshold=2"), "eot_threshold=2"),
        (Refusal(status=404), "Correct the url"),
    ],
    ids=lambda value: str(value.status) if isinstance(value, Refusal) else "",
)
async def test_a_refusal_that_will_not_pass_is_said_once_and_never_tried_again(
    refused: Refusal, sentence: str
) -> None:
    script = [FluxScenario(refuse=refused)]
    async with FluxEmulator(CALLER, script) as flux, hearing(ears(flux)) as call:
        await call.until(lambda: call.errors)
        assert not call.service.is_usable
    assert len(call.errors) == 1 and sentence in call.errors[0]
    assert KEY not in call.errors[0]
    assert len(flux.said("handshake")) == 1


async def test_a_flux_that_dies_for_good_in_mid_turn_says_what_it_heard_first() -> None:
    away = FluxScenario(refuse=UNAVAILABLE)
    async with (
        FluxEmulator(CALLER, [fails(do="reset", at=1.6)], otherwise=away) as flux,
        hearing(ears(flux, give_up_after=1.0)) as call,
    ):
        await call.say(spoken(pause=0.0))
        await call.until(lambda: not call.service.is_usable and call.errors)
        await call.until(lambda: any("given up after 1 s" in error for error in call.errors))
    assert len(call.finals) == 1 and SENTENCE.startswith(call.finals[0])
    assert proposals(call)[-1] == "Stopped"


async def test_a_message_flux_cannot_parse_is_a_fault_of_ours_and_not_repeated() -> None:
    unparsable = json.dumps(
        {
            "type": "Error",
            "sequence_id": 1,
            "code": "UNPARSABLE_CLIENT_MESSAGE",
            "description": "No such message.",
        }
    )
    script = [fails(do="say", at=0.2, text=unparsable)]
    async with FluxEmulator(CALLER, script) as flux, hearing(ears(flux)) as call:
        await call.say(silence(0.4))
        await call.until(lambda: not call.service.is_usable and call.errors)
    assert "UNPARSABLE_CLIENT_MESSAGE" in call.errors[-1]
    assert len(flux.said("handshake")) == 1


async def test_neither_the_key_nor_a_word_is_logged_even_when_everything_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    async with FluxEmulator(CALLER) as flux, hearing(ears(flux)) as call:
        await asyncio.to_thread(online, settings(flux))
        await call.say(spoken("thanks"))
        await call.falls_silent()
        await call.until(lambda: call.finals)
    # The emulator is in this process; its own websocket logs are not ours.
    ours = [r for r in caplog.records if r.name != "websockets.server"]
    assert not any(KEY in r.getMessage() or "thanks" in r.getMessage() for r in ours)


# ------------------------------------------------------------------------------ settings


@pytest.mark.parametrize(
    "values",
    [
        {"eot_threshold": 0.4},
        {"eot_threshold": 0.95},
        {"eager_eot_threshold": 0.2},
        {"eot_timeout_ms": 400},
        {"eot_timeout_ms": 20000},
        {"keyterms": ["x"] * 101},
        {"url": "api.deepgram.com"},
    ],
)
def test_a_setting_out_of_its_range_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FluxSettings(**({"api_key": SecretStr(KEY)} | values))


def test_a_guess_that_would_come_after_the_verdict_is_refused() -> None:
    with pytest.raises(ValidationError, match="a guess must come before the verdict"):
        FluxSettings(api_key=SecretStr(KEY), eot_threshold=0.6, eager_eot_threshold=0.7)


def test_a_setting_that_would_deafen_flux_is_refused_with_the_reason() -> None:
    with pytest.raises(ValidationError, match="encoding is not a setting"):
        FluxSettings(**{"api_key": SecretStr(KEY), "encoding": "mulaw"})


async def test_a_check_tells_a_wrong_key_a_wrong_model_and_a_wrong_address_apart() -> None:
    async with FluxEmulator(CALLER) as flux:

        async def ask(**values: Any) -> list[str]:
            return await asyncio.to_thread(online, settings(flux, **values))

        assert await ask(eager_eot_threshold=0.5) == []
        (key,) = await ask(api_key=SecretStr("other-key"))
        (model,) = await ask(model="flux-general-xx")
        (address,) = await ask(url="http://127.0.0.1:1")
    assert "refused the key" in key and "other-key" not in key
    assert "does not know the model 'flux-general-xx'" in model
    assert "cannot be reached at 127.0.0.1:1" in address


# ------------------------------------------------------------------------------ plain Pipecat


def stock(emulator: FluxEmulator) -> STTService:
    return DeepgramFluxSTTService(api_key=KEY, url=f"{emulator.url}/v2/listen")


def updates_after(flux: FluxEmulator, begun: Line) -> list[Line]:
    return [line for line in flux.said("Update") if line.at > begun.at]


@pytest.mark.stock
async def test_plain_pipecat_never_ends_a_turn_flux_has_forgotten() -> None:
    async with FluxEmulator(CALLER, [FluxScenario(endless=True)]) as flux:
        strategies = ExternalUserTurnStrategies()
        # The aggregator's own timeout, which should have ended the turn, is 1 s here.
        async with hearing(stock(flux), vad=Loudness(), strategies=strategies) as call:
            await call.say(spoken("like a table", pause=0.0), pace=1.0)
            begun = await flux.until_said("StartOfTurn")
            await call.say(silence(4.0), pace=1.0)
            await flux.until(lambda: len(updates_after(flux, begun)) >= 12)
            assert call.seen(UserStoppedSpeakingFrame) == []


@pytest.mark.stock
async def test_plain_pipecat_cuts_the_turn_in_two_when_the_connection_breaks() -> None:
    script = [fails(do="reset", at=1.6)]
    async with FluxEmulator(CALLER, script) as flux, hearing(stock(flux)) as call:
        await flux.until_said("Connected")
        await call.say(spoken(), pace=1.0)
        await call.until(lambda: len(call.seen(ProposedUserStoppedSpeakingFrame)) == 2)
    assert len(call.finals) == 2
