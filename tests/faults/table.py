"""The fault table: who fails, how and when, what the caller then hears, and how long it is quiet.

A row's ``within`` is the longest silence that it allows, in seconds: how long nobody, neither agent
nor caller, may be heard.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tests.emulators import deepgram as dg
from tests.emulators.deepgram import DeepgramScenario
from tests.emulators.elevenlabs import Answer, Speech
from tests.emulators.flux import FluxScenario
from tests.emulators.gateway_streams import Fault as LlmFault
from tests.emulators.gateway_streams import Reply
from tests.emulators.socket import Fault, Refusal
from tests.faults.lines import APOLOGY, FIRST, GOODBYE, GREETING, MOMENT, SECOND

Moment = Literal["connect", "first token", "mid-sentence", "between turns"]
Provider = Literal["Deepgram", "Flux", "gateway", "ElevenLabs"]

PRODUCTION = Path(__file__).parents[2] / "examples" / "production.toml"
"""What answers; only addresses, keys and what is said are changed, by variables."""

CALL = (GREETING, *FIRST, *SECOND)
"""A call in which the caller notices nothing."""

LOST = "failed"
ON = "caller hung up"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row.

    Attributes:
        provider: Who fails.
        moment: When.
        fault: How, in words.
        within: Seconds of the longest silence.
        hears: The lines that the caller hears, in order, and no others.
        ended: Why the call ends: ``caller hung up`` when everything was said.
        may_wait: Whether "one moment" may be heard, which depends on how busy the machine is.
        answered: How many of the usual answers are not asked for, because ``replies`` has them.
        variables: What is configured otherwise.
        second: Whether the second voice takes over.
        deepgram: Deepgram's connections, in order; likewise the others.
        deepgram_ever: Every connection after them; likewise the others.
        voice_http: How ElevenLabs answers when phrases are rendered ahead.
    """

    provider: Provider
    moment: Moment
    fault: str
    within: float
    hears: tuple[str, ...] = CALL
    ended: str = ON
    may_wait: bool = False
    answered: int = 0
    variables: Mapping[str, str] = field(default_factory=dict)
    second: bool = False
    deepgram: tuple[DeepgramScenario, ...] = ()
    deepgram_ever: DeepgramScenario | None = None
    flux: tuple[FluxScenario, ...] = ()
    flux_ever: FluxScenario | None = None
    replies: tuple[Reply, ...] = ()
    voice: tuple[Speech, ...] = ()
    voice_ever: Speech | None = None
    voice_http: tuple[Answer, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.provider}, {self.moment}: {self.fault}"


PROMPT = 3.0
"""Seconds that nobody takes for a fault: a turn is decided, a model thinks, a voice begins."""
SLOW = 6.0
"""Where the limit of a rule has to run out first: 4 s of thinking, or 3 s of a mute voice."""

LISTENING = 3.8
"""Seconds of audio after which the caller is in the middle of a sentence."""
SPEAKING = 6.5
"""… and the agent answers."""

_WIRE: tuple[tuple[str, str, str], ...] = (
    ("reset", "the connection is reset", ""),
    ("half-close", "half of the connection is closed", ""),
    ("stall", "it stops reading", ""),
    ("mute", "it reads on and says nothing more", ""),
    ("close", "it closes without a word", ""),
)


def rows() -> tuple[Row, ...]:
    """The table."""
    return (*_deepgram(), *_flux(), *_gateway(), *_voice())


# ------------------------------------------------------------------------------ transcribers

_DEAF = (GREETING, APOLOGY, GOODBYE)
_REFUSED: tuple[tuple[str, Refusal], ...] = (
    ("401, for good", dg.WRONG_KEY),
    ("403, for good", dg.NO_ACCESS),
)
_PASSING: tuple[tuple[str, Refusal], ...] = (
    ("429, once", dg.TOO_MANY),
    ("503, once", dg.UNAVAILABLE),
)


def _deepgram() -> Iterator[Row]:
    def row(moment: Moment, fault: str, *how: DeepgramScenario, **more: object) -> Row:
        return Row(
            provider="Deepgram",
            moment=moment,
            fault=fault,
            variables={"TIPRING_TURN": "smart"},
            deepgram=how,
            **{"within": PROMPT, **more},  # type: ignore[arg-type]
        )

    for fault, refusal in _REFUSED:
        never = DeepgramScenario(refuse=refusal)
        yield row("connect", fault, hears=_DEAF, ended=LOST, deepgram_ever=never)
    for fault, refusal in _PASSING:
        yield row("connect", fault, DeepgramScenario(refuse=refusal))
    yield row("connect", "reset, once", DeepgramScenario(reset=True))
    yield row("connect", "no answer, once", DeepgramScenario(hang=True))
    first = DeepgramScenario(faults=(Fault(do="reset", before="interim"),))
    yield row("first token", "the connection is reset", first)
    yield row("first token", "the last words come late", DeepgramScenario(finalize="late"))
    for do, fault, text in _WIRE:
        how = DeepgramScenario(faults=(Fault(do=do, at=LISTENING, text=text),))  # type: ignore[arg-type]
        yield row("mid-sentence", fault, how)
    for fault, text in (
        ("a malformed frame", '{"type": "Results", "chan'),
        ("an error event", '{"type": "Error", "variant": "SchemaError", "description": "no"}'),
    ):
        said = Fault(do="say", at=LISTENING, text=text)
        yield row("mid-sentence", fault, DeepgramScenario(faults=(said,)))
    for do, fault, _ in _WIRE[:1]:
        how = DeepgramScenario(faults=(Fault(do=do, at=SPEAKING),))  # type: ignore[arg-type]
        yield row("between turns", fault, how)
    timeout = Fault(do="close", at=SPEAKING, code=1011, reason="NET-0001")
    yield row("between turns", "it closes with 1011", DeepgramScenario(faults=(timeout,)))


