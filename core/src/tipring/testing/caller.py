"""Play a script on the emulated phone, and measure how the agent took each turn.

Begin and end of what the caller says are known to the sample, because the phone said it; what the
agent did is measured on the sound that reached the caller's ear. Nothing is asked of the host.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

from tipring.errors import TipringError
from tipring.testing.ear import Utterance
from tipring.testing.phone import CallOver, Phone
from tipring.testing.script import (
    ANSWERED_WITHIN,
    Action,
    HangUp,
    Over,
    Pause,
    Press,
    Say,
    Script,
    UntilHungUp,
    Voice,
    Wait,
)

KEY_EVERY = 0.25
"""Seconds from one key of a ``press`` line to the next."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """What the caller said without a pause.

    Attributes:
        text: The words, or the file's name.
        begin: Seconds since the start message, at the first sound.
        end: Likewise, at the end of the last sound.
    """

    text: str
    begin: float
    end: float


@dataclass(frozen=True, kw_only=True)
class CallerTurn:
    """One turn of the caller, and what the agent did about it. Times are the phone's.

    Attributes:
        number: Counted from 1.
        kind: ``turn``; ``over`` when the agent was meant to go on; ``interrupt`` when it was meant
            to stop.
        parts: What was said between the pauses.
        answer: When the agent's answer was first heard: its first utterance that began after the
            turn, or else one that began in the turn and went on after it. None when there was
            none before the caller's next turn, and always for ``over``.
        cut_ins: When an utterance of the agent began while the turn was not over.
        agent_audible: Seconds for which the agent was heard between the turn's begin and end.
        agent_spoke_on: Seconds for which an utterance that was under way at the turn's begin
            lasted from there on: long when an "mhm" was rightly ignored, short when an
            interruption was heeded. None when the agent was not speaking.
        cleared: When the agent first told the phone to drop its audio, from the turn's begin on.
    """

    number: int
    kind: Literal["turn", "over", "interrupt"]
    parts: tuple[Part, ...]
    answer: float | None = None
    cut_ins: tuple[float, ...] = ()
    agent_audible: float = 0.0
    agent_spoke_on: float | None = None
    cleared: float | None = None

    @property
    def text(self) -> str:
        """All that was said."""
        return " ".join(part.text for part in self.parts)

    @property
    def begin(self) -> float:
        """When the caller began to be heard."""
        return self.parts[0].begin

    @property
    def end(self) -> float:
        """When the caller was done."""
        return self.parts[-1].end

    @property
    def pauses(self) -> tuple[float, ...]:
        """Seconds of silence between the parts."""
        following = zip(self.parts, self.parts[1:], strict=False)
        return tuple(after.begin - before.end for before, after in following)

    @property
    def latency(self) -> float | None:
        """Seconds from the caller's last sound to the agent's first; negative after a cut-in."""
        return None if self.answer is None else self.answer - self.end


class ScriptFailed(TipringError):
    """The agent did not do what a line waits for, or ended the call before its time.

    Args:
        where: The script and the line.
        what: A sentence.
        turns: The caller's turns so far.
    """

    def __init__(self, where: str, what: str, turns: list[CallerTurn]) -> None:
        super().__init__(where, what)
        self.turns = turns


async def run(
    phone: Phone,
    script: Script,
    voice: Voice | None = None,
    *,
    on_turn: Callable[[CallerTurn], None] | None = None,
) -> list[CallerTurn]:
    """Play a script from its first line to its last, and hang up.

    Args:
        phone: On the line.
        script: What to do. Render it before the call where that takes long.
        voice: Renders the texts that have no sound yet.
        on_turn: Told of each turn when all about it is known: as the next one begins, or the
            call is over.

    Returns:
        The caller's turns.

    Raises:
        ScriptFailed: A line waited in vain, or the agent hung up with something left to say.
        ScriptError: There is a text to say and no voice.
    """
    if not script.rendered:
        script = await asyncio.to_thread(script.render, voice)
    return await _Caller(phone, script, on_turn).run()


@dataclass
class _Turn:
    kind: Literal["turn", "over", "interrupt"]
    parts: list[Part] = field(default_factory=list)


class _Caller:
    def __init__(
        self, phone: Phone, script: Script, on_turn: Callable[[CallerTurn], None] | None
    ) -> None:
        self._phone = phone
        self._script = script
        self._on_turn = on_turn
        self._turns: list[CallerTurn] = []
        self._turn: _Turn | None = None  # the latest one, about which not all is known yet
        self._speaking = False  # whether a line that speaks would continue it
        self._pause: float | None = None
        # What an answer answers: an utterance counts that began after the first of the two, and
        # was heard after the second.
        self._asked: tuple[float, float] = (-1.0, 0.0)

    async def run(self) -> list[CallerTurn]:
        actions = self._script.actions
        failure: tuple[Action, str] | None = None
        for number, action in enumerate(actions):
            try:
                await self._do(action)
            except TimeoutError:
                failure = action, _in_vain(action)
            except CallOver:
                if any(isinstance(left, Say | Over | Press) for left in actions[number:]):
                    failure = action, "the call ended with something left to say"
                break
            if failure:
                break
        if self._phone.ending is None:
            with contextlib.suppress(CallOver):
                await self._yielded()  # a pause at the end of the script is waited for as well
            await self._phone.hang_up()
        assert self._phone.ending is not None
        self._conclude(self._phone.ending.at)
        if failure:
            line, what = failure[0].line, failure[1]
            raise ScriptFailed(f"{self._script.name} line {line}", what, self._turns)
        return self._turns

    async def _do(self, action: Action) -> None:
        phone = self._phone
        match action:
            case Say() if action.noise is not None:
                await self._make_noise(action)
            case Say():
                await self._say(action, "turn")
            case Pause() if self._speaking:
                self._pause = (
                    self._pause or 0.0
                ) + action.seconds  # the next line to speak keeps it
            case Pause():
                await phone.until(phone.now + action.seconds)
            case Over():
                await self._yielded()
                await phone.when(lambda: self._heard_for() >= action.after, within=ANSWERED_WITHIN)
                await self._say(action.say, action.word)
            case Wait():
                await self._yielded()
                await phone.when(
                    lambda: self._answered() and phone.silent_for >= action.silence,
                    within=action.within,
                )
            case Press():
                await self._yielded()
                for digit in action.digits:
                    self._asked = (phone.now, phone.now)
                    phone.press(digit)
                    await phone.until(phone.now + KEY_EVERY)
            case HangUp():
                await self._yielded()
                await phone.hang_up()
            case UntilHungUp():
                await self._yielded()
                await phone.closed(within=action.within)

    async def _say(self, say: Say, kind: Literal["turn", "over", "interrupt"]) -> None:
        phone, clip = self._phone, say.clip
        assert clip is not None  # the script was rendered
        if phone.ending is not None:
            raise CallOver("the call ended")
        at = None
        if self._turn is None or not self._speaking:
            self._conclude(phone.now)
            self._turn = _Turn(kind=kind)
        elif self._pause is not None:
            # From sound to sound: the silence at the ends of two clips is part of the pause.
            at = self._turn.parts[-1].end + self._pause - clip.onset
            await phone.until(at - 0.02)
        self._pause = None
        self._speaking = True
        said = phone.say(clip, at=at)
        begin, end = said.begin + clip.onset, said.begin + clip.offset
        self._turn.parts.append(Part(text=say.text, begin=begin, end=end))
        if self._turn.kind != "over":
            self._asked = (self._turn.parts[0].begin, end)
        await phone.until(end)

    async def _make_noise(self, say: Say) -> None:
        """A noise is no turn: it asks for no answer, and leaves the caller's turn as it is."""
        assert say.clip is not None
        if self._turn is not None and self._pause is not None:
            await self._phone.until(self._turn.parts[-1].end + self._pause)
        await self._phone.until(self._phone.say(say.clip).end)

    async def _yielded(self) -> None:
        """The caller's turn is over; a pause at its end is only silence."""
        self._speaking = False
        if self._pause is not None:
            seconds, self._pause = self._pause, None
            await self._phone.until(self._phone.now + seconds)

    def _answers(self) -> list[Utterance]:
        begun, heard = self._asked
        return [
            one
            for one in self._phone.utterances
            # Utterances begin on a grid of 10 ms, which may be just before what they answer.
            if one.begin > begun - 0.01 and (one.end is None or one.end > heard)
        ]

    def _answered(self) -> bool:
        return bool(self._answers())

    def _heard_for(self) -> float:
        answers = self._answers()
        if not answers or answers[-1].end is not None or not self._phone.agent_speaking:
            return 0.0
        return self._phone.now - answers[-1].begin

    def _conclude(self, until: float) -> None:
        """Write down the latest turn: what the agent does from ``until`` on is about another."""
        if self._turn is None:
            return
        turn, self._turn = self._turn, None
        if turn.parts[-1].end > until:  # the call ended in the middle of a word
            turn.parts[-1] = replace(turn.parts[-1], end=until)
        begin, end = turn.parts[0].begin, turn.parts[-1].end
        spoken = [one for one in self._phone.utterances if one.begin < until]
        ends = [(one.begin, until if one.end is None else one.end) for one in spoken]
        after = [start for start, _ in ends if start >= end]
        within = [(start, stop) for start, stop in ends if begin < start < end]
        carried = [start for start, stop in within if stop > end]
        under_way = [stop for start, stop in ends if start <= begin < stop]
        cleared = [
            e.at for e in self._phone.timeline if e.name == "clear" and begin <= e.at < until
        ]
        answer = None
        if turn.kind != "over":
            answer = after[0] if after else carried[-1] if carried else None
        concluded = CallerTurn(
            number=len(self._turns) + 1,
            kind=turn.kind,
            parts=tuple(turn.parts),
            answer=answer,
            cut_ins=tuple(start for start, _ in within),
            agent_audible=sum(max(0.0, min(stop, end) - max(start, begin)) for start, stop in ends),
            agent_spoke_on=under_way[0] - begin if under_way else None,
            cleared=cleared[0] if cleared else None,
        )
        self._turns.append(concluded)
        if self._on_turn is not None:
            self._on_turn(concluded)


def _in_vain(action: Action) -> str:
    match action:
        case Wait():
            return (
                f"the agent did not speak and then fall silent for {action.silence:g} s "
                f"within {action.within:g} s"
            )
        case Over():
            return f"the agent was not heard for {action.after:g} s without a break"
        case UntilHungUp():
            return f"the agent did not hang up within {action.within:g} s"
    return "the line took too long"
