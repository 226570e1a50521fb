"""One call's life: it begins, it is held, and there is one reason why it ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import WebSocket
from pipecat.frames.frames import EndFrame, LLMRunFrame, TTSSpeakFrame
from pipecat.services.llm_service import FunctionCallParams
from pipecat.workers.runner import WorkerRunner

from tipring.errors import TipringError
from tipring.journal import Event, Journal
from tipring.llm.breaker import Breakers
from tipring.phone import mulaw
from tipring.phone.ledger import FarewellFrame, HeardLedger
from tipring.phone.stream import Start, TwilioStream
from tipring.pipeline import Line, assemble
from tipring.providers import Call
from tipring.selection import Selection
from tipring.speech.phrases import Phrases
from tipring.turns.floor import Floor
from tipring.turns.silence import DeadAir, Remedy

if TYPE_CHECKING:
    from tipring.tape.record import Tape

log = logging.getLogger(__name__)

# Pipecat waits for its parts to stop; one that does not must not keep the call's slot.
_STOP_WITHIN = 10.0


class PhoneCall:
    """A call, from its start message to its end.

    Args:
        start: How the stream introduced itself.
        websocket: The stream, up to and including its start message.
        selection: Who hears, thinks and speaks.
        phrases: What was rendered ahead.
        breakers: Which rungs are left alone for now, for all calls.
        record_to: The folder in which the call leaves its record, if it does.
        on_event: Told of everything that happens in it, at once.
    """

    def __init__(
        self,
        start: Start,
        websocket: WebSocket,
        *,
        selection: Selection,
        phrases: Phrases,
        breakers: Breakers,
        record_to: Path | None = None,
        on_event: Callable[[str, Event], None] | None = None,
    ) -> None:
        self.id = start.call
        self.reason: str | None = None
        self._selection = selection
        self._config = selection.config
        self._breakers = breakers
        self._phrases = phrases
        self._websocket = websocket
        self._start = start
        self._journal = Journal()
        if on_event is not None:
            self._journal.subscribe(lambda event: on_event(self.id, event))
        self._journal.subscribe(self._hear)
        self._floor = Floor()
        self._tape = self._record(record_to) if record_to else None
        self._ledger = HeardLedger(
            stream=start.stream, journal=self._journal, farewell=self._last_words_heard
        )
        self._line: Line | None = None
        self._runner = WorkerRunner(handle_sigint=False)

    async def run(self) -> str:
        """Hold the call until it is over.

        Returns:
            Why it ended.
        """
        watch: asyncio.Task[None] | None = None
        try:
            self._line = await self._assemble()
            air = DeadAir(
                journal=self._journal,
                floor=self._floor,
                rules=self._config.turns,
                remedy=self._remedy,
            )
            self._follow(self._line)
            await self._runner.add_workers(self._line.worker)
            watch = asyncio.create_task(air.watch())
            async with asyncio.timeout(self._config.limits.ttl + _STOP_WITHIN):
                await self._run(self._line)
        except TipringError as error:
            log.error("call %s: %s", self.id, error)
            self._ended("failed")
        except TimeoutError:
            log.error("call %s did not stop in time and was let go", self.id)
            self._ended("time limit")
            await self._runner.cancel()
        finally:
            if watch is not None:
                watch.cancel()
            self._ended("failed")
            self._journal.note("call.ended", reason=self.reason)
            if self._tape is not None:
                folder = await self._tape.close()
                if folder is not None:
                    self._journal.note("record.saved", folder=str(folder))
        return self.reason or "failed"

    async def hang_up(self, by: str) -> None:
        """End the call when what is being said, and the goodbye, have been heard.

        Args:
            by: ``silence``, ``time limit``, ``killed`` or ``host stopped``.
        """
        if self._floor.leaving or self._line is None:
            return
        self._floor.leaving = True
        self._journal.note("hang_up", by=by)
        self._ended("agent hung up" if by == "silence" else by)
        goodbye = TTSSpeakFrame(self._config.agent.goodbye)
        for frame in (goodbye, FarewellFrame()):
            await self._line.desk.queue_frame(frame)

    async def end(self, reason: str) -> None:
        """End the call at once.

        Args:
            reason: As in ``call.ended``.
        """
        self._ended(reason)
        await self._runner.cancel(reason)

    # -- the pipeline --------------------------------------------------------------------------

    async def _assemble(self) -> Line:
        call = Call(id=self.id, language=self._config.agent.language)
        chosen = self._selection
        observers = await asyncio.to_thread(chosen.plugins.observers, chosen.observers, call)
        stream = TwilioStream(
            self._start,
            journal=self._journal,
            on_mark=self._ledger.returned,
            on_stop=self._caller_left,
            on_caller=self._caller_heard if self._tape else None,
            on_agent=self._agent_sent if self._tape else None,
        )
        return assemble(
            self._selection,
            call,
            websocket=self._websocket,
            stream=stream,
            ledger=self._ledger,
            phrases=self._phrases,
            journal=self._journal,
            floor=self._floor,
            hang_up=self._hang_up_tool(),
            breakers=self._breakers,
            observers=observers,
        )

    def _follow(self, line: Line) -> None:
        async def connected(*_: Any) -> None:
            self._journal.note("call.began", call=self.id, **line.names)
            if greeting := self._config.agent.greeting:
                self._floor.greeting = True
                await line.desk.queue_frame(TTSSpeakFrame(greeting))

        async def disconnected(*_: Any) -> None:
            await self.end("caller hung up")

        async def first_token(_: Any, rung: str) -> None:
            self._journal.note("llm.first_token", rung=rung)

        async def used(_: Any, rung: str) -> None:
            self._journal.note("rung.used", rung=rung)

        async def failed(_: Any, rung: str, error: str, moment: str) -> None:
            self._journal.note("rung.failed", rung=rung, error=error, moment=moment)

        async def exhausted(_: Any) -> None:
            self._journal.note("ladder.exhausted")
            self._floor.answer_owed = False
            await self._speak(self._config.agent.apology)

        line.transport.add_event_handler("on_client_connected", connected)
        line.transport.add_event_handler("on_client_disconnected", disconnected)
        line.ladder.add_event_handler("on_first_token", first_token)
        line.ladder.add_event_handler("on_rung_used", used)
        line.ladder.add_event_handler("on_rung_failed", failed)
        line.ladder.add_event_handler("on_exhausted", exhausted)

    async def _run(self, line: Line) -> None:
        running = asyncio.create_task(self._runner.run())
        try:
            done, _ = await asyncio.wait({running}, timeout=self._config.limits.ttl)
            if not done:
                await self.hang_up("time limit")
            await running
        finally:
            running.cancel()

    # -- what is said --------------------------------------------------------------------------

    async def _speak(self, text: str, *, remember: bool = True) -> None:
        """Say a phrase: by the voice, or, when the voice is down, past it."""
        if self._line is None:
            return
        if not self._line.tts.is_usable and await self._line.player.speak(
            text, append_to_context=remember
        ):
            self._journal.note("agent.said", text=text)
        else:
            await self._line.desk.queue_frame(TTSSpeakFrame(text, append_to_context=remember))

    async def _remedy(self, remedy: Remedy) -> None:
        agent = self._config.agent
        match remedy:
            case "nudge":
                self._journal.note("nudge")
                await self._speak(agent.nudge)
            case "goodbye":
                await self.hang_up("silence")
            case "filler":
                self._floor.filling = True
                await self._speak(agent.filler, remember=False)
            case "ask again":
                if self._line is not None:
                    await self._line.worker.queue_frame(LLMRunFrame())
            case "apology":
                await self._speak(agent.apology)

    def _hang_up_tool(self) -> Callable[[FunctionCallParams], Any]:
        async def hang_up(params: FunctionCallParams) -> None:
            """End the phone call. Say goodbye first: nothing can be said after it."""
            from pipecat.frames.frames import FunctionCallResultProperties

            self._floor.leaving = True
            self._journal.note("hang_up", by="agent")
            await params.result_callback(
                {"status": "the call ends"},
                properties=FunctionCallResultProperties(run_llm=False),
            )
            if self._line is not None:
                await self._line.worker.queue_frame(FarewellFrame())

        return hang_up

    # -- how it ends -----------------------------------------------------------------------------

    async def _last_words_heard(self) -> None:
        self._ended("agent hung up")
        if self._line is not None:
            await self._line.worker.queue_frame(EndFrame())

    def _hear(self, event: Event) -> None:
        if event.name == "interruption":
            self._floor.leaving = False  # the caller has more to say than goodbye

    def _caller_left(self) -> None:
        # Twilio closes the stream right after; a stream that stays open is closed by us.
        self._ended("caller hung up")
        self._gone = asyncio.create_task(self._runner.cancel("caller hung up"))

    def _ended(self, reason: str) -> None:
        """Set the reason; the first one is the reason."""
        if self.reason is None:
            self.reason = reason

    # -- the record ------------------------------------------------------------------------------

    def _record(self, folder: Path) -> Tape:
        from tipring.tape.record import Tape

        return Tape(folder, self._journal, call_id=self.id)

    def _caller_heard(self, sound: bytes) -> None:
        if self._tape is not None:
            began = self._journal.now() - len(sound) / mulaw.RATE
            self._tape.caller(mulaw.decode(sound).tobytes(), began)

    def _agent_sent(self, sound: bytes) -> None:
        if self._tape is not None:
            self._tape.agent(mulaw.decode(sound).tobytes(), self._journal.now())
