"""One call's life: it begins, it is held, and there is one reason why it ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipecat.frames.frames import EndFrame
from pipecat.workers.runner import WorkerRunner
from starlette.websockets import WebSocket

from tipring.announcer import Announcer
from tipring.control.gate import ReplyGate
from tipring.control.null import Control, NullControl
from tipring.control.protocol import Kill
from tipring.errors import TipringError
from tipring.journal import Event, Journal
from tipring.llm.breaker import Breakers
from tipring.phone import mulaw
from tipring.phone.ledger import HeardLedger
from tipring.phone.socket import PhoneSocket
from tipring.phone.stream import Start, TwilioStream
from tipring.pipeline import Line, assemble
from tipring.providers import Call
from tipring.selection import Selection
from tipring.speech.phrases import Phrases
from tipring.turns.floor import Floor
from tipring.turns.punctuation import Transcribers
from tipring.turns.silence import DeadAir

if TYPE_CHECKING:
    from tipring.tape.record import Tape

log = logging.getLogger(__name__)

# Pipecat waits for its parts to stop; one that does not must not keep the call's slot.
_STOP_WITHIN = 10.0
# The end of a call is told before its stream closes, to whoever listens by then.
_TOLD_WITHIN = 1.0
# Seconds before the time limit at which the goodbye begins: it is over when the limit is there.
_GOODBYE = 8.0


class PhoneCall:
    """A call, from its start message to its end.

    Args:
        start: How the stream introduced itself.
        websocket: The stream, up to and including its start message.
        selection: Who hears, thinks and speaks.
        phrases: What was rendered ahead.
        breakers: Which rungs are left alone for now, for all calls.
        transcribers: How each transcriber punctuates, for all calls.
        record_to: The folder in which the call leaves its record, if it does.
        on_event: Told of everything that happens in it, at once.
        control: Who may end it from outside.
        ttl: Seconds it may last; the configuration's without it.
        stream_wait: Seconds it waits for another stream when one broke.
        about: What the model is told of it, besides the instructions.
    """

    def __init__(
        self,
        start: Start,
        websocket: WebSocket,
        *,
        selection: Selection,
        phrases: Phrases,
        breakers: Breakers,
        transcribers: Transcribers,
        record_to: Path | None = None,
        on_event: Callable[[str, Event], None] | None = None,
        control: Control | None = None,
        ttl: float | None = None,
        stream_wait: float = 0.0,
        about: str = "",
    ) -> None:
        self.id = start.call
        self.reason: str | None = None
        self._selection = selection
        self._config = selection.config
        self._breakers = breakers
        self._transcribers = transcribers
        self._phrases = phrases
        self._start = start
        self._about = about
        self._ttl = ttl or selection.config.limits.ttl
        self._control: Control = control or NullControl()
        self._kill: Kill = "none"
        self._leaves_by = ""
        self._told_end = False
        self._in_gap = False
        self._stream_wait = stream_wait
        self._socket = PhoneSocket(
            websocket,
            wait=stream_wait,
            on_lost=self._stream_lost,
            on_back=self._stream_back,
            before_close=self._tell_end,
        )
        self._journal = Journal()
        if on_event is not None:
            self._journal.subscribe(lambda event: on_event(self.id, event))
        self._journal.subscribe(self._control.event)
        self._journal.subscribe(self._hear)
        self._floor = Floor()
        self._tape = self._record(record_to) if record_to else None
        self._ledger = HeardLedger(
            stream=start.stream,
            journal=self._journal,
            floor=self._floor,
            farewell=self._last_words_heard,
        )
        self._gate = ReplyGate(
            ask=self._ask_kill,
            obey=self.kill,
            said=lambda sentence: self._journal.note("agent.said", text=sentence),
        )
        self._announcer = Announcer(
            self._config.agent,
            floor=self._floor,
            journal=self._journal,
            gate=self._gate,
            ended=self._ended,
        )
        self._stream: TwilioStream | None = None
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
                remedy=self._announcer.remedy,
            )
            self._follow(self._line)
            await self._runner.add_workers(self._line.worker)
            watch = asyncio.create_task(air.watch())
            async with asyncio.timeout(self._ttl + _STOP_WITHIN):
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
            await self._tell_end()
            self._socket.end()
            if self._tape is not None:
                folder = await self._tape.close()
                if folder is not None:
                    self._journal.note("record.saved", folder=str(folder))
        return self.reason or "failed"

    async def hang_up(self, by: str) -> None:
        """End the call when what is being said, and the goodbye, have been heard.

        Args:
            by: ``silence``, ``time limit`` or ``host stopped``.
        """
        self._leaves_by = by  # whoever has no line yet says it in place of the greeting
        await self._announcer.hang_up(by)

    async def end(self, reason: str) -> None:
        """End the call at once.

        Args:
            reason: As in ``call.ended``.
        """
        self._ended(reason)
        await self._runner.cancel(reason)

    async def kill(self, how: Kill) -> None:
        """Set the kill switch, and obey it.

        Args:
            how: ``none`` goes on, ``warm`` says goodbye and hangs up, ``hard`` ends at once.
        """
        self._kill = how
        if how == "warm":
            await self._announcer.hang_up("killed")
        elif how == "hard":
            await self.end("killed")

    @property
    def ended(self) -> bool:
        """Whether its end has been told: what is left is to close the line and the record."""
        return self._told_end

    @property
    def over(self) -> bool:
        """Whether it takes no stream any more."""
        return self._socket.over

    async def carry(self, websocket: WebSocket, start: Start) -> None:
        """Carry the call over this stream, while it lasts; a later one takes over.

        Args:
            websocket: The stream, up to and including its start message.
            start: How it introduced itself.
        """
        await self._socket.carry(websocket, start)

    # -- the pipeline --------------------------------------------------------------------------

    async def _assemble(self) -> Line:
        call = Call(id=self.id, language=self._config.agent.language)
        chosen = self._selection
        observers = await asyncio.to_thread(chosen.plugins.observers, chosen.observers, call)
        self._stream = TwilioStream(
            self._start,
            journal=self._journal,
            on_mark=self._ledger.returned,
            on_stop=self._caller_left,
            on_caller=self._caller_heard if self._tape else None,
            on_agent=self._agent_sent,
        )
        return assemble(
            self._selection,
            call,
            socket=self._socket,
            stream=self._stream,
            ledger=self._ledger,
            phrases=self._phrases,
            journal=self._journal,
            floor=self._floor,
            hang_up=self._announcer.hang_up_tool(),
            on_mute=self._announcer.give_up,
            gate=self._gate,
            breakers=self._breakers,
            transcribers=self._transcribers,
            about=self._about,
            observers=observers,
        )

    def _follow(self, line: Line) -> None:
        self._announcer.join(line)

        async def connected(*_: Any) -> None:
            self._journal.note("call.began", call=self.id, **line.names)
            if self._kill != "none":
                await self.kill(self._kill)
            elif self._leaves_by:
                await self._announcer.hang_up(self._leaves_by)
            else:
                await self._announcer.greet()

        async def disconnected(*_: Any) -> None:
            await self.end("stream lost" if self._stream_wait else "caller hung up")

        async def first_token(_: Any, rung: str) -> None:
            self._journal.note("llm.first_token", rung=rung)

        async def used(_: Any, rung: str) -> None:
            self._journal.note("rung.used", rung=rung)

        async def failed(_: Any, rung: str, error: str, moment: str) -> None:
            self._journal.note("rung.failed", rung=rung, error=error, moment=moment)

        async def exhausted(_: Any) -> None:
            self._journal.note("ladder.exhausted")
            self._floor.answer_owed = False
            await self._announcer.apologise()

        async def misheard(*_: Any) -> None:
            if not line.ears.is_usable:
                await self._announcer.give_up()

        line.ears.add_event_handler("on_error", misheard)
        line.transport.add_event_handler("on_client_connected", connected)
        line.transport.add_event_handler("on_client_disconnected", disconnected)
        line.ladder.add_event_handler("on_first_token", first_token)
        line.ladder.add_event_handler("on_rung_used", used)
        line.ladder.add_event_handler("on_rung_failed", failed)
        line.ladder.add_event_handler("on_exhausted", exhausted)

    async def _run(self, line: Line) -> None:
        running = asyncio.create_task(self._runner.run())
        clock = asyncio.create_task(self._keep_time())
        try:
            await running
        finally:
            running.cancel()
            clock.cancel()

    async def _keep_time(self) -> None:
        """Tell the caller in time that the call will end, and end it."""
        ends = self._ttl - min(_GOODBYE, self._ttl / 4)
        warns = self._ttl - self._config.limits.warning
        if 0 < warns < ends:
            await asyncio.sleep(warns)
            await self._announcer.warn(until=(warns + ends) / 2)
        await asyncio.sleep(ends - self._journal.now())
        await self.hang_up("time limit")

    async def _ask_kill(self) -> Kill:
        return self._kill if self._kill != "none" else await self._control.kill()

    # -- how it ends -----------------------------------------------------------------------------

    async def _last_words_heard(self) -> None:
        self._ended("agent hung up")
        if self._line is not None:
            await self._line.worker.queue_frame(EndFrame())

    def _hear(self, event: Event) -> None:
        if event.name in ("turn.speculated", "llm.started"):
            self._control.expect()

    def _stream_lost(self) -> None:
        self._journal.note("stream.lost")
        self._in_gap = True
        self._ledger.lost()

    def _stream_back(self, start: Start) -> None:
        self._journal.note("stream.back")
        self._start = start
        if not self._in_gap:  # the marks of the gap are still to be played
            self._ledger.lost()
        self._in_gap = False
        self._ledger.moved(start.stream)
        if self._stream is not None:
            self._stream.moved(start.stream)

    async def _tell_end(self) -> None:
        if not self._told_end:
            self._told_end = True
            self._ended("failed")
            self._journal.note("call.ended", reason=self.reason)
            await self._control.told(within=_TOLD_WITHIN)

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
        self._ledger.sent(len(sound))
        if self._tape is not None:
            self._tape.agent(mulaw.decode(sound).tobytes(), self._journal.now())
