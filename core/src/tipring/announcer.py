"""What the host itself says in a call: the greeting, a word into a silence, the goodbye."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from pipecat.frames.frames import FunctionCallResultProperties, LLMRunFrame, TTSSpeakFrame
from pipecat.services.llm_service import FunctionCallParams

from tipring.control.gate import ReplyGate
from tipring.journal import Event, Journal
from tipring.phone.ledger import FarewellFrame
from tipring.pipeline import HangUp, Line
from tipring.sections import Agent
from tipring.turns.floor import Floor
from tipring.turns.silence import Remedy


class Announcer:
    """Says the host's own phrases, each in its turn, and takes leave of the caller.

    Until a line is there it says nothing.

    Args:
        agent: The phrases.
        floor: Who has the floor.
        journal: Where it is noted.
        gate: Where the rest of a reply is dropped when the call is to end.
        ended: Told why the call ends; the first reason is the reason.
    """

    def __init__(
        self,
        agent: Agent,
        *,
        floor: Floor,
        journal: Journal,
        gate: ReplyGate,
        ended: Callable[[str], None],
    ) -> None:
        self._agent = agent
        self._floor = floor
        self._journal = journal
        self._gate = gate
        self._ended = ended
        self._line: Line | None = None
        self._news = asyncio.Event()
        journal.subscribe(self._hear)

    def join(self, line: Line) -> None:
        """Speak on this line from here on."""
        self._line = line

    async def greet(self) -> None:
        """Say the first words, unless the caller is to speak first."""
        if self._line is not None and self._agent.greeting:
            self._floor.greeting = True
            await self._line.desk.queue_frame(TTSSpeakFrame(self._agent.greeting))

    async def apologise(self) -> None:
        """Say that no rung could answer."""
        await self._speak(self._agent.apology)

    async def warn(self, *, until: float) -> None:
        """Say that the call will end, when nobody speaks, or when it is time.

        Args:
            until: When it is said at the latest, in seconds since the call began.
        """
        floor = self._floor
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(until - self._journal.now()):
                while (
                    floor.turn_open
                    or floor.caller_speaking
                    or floor.answer_owed
                    or floor.agent_audible
                ):
                    self._news.clear()
                    await self._news.wait()
        if not floor.leaving:
            await self._speak(self._agent.warning)

    async def remedy(self, remedy: Remedy) -> None:
        """Break a silence."""
        match remedy:
            case "nudge":
                self._journal.note("nudge")
                await self._speak(self._agent.nudge, at_once=True)
            case "goodbye":
                await self.hang_up("silence")
            case "filler":
                self._floor.filling = True
                await self._speak(self._agent.filler, remember=False, at_once=True)
            case "ask again":
                if self._line is not None:
                    await self._line.worker.queue_frame(LLMRunFrame())
            case "apology":
                await self._speak(self._agent.apology, at_once=True)

    # -- leaving ---------------------------------------------------------------------------------

    async def hang_up(self, by: str) -> None:
        """Say goodbye behind what is being said, and end the call when it was heard.

        Args:
            by: As in the event ``hang_up``.
        """
        if self._floor.leaving or self._line is None:
            return
        self._leave(by, reason="agent hung up" if by == "silence" else by)
        self._gate.drop()
        for frame in (TTSSpeakFrame(self._agent.goodbye), FarewellFrame()):
            await self._line.desk.queue_frame(frame)

    async def give_up(self) -> None:
        """Apologise and hang up: nobody is left who could hear the caller, or speak to them."""
        if self._floor.leaving or self._line is None:
            return
        line = self._line
        self._leave("failure", reason="failed")
        by = line.desk if line.voices.is_usable else line.player
        for text in (self._agent.apology, self._agent.goodbye):
            if by is line.desk:
                await line.desk.queue_frame(TTSSpeakFrame(text))
            elif await line.player.speak(text):
                self._journal.note("agent.said", text=text)
        await by.queue_frame(FarewellFrame())

    def hang_up_tool(self) -> HangUp:
        """The model's way to end the call. Its docstring is what the model is told of it."""

        async def hang_up(params: FunctionCallParams) -> None:
            """End the phone call. Say goodbye first: nothing can be said after it."""
            self._floor.leaving = True
            self._journal.note("hang_up", by="agent")
            await params.result_callback(
                {"status": "the call ends"},
                properties=FunctionCallResultProperties(run_llm=False),
            )
            if self._line is not None:
                await self._line.worker.queue_frame(FarewellFrame())

        return hang_up

    def _leave(self, by: str, *, reason: str) -> None:
        self._floor.leaving = True
        self._journal.note("hang_up", by=by)
        self._ended(reason)

    # -- how it is said --------------------------------------------------------------------------

    async def _speak(self, text: str, *, remember: bool = True, at_once: bool = False) -> None:
        """Say a phrase in its turn, or past a voice that is down, or that everybody waits for."""
        if self._line is None or not text:
            return
        past = at_once or not self._line.voices.is_usable
        if past and await self._line.player.speak(text, append_to_context=remember):
            self._journal.note("agent.said", text=text)
        else:
            await self._line.desk.queue_frame(TTSSpeakFrame(text, append_to_context=remember))

    def _hear(self, event: Event) -> None:
        self._news.set()
        if event.name == "interruption":
            # The caller has more to say than goodbye, or will turn out to have said nothing.
            self._floor.cut_goodbye, self._floor.leaving = self._floor.leaving, False
