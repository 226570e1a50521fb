"""The typed declarations a plugin makes, and what its ``build`` gives back.

A declaration ties a settings class to the function that builds from it, so that one class is the
validation, the documentation and the environment variables of a provider::

    class AcmeSettings(Settings):
        api_key: SecretStr = secret("ACME_API_KEY", "The Acme key.")
        model: str = Field("large", description="Which Acme model hears the caller.")

    def build(settings: AcmeSettings, call: Call) -> STTService:
        from acme_pipecat import AcmeSTTService      # heavy imports live here
        ...

    @hookimpl
    def register_stt() -> Iterable[Stt[AcmeSettings]]:
        yield Stt(name="acme", settings=AcmeSettings, build=build)
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from tipring.written import KINDS as KINDS

if TYPE_CHECKING:
    from pipecat.audio.vad.vad_analyzer import VADAnalyzer
    from pipecat.processors.aggregators.llm_context import LLMContext
    from pipecat.services.stt_service import STTService
    from pipecat.services.tts_service import TTSService
    from pipecat.turns.user_stop import BaseUserTurnStopStrategy


class Settings(BaseModel):
    """The settings of one provider: frozen, and unknown keys are refused."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    refused: ClassVar[Mapping[str, str]] = {}
    """What somebody might want to set and must not, each with the reason."""


class NoSettings(Settings):
    """For a provider that has nothing to set."""


def secret(env: str, description: str, *, optional: bool = False) -> Any:
    """Declare a setting that comes from the environment only.

    Annotate the field ``SecretStr``, or ``SecretStr | None`` when optional. A value for it in the
    file is refused, and it is masked wherever settings are shown.

    Args:
        env: The environment variable, for example ``DEEPGRAM_API_KEY``.
        description: What the secret is, in a sentence.
        optional: Whether the provider works without it; it is then ``None``.
    """
    extra: dict[str, Any] = {"secret_env": env}
    if optional:
        return Field(default=None, description=description, json_schema_extra=extra)
    return Field(description=description, json_schema_extra=extra)


@dataclass(frozen=True, kw_only=True)
class Call:
    """What a provider may know of the call it is built for.

    Attributes:
        id: Twilio's call id, or ``"rehearsal"`` when the host tries the build at boot.
        language: The language of the conversation, a BCP 47 tag such as ``en`` or ``es-MX``.
        audio_in_rate: Hz of the PCM16 mono audio that hearing and turn detection get.
        audio_out_rate: Hz of the PCM16 mono audio that speech should come in.
    """

    id: str
    language: str = "en"
    audio_in_rate: int = 16000
    audio_out_rate: int = 8000


S = TypeVar("S", bound=Settings)


@dataclass(frozen=True, kw_only=True)
class Provider(Generic[S]):
    """What all four kinds have in common.

    Attributes:
        name: Lower case letters, digits and underscores, starting with a letter.
        settings: The settings class.
        summary: One sentence for ``tipring plugins show``.
        online: Optional; asks the real service whether these settings would work, for
            ``tipring check --online``. Gives one sentence a problem, each with its mend.
    """

    kind: ClassVar[str]
    name: str
    settings: type[S]
    summary: str = ""
    online: Callable[[S], list[str]] | None = None


@dataclass(frozen=True, kw_only=True)
class Stt(Provider[S]):
    """A way to hear the caller.

    Attributes:
        build: Gives the Pipecat service. Opens no socket: the pipeline does that.
        punctuates: Whether a full stop in its transcripts means that a sentence is over. False
            for a transcriber that closes unfinished speech with one (whisper's kind do); then
            only the words count.
    """

    kind: ClassVar[str] = "stt"
    build: Callable[[S, Call], STTService]
    punctuates: bool = True


@dataclass(frozen=True, kw_only=True)
class TurnPlan:
    """What a turn detector brings to a call.

    Attributes:
        stop: A Pipecat strategy that *proposes* the end of a turn. The host's court wraps it and
            decides; it need not know about holds, fences or fallbacks.
        vad: The voice activity detector it needs, or None when it brings its own ears.
        stt: Set when the detector lives inside a transcriber, which then takes the stt slot.
        patience: Seconds after the caller's silence began in which the detector must have
            spoken; later, the host decides by silence and words alone.
        punctuates: As in :class:`Stt`, for the transcriber in ``stt``.
        doubt: Tells how much the detector doubts its last proposal, 0 to 1: half where it would as
            soon not have made it, 1 where it only lost its patience. The host waits that share of
            ``[turns] unsure``, and up to ``agreed`` longer where the words sound unfinished too:
            all of it from a doubt of 0.25 on.
    """

    stop: BaseUserTurnStopStrategy
    vad: VADAnalyzer | None = None
    stt: STTService | None = None
    patience: float = 1.5
    punctuates: bool = True
    doubt: Callable[[], float] | None = None


@dataclass(frozen=True, kw_only=True)
class Turn(Provider[S]):
    """A way to decide that the caller is done.

    Attributes:
        build: Gives the plan for one call.
        transcribes: Whether the plan brings its own transcriber, so that ``stt`` is not used.
    """

    kind: ClassVar[str] = "turn"
    build: Callable[[S, Call], TurnPlan]
    transcribes: bool = False


@dataclass(frozen=True, kw_only=True)
class TextDelta:
    """Some more of what the agent says."""

    text: str


@dataclass(frozen=True, kw_only=True)
class ToolCall:
    """A whole tool call: never a part of one."""

    id: str
    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Tokens this answer cost."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0


@dataclass(frozen=True, kw_only=True)
class End:
    """The answer is whole. A stream that finishes without one ended early, which is a failure.

    Attributes:
        reason: Why the model stopped, in its own word.
    """

    reason: str = "stop"


RungEvent = TextDelta | ToolCall | Usage | End


class Rung(Protocol):
    """One model of the ladder: turns a context into a stream of events, or raises."""

    def stream(self, context: LLMContext, *, system: str) -> AsyncIterator[RungEvent]:
        """Answer the context.

        Anything raised is this rung's failure and the next one's turn. Closing the iterator
        cancels the request within 100 ms.

        Args:
            context: Pipecat's universal context: messages, tools and tool choice.
            system: The agent's instructions.
        """
        ...

    async def aclose(self) -> None:
        """Let go of what belongs to this call; clients shared by the process stay."""
        ...


@dataclass(frozen=True, kw_only=True)
class Llm(Provider[S]):
    """A rung of the ladder.

    Attributes:
        build: Gives the rung for one call.
        label: What a caller's operator should know it as, where the name is not enough:
            ``"scripted demo, not AI"``.
    """

    kind: ClassVar[str] = "llm"
    build: Callable[[S, Call], Rung]
    label: str = ""


@dataclass(frozen=True, kw_only=True)
class Tts(Provider[S]):
    """A way to speak to the caller.

    Attributes:
        build: Gives the Pipecat service. Opens no socket: the pipeline does that.
        render: Optional; renders one phrase ahead as PCM16 mono at ``call.audio_out_rate``, so
            that greeting and apology need no round trip.
    """

    kind: ClassVar[str] = "tts"
    build: Callable[[S, Call], TTSService]
    render: Callable[[S, Call, str], bytes] | None = None
