"""Who has the floor, as far as the host can tell. One object a call, shared by the rules."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(kw_only=True)
class Floor:
    """The state of the conversation that more than one rule needs.

    Attributes:
        agent_audible: Whether the caller hears the agent now.
        answer_owed: Whether a turn was committed and the agent has not been heard since.
        greeting: Whether the agent's first words are still to be heard out.
        caller_speaking: Whether the voice detector hears the caller.
        turn_open: Whether the caller's turn is open.
        filling: Whether what the agent says now is a filler, which answers nothing.
    """

    agent_audible: bool = False
    answer_owed: bool = False
    greeting: bool = False
    caller_speaking: bool = False
    turn_open: bool = False
    filling: bool = False