def _flux() -> Iterator[Row]:
    def row(moment: Moment, fault: str, *how: FluxScenario, **more: object) -> Row:
        return Row(
            provider="Flux",
            moment=moment,
            fault=fault,
            flux=how,
            **{"within": PROMPT, **more},  # type: ignore[arg-type]
        )

    for fault, refusal in _REFUSED:
        never = FluxScenario(refuse=refusal)
        yield row("connect", fault, flux_ever=never)
        deaf = DeepgramScenario(refuse=refusal)
        yield row(
            "connect",
            f"{fault}, and nova-3 too",
            hears=_DEAF,
            ended=LOST,
            flux_ever=never,
            deepgram_ever=deaf,
        )
    for fault, refusal in _PASSING:
        yield row("connect", fault, FluxScenario(refuse=refusal))
    yield row("connect", "reset, once", FluxScenario(reset=True))
    yield row("connect", "no answer, once", FluxScenario(hang=True))
    yield row("connect", "never confirmed, once", FluxScenario(connected=False))
    first = FluxScenario(faults=(Fault(do="reset", after="StartOfTurn"),))
    yield row("first token", "the connection is reset", first)
    for do, fault, text in _WIRE:
        how = FluxScenario(faults=(Fault(do=do, at=LISTENING, text=text),))  # type: ignore[arg-type]
        yield row("mid-sentence", fault, how)
    for fault, text in (
        ("a malformed frame", '{"type": "TurnInfo", "eve'),
        (
            "an error event",
            '{"type": "Error", "sequence_id": 3, "code": "INTERNAL_SERVER_ERROR",'
            ' "description": "no"}',
        ),
    ):
        said = Fault(do="say", at=LISTENING, text=text)
        yield row("mid-sentence", fault, FluxScenario(faults=(said,)))
    yield row("mid-sentence", "the turn never ends", FluxScenario(endless=True))
    yield row(
        "between turns",
        "the connection is reset",
        FluxScenario(faults=(Fault(do="reset", at=SPEAKING),)),
    )


# ------------------------------------------------------------------------------ models

_OPEN = "And how many of you"
"""The beginning of a sentence that does not come to its end."""


