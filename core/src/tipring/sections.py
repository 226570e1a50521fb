"""The sections of ``tipring.toml`` that are the host's own, with every default.

A provider's settings are its own; ``[use]`` says which providers are used.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from tipring.providers import Settings, secret
from tipring.written import USE

Names = Annotated[tuple[str, ...], Field(min_length=1)]


class Use(Settings):
    """Which providers are used, each a name or a list in order of preference."""

    stt: Names = Field(USE["stt"], description="Who hears the caller.")
    turn: Names = Field(USE["turn"], description="Who proposes that the caller is done.")
    llm: Names = Field(USE["llm"], description="The ladder, top rung first.")
    tts: Names = Field(USE["tts"], description="Who speaks for the agent.")
    observers: tuple[str, ...] = Field(
        USE["observers"], description="Who watches calls from the side."
    )


class Agent(Settings):
    """Who answers the phone."""

    prompt: str = Field(
        "You answer the phone. Be brief: one or two short sentences, no lists, no markup.",
        description="The model's instructions.",
    )
    greeting: str = Field(
        "Hello, thanks for calling. How can I help?",
        description="The first words. Empty: the caller speaks first.",
    )
    goodbye: str = Field("Thanks for calling. Goodbye.", description="The last words.")
    apology: str = Field(
        "I'm sorry, I'm having trouble right now. Could you say that again?",
        description="What is said when no rung can answer.",
    )
    nudge: str = Field("Are you still there?", description="What is said into a long silence.")
    filler: str = Field("One moment, please.", description="What is said when an answer is slow.")
    busy: str = Field(
        "All our lines are busy right now. Please call again in a few minutes.",
        description="What a caller over the limit hears.",
    )
    warning: str = Field(
        "We have about a minute left on this call.",
        description="What is said shortly before the time limit. Empty: nothing.",
    )
    language: str = Field("en", description="The language of the conversation, a BCP 47 tag.")


class Ladder(Settings):
    """How long a rung has before the next one is asked. All times are seconds."""

    commit_within: float = Field(
        8.0, gt=0, le=60, description="What a rung has for its first whole sentence."
    )
    idle_within: float = Field(
        8.0, gt=0, le=60, description="From one sentence to the next, once an answer has begun."
    )
    hedge_after: float | None = Field(
        None,
        gt=0,
        le=60,
        description="Silence after which the next rung starts beside a silent one. Unset: never.",
    )


class Turns(Settings):
    """The rules of who may speak. All times are seconds."""

    hold: float = Field(1.8, ge=0, le=10, description="How long unfinished words are waited on.")
    begun: float = Field(
        2.6,
        ge=0,
        le=10,
        description='The same for a sentence that has only begun: "Can I get a". Nothing but'
        " dictation is waited on for longer.",
    )
    unmarked: float = Field(
        1.2, ge=0, le=10, description="The same where only the full stop is missing."
    )
    unsure: float = Field(
        1.4,
        ge=0,
        le=10,
        description="The same where the words sound finished, but the detector doubts it fully.",
    )
    agreed: float = Field(
        0.7,
        ge=0,
        le=10,
        description="How much longer unfinished words are waited on where the detector doubts too.",
    )
    open: float = Field(
        0.3,
        ge=0,
        le=10,
        description='How much longer all of these are where the agent asked an open question: "How'
        ' can I help?".',
    )
    short: float = Field(
        0.6,
        ge=0,
        le=10,
        description="The same for an answer of up to three words to the agent's question.",
    )
    speculate: Literal["silence", "proposal", "never"] = Field(
        "silence",
        description="From when on the model may make its answer, unheard until the turn is over:"
        " from the caller's silence on, from the detector's proposal on, or not at all.",
    )
    nudge_after: float = Field(6.0, gt=0, le=120, description="Silence owed by the caller.")
    nudge_again: float = Field(10.0, gt=0, le=120, description="Silence after the first nudge.")
    answer_within: float = Field(
        4.0, gt=0, le=60, description="Silence owed by the agent, before a filler is said."
    )
    opener_grace: float = Field(
        2.5, ge=0, le=10, description="When a hello during the greeting is answered after it."
    )
    answer_overlap: float = Field(
        0.6,
        ge=0,
        le=5,
        description='How long before the end of the agent\'s question a "yes" over it may begin.',
    )
    resume_after: float = Field(
        1.0,
        ge=0,
        le=10,
        description="When an agent that was stopped for nothing goes on. 0: it does not.",
    )
    dictation: float = Field(
        3.0, ge=0, le=15, description="How long a pause inside a dictated number may last."
    )
    dictated: tuple[str, ...] = Field(
        (),
        description="What your agent asks for that is dictated, besides phone numbers, codes and"
        ' the like: "licence plate", "meter reading".',
    )
    spelling: float = Field(
        1.8,
        ge=0,
        le=15,
        description="How long a pause between letters, or parts of a date or an e-mail, may.",
    )
    address: float = Field(
        1.4, ge=0, le=15, description="How long a pause between the parts of an address may."
    )


class Limits(Settings):
    """How much one process takes on."""

    max_calls: int = Field(8, ge=1, le=1000, description="Calls at once; beyond it: busy.")
    ttl: float = Field(900.0, gt=0, le=14400, description="Seconds a call may last.")
    warning: float = Field(
        60.0, gt=0, le=600, description="Seconds before the limit at which the caller is told."
    )


class Server(Settings):
    """Where the host listens."""

    host: str = Field("127.0.0.1", description="The address to bind.")
    port: int = Field(8080, ge=0, le=65535, description="Audio and webhooks. 0: any free port.")
    control_port: int = Field(9090, ge=0, le=65535, description="Control. 0: any free port.")
    public_url: str = Field(
        "", description="Where Twilio reaches the host, for example https://agent.example.com."
    )
    control_token: SecretStr | None = secret(
        "TIPRING_CONTROL_TOKEN", "Who may use the control port.", optional=True
    )


class Twilio(Settings):
    """The telephone company."""

    account_sid: str = Field("", description="The account, AC and 32 hex digits.")
    api_url: str = Field("https://api.twilio.com", description="The root of Twilio's REST API.")
    auth_token: SecretStr | None = secret(
        "TWILIO_AUTH_TOKEN", "Checks that a request is Twilio's, and hangs up.", optional=True
    )


class Record(Settings):
    """What is kept of a call. Off unless a folder is named."""

    dir: Path | None = Field(None, description="Where each call leaves a folder.")
