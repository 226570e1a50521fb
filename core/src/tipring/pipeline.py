"""One call's pipeline: the only place where the parts meet."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pipecat.frames.frames import TTSSpeakFrame
from pipecat.observers.base_observer import BaseObserver
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext, LLMContextMessage
from pipecat.processors.aggregators.llm_response_universal import LLMUserAggregatorParams
from pipecat.services.llm_service import FunctionCallParams
from pipecat.services.stt_service import STTService
from pipecat.services.tts_service import TTSService
from pipecat.turns.user_turn_strategies import UserTurnStrategies

from tipring.aggregators import Listener, Rememberer
from tipring.control.gate import ReplyGate
from tipring.errors import ConfigError, PluginError
from tipring.hearing import Hearers, Hearing
from tipring.journal import Journal
from tipring.llm.breaker import Breakers
from tipring.llm.ladder import LadderLLMService
from tipring.phone.ledger import FarewellFrame, HeardLedger
from tipring.phone.socket import PhoneSocket
from tipring.phone.stream import TwilioStream
from tipring.phone.transport import PhoneTransport
from tipring.providers import Call, Rung
from tipring.selection import Part, Selection
from tipring.speech.phrases import Phrases
from tipring.speech.player import PhraseDesk, PhrasePlayer
from tipring.speech.speakable import speaker
from tipring.speech.voices import Voices
from tipring.turns.asked import Asked
from tipring.turns.court import Court
from tipring.turns.ears import Ears
from tipring.turns.echo import Echo
from tipring.turns.finals import FinalWords
from tipring.turns.floor import Floor
from tipring.turns.nearness import Nearness
from tipring.turns.punctuation import Punctuation, Transcribers
from tipring.turns.second_thought import SecondThought
from tipring.turns.start import start_rules
from tipring.turns.vad import phone_vad
from tipring.turns.words import words_for
from tipring.watch import Watch

log = logging.getLogger(__name__)

HangUp = Callable[[FunctionCallParams], Awaitable[None]]


class Conversation(LLMContext):
    """The conversation as the model sees it.

    What the caller says in two goes without an answer in between is one message: they took their
    turn back, and went on.
    """

    def add_message(self, message: LLMContextMessage) -> None:
        """Add a message, or the rest of one."""
        messages = self.get_messages()
        if messages and _is_text_of_caller(message) and _is_text_of_caller(messages[-1]):
            last = cast(dict[str, Any], messages[-1])
            rest = cast(dict[str, Any], message)
            joined = {**last, "content": f"{last['content']} {rest['content']}"}
            self.set_messages([*messages[:-1], cast(LLMContextMessage, joined)])
        else:
            super().add_message(message)


def _is_text_of_caller(message: LLMContextMessage) -> bool:
    return (
        isinstance(message, dict)
        and message.get("role") == "user"
        and isinstance(message.get("content"), str)
    )


@dataclass(frozen=True, kw_only=True)
class Line:
    """A pipeline, ready to run.

    Attributes:
        transport: The websocket of the phone.
        worker: Runs the pipeline.
        ears: Hears the caller, whoever the transcriber is.
        ladder: The models.
        voices: Who speaks, and who takes over.
        desk: Takes what the host itself says, behind the model, which may be thinking.
        player: Speaks phrases when the voice cannot.
        conversation: What has been said.
        names: Who does what in this call: ``stt``, ``turn``, ``llm``, ``tts``.
    """

    transport: PhoneTransport
    worker: PipelineWorker
    ears: Ears
    ladder: LadderLLMService
    voices: Voices
    desk: PhraseDesk
    player: PhrasePlayer
    conversation: Conversation
    names: dict[str, Any]


def assemble(
    selection: Selection,
    call: Call,
    *,
    socket: PhoneSocket,
    stream: TwilioStream,
    ledger: HeardLedger,
    phrases: Phrases,
    journal: Journal,
    floor: Floor,
    hang_up: HangUp,
    on_mute: Callable[[], Awaitable[None]],
    gate: ReplyGate,
    breakers: Breakers,
    transcribers: Transcribers,
    about: str = "",
    observers: Sequence[BaseObserver] = (),
) -> Line:
    """Build every part for one call and put them in a line.

    A part that cannot be built is passed over for the next name of its kind.

    Args:
        selection: What was chosen, rehearsed.
        call: What the parts may know of the call.
        socket: The phone's.
        stream: The phone's protocol.
        ledger: What was heard.
        phrases: What was rendered ahead.
        journal: Where everything is noted.
        floor: Who has the floor.
        hang_up: What happens when the model hangs up. Its docstring is what the model is told.
        on_mute: What happens when no voice is left.
        gate: What a reply passes before it is said.
        breakers: Which rungs are left alone for now, for all calls.
        transcribers: How each transcriber punctuates, for all calls.
        about: What the model is told of this call, besides its instructions.
        observers: Who watches the call from the side.

    Raises:
        ConfigError: For hearing, thinking or speaking nothing could be built.
    """
    config = selection.config
    words = words_for(call.language)
    hearers = Hearers(selection, call, journal)
    hearing = hearers.first()
    plan = hearing.plan
    # Another detector may need a voice detector later, and the aggregator takes none by then.
    vad = plan.vad or (phone_vad() if hearers.more else None)
    speakers = _every(selection.tts, call, journal)
    for _, tts in speakers:
        tts.add_text_transformer(speaker(call.language).transform)

    async def switched(number: int) -> None:
        told = f"it failed, and tts.{speakers[number][0].name} speaks now"
        journal.note("problem", where=speakers[number - 1][0].where, what=told)

    voices = Voices([tts for _, tts in speakers], on_switched=switched, on_lost=on_mute)
    rungs = _rungs(selection.llm, call, journal)

    conversation = Conversation(tools=[hang_up])
    ladder = LadderLLMService(
        rungs,
        system=f"{config.agent.prompt}\n{about}" if about else config.agent.prompt,
        language=call.language,
        commit_within=config.ladder.commit_within,
        idle_within=config.ladder.idle_within,
        hedge_after=config.ladder.hedge_after,
        breakers=breakers,
    )
    desk, player = PhraseDesk(phrases, ledger.script), PhrasePlayer(phrases, ledger.script)

    async def resume() -> bool:
        left = await ledger.resume()
        if left:
            await desk.queue_frame(TTSSpeakFrame(left))
        if left is not None and floor.cut_goodbye:
            floor.leaving = True
            await desk.queue_frame(FarewellFrame())
        return left is not None

    async def stop() -> bool:
        if may := ledger.stop():
            await transport.output().send_message(stream.stop())
        return may

    def punctuation_of(one: Hearing) -> Punctuation:
        return transcribers.punctuation(one.hears, declared=one.punctuates)

    async def successor() -> STTService | None:
        after = hearers.next()
        if after is None:
            return None
        journal.note("handover", stt=after.hears, turn=after.turn)
        await court.hand_over(after.plan, by=after.turn, punctuation=punctuation_of(after))
        return after.stt

    nearness = Nearness(floor=floor)
    ears = Ears(hearing.stt, successor=successor)
    court = Court(
        plan,
        by=hearing.turn,
        floor=floor,
        journal=journal,
        words=words,
        rules=config.turns,
        punctuation=punctuation_of(hearing),
        language=call.language,
        spent=lambda: ladder.spent,
    )
    listener = Listener(
        conversation,
        params=LLMUserAggregatorParams(
            vad_analyzer=vad,
            user_turn_strategies=UserTurnStrategies(
                start=start_rules(
                    floor=floor,
                    journal=journal,
                    words=words,
                    rules=config.turns,
                    vad=vad,
                    turn=court,
                    stop=stop,
                    resume=resume,
                    nearness=nearness,
                ),
                stop=[court],
            ),
            # The court ends every turn that has a word in it; this is for what nobody thought of.
            user_turn_stop_timeout=plan.patience + config.turns.hold + 5.0,
            # A turn starts with a word here, so that one without any cannot have interrupted.
            empty_user_turn=None,
        ),
        echo=Echo(floor=floor, journal=journal, words=words, nearness=nearness),
    )
    transport = PhoneTransport(socket, stream, pulse=listener.pulse)
    worker = PipelineWorker(
        Pipeline(
            [
                transport.input(),
                ears,
                FinalWords(),
                listener,
                ladder,
                Asked(floor=floor, journal=journal, language=call.language),
                gate,
                desk,
                *voices.processors,
                player,
                SecondThought(floor, vad=vad, nearness=nearness),
                ledger,
                transport.output(),
                Rememberer(conversation),
            ]
        ),
        params=PipelineParams(
            audio_in_sample_rate=call.audio_in_rate, audio_out_sample_rate=call.audio_out_rate
        ),
        enable_rtvi=False,
        enable_turn_tracking=False,
        idle_timeout_secs=None,  # silences have their own rules, and the call its time limit
    )
    Watch(journal, observers).join(worker)
    return Line(
        transport=transport,
        worker=worker,
        ears=ears,
        ladder=ladder,
        voices=voices,
        desk=desk,
        player=player,
        conversation=conversation,
        names={
            "stt": hearing.hears,
            "turn": hearing.turn,
            "llm": ">".join(name for name, _ in rungs),
            "tts": speakers[0][0].name,
        },
    )


def _every(parts: tuple[Part, ...], call: Call, journal: Journal) -> list[tuple[Part, TTSService]]:
    """Every voice that can be built, the preferred one first."""
    built: list[tuple[Part, TTSService]] = []
    for part in parts:
        try:
            built.append((part, part.build(call)))
        except PluginError as error:
            _passed_over(error, call, journal)
    if not built:
        raise ConfigError("[use] tts", "no voice could be built", "tipring check")
    return built


def _rungs(parts: tuple[Part, ...], call: Call, journal: Journal) -> list[tuple[str, Rung]]:
    rungs: list[tuple[str, Rung]] = []
    for part in parts:
        try:
            rungs.append((part.name, part.build(call)))
        except PluginError as error:
            _passed_over(error, call, journal)
    if not rungs:
        raise ConfigError("[use] llm", "no rung could be built", "tipring check")
    return rungs


def _passed_over(error: PluginError, call: Call, journal: Journal) -> None:
    log.warning("call %s: %s", call.id, error)
    journal.note("problem", where=error.where, what=error.what)