def _gateway() -> Iterator[Row]:
    def row(moment: Moment, fault: str, *replies: Reply, **more: object) -> Row:
        return Row(
            provider="gateway",
            moment=moment,
            fault=fault,
            replies=replies,
            **{"within": PROMPT, **more},  # type: ignore[arg-type]
        )

    for status, code in (
        (401, "authentication_error"),
        (403, "permission_error"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (529, "overloaded_error"),
    ):
        yield row("connect", f"{status}", Reply(status=status, code=code))
    yield row("connect", "the gateway's own 401", Reply(status=401, gateway_error=True))
    yield row("connect", "the connection is reset", _failing("reset", None))
    waits = (GREETING, MOMENT, *FIRST, *SECOND)
    yield row("connect", "no answer", _failing("hang", None), within=SLOW, hears=waits)
    slow = Reply(text=" ".join(FIRST), first_token_after=3.0)
    yield row(
        "first token",
        "it is 3 s late",
        slow,
        within=SLOW,
        answered=1,
    )
    for do, fault in _LLM:
        wait = {"within": SLOW, "hears": waits} if do == "hang" else {}
        yield row("first token", fault, _failing(do, 0), **wait)
    hedge = {"TIPRING_LADDER__HEDGE_AFTER": "0.9"}
    yield row("first token", "nothing comes, with a hedge", _failing("hang", 0), variables=hedge)
    for do, fault in _LLM:
        wait = {"within": SLOW, "hears": waits} if do == "hang" else {}
        yield row("mid-sentence", fault, _failing(do, 3, _OPEN), **wait)
    for do, fault in _LLM:
        yield row(
            "mid-sentence",
            f"{fault}, behind a whole sentence",
            _failing(do, 4, " ".join(FIRST)),
            hears=(GREETING, FIRST[0], *SECOND),
            answered=1,
        )
    down = Reply(status=503)
    yield row("connect", "503 from every rung", down, down, down, hears=(GREETING, APOLOGY, *FIRST))


_LLM: tuple[tuple[Literal["reset", "hang", "end", "error", "malformed"], str], ...] = (
    ("reset", "the connection is reset"),
    ("end", "a clean end before its time"),
    ("error", "an error event"),
    ("malformed", "a malformed frame"),
    ("hang", "nothing more comes"),
)


def _failing(
    do: Literal["reset", "hang", "end", "error", "malformed"], after: int | None, text: str = ""
) -> Reply:
    return Reply(text=text or " ".join(FIRST), fault=LlmFault(do=do, after=after))


# ------------------------------------------------------------------------------ the voice

_MUTE = (GREETING, APOLOGY, GOODBYE)
_SILENT = Speech(silent=True)
_EARLY = Speech(error="quota_exceeded")
_QUOTA = Speech(pace=1.0, error="quota_exceeded", error_after=2)
"""It breaks off in mid-sentence, and for good."""


def _speaking(moment: Moment, fault: str, *how: Speech, **more: object) -> Row:
    return Row(
        provider="ElevenLabs",
        moment=moment,
        fault=fault,
        voice=how,
        **{"within": PROMPT, **more},  # type: ignore[arg-type]
    )


def _for_good() -> Iterator[tuple[str, Speech]]:
    for status, word in ((401, "invalid_api_key"), (403, "missing_permissions")):
        yield f"{status}, for good", Speech(refuse=_refused(status, word))


def _voice() -> Iterator[Row]:
    row = _speaking
    slow = {"within": SLOW, "may_wait": True}
    for fault, never in _for_good():
        yield row("connect", fault, voice_ever=never, second=True)
    refused = Answer(status=401, detail={"status": "invalid_api_key", "message": "No."})
    yield row(
        "connect",
        "it cannot render ahead",
        voice_http=(refused,),
        voice_ever=Speech(refuse=_refused(401, "invalid_api_key")),
        second=True,
    )
    for status in (429, 503):
        yield row("connect", f"{status}, once", Speech(refuse=_refused(status, "system_busy")))
    yield row("connect", "reset, once", Speech(reset=True))
    yield row("connect", "no answer, once", Speech(hang=True), **slow)
    yield row("first token", "no audio comes", voice_ever=_SILENT, second=True, **slow)
    yield row("first token", "an error event", _EARLY, voice_ever=_EARLY, second=True)
    for do, fault, _ in _WIRE:
        how = Speech(pace=1.0, faults=(Fault(do=do, after="audio", nth=2),))  # type: ignore[arg-type]
        yield row("mid-sentence", fault, how, **(slow if do in ("stall", "mute") else {}))
    for do, fault, more in (("reset", _WIRE[0][1], {}), ("mute", _WIRE[3][1], slow)):
        how = Speech(pace=1.0, faults=(Fault(do=do, after="audio", nth=5),))  # type: ignore[arg-type]
        yield row("mid-sentence", f"{fault}, with another sentence behind it", how, **more)
    malformed = Speech(
        pace=1.0, faults=(Fault(do="say", after="audio", nth=2, text='{"audio": "'),)
    )
    yield row("mid-sentence", "a malformed frame", malformed)
    yield row("mid-sentence", "an error event", _QUOTA, voice_ever=_EARLY, second=True)
    yield row(
        "between turns",
        "the connection is reset",
        Speech(faults=(Fault(do="reset", after="final"),)),
    )
    yield row(
        "between turns",
        "it closes for want of text",
        Speech(faults=(Fault(do="close", after="final", code=1008),)),
    )


ONE_VOICE = ", with one voice"


def alone() -> tuple[Row, ...]:
    """What a second voice is for: the same faults where there is none."""
    return tuple(_alone())


def _alone() -> Iterator[Row]:
    def row(moment: Moment, fault: str, *how: Speech, **more: object) -> Row:
        one = {"TIPRING_TTS": "elevenlabs"}
        return _speaking(moment, fault + ONE_VOICE, *how, variables=one, **more)

    slow = {"within": SLOW, "may_wait": True}
    over = {"hears": _MUTE, "ended": LOST}
    for fault, never in _for_good():
        yield row("connect", fault, voice_ever=never, **over)
    yield row("connect", "no answer, once", Speech(hang=True), **slow)
    yield row("first token", "no audio comes, once", _SILENT, **slow)
    yield row("first token", "no audio ever comes", voice_ever=_SILENT, **slow, **over)
    yield row("first token", "an error event", _EARLY, voice_ever=_EARLY, **over)
    how = Speech(pace=1.0, faults=(Fault(do="reset", after="audio", nth=2),))
    yield row("mid-sentence", "the connection is reset", how)
    yield row(
        "mid-sentence",
        "an error event",
        _QUOTA,
        voice_ever=_EARLY,
        hears=(GREETING, FIRST[0], "and how many of", APOLOGY, GOODBYE),
        ended=LOST,
    )


def _refused(status: int, word: str) -> Refusal:
    body = {"detail": {"status": word, "message": "No."}}
    return Refusal(status=status, body=json.dumps(body))
