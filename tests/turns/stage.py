"""A call without sound on a clock that jumps: the caller's words go in, what was heard comes out.

Everything between is real: Pipecat's aggregators and turn controller, our rules, the ladder.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    CancelFrame,
    Frame,
    InputAudioRawFrame,
    InterimTranscriptionFrame,
    InterruptionFrame,
    LLMRunFrame,
    LLMTextFrame,
    ProposedUserStartedSpeakingFrame,
    ProposedUserStoppedSpeakingFrame,
    TranscriptionFrame,
    TTSSpeakFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.aggregators.llm_response_universal import LLMUserAggregatorParams
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.turns.user_turn_strategies import UserTurnStrategies
from pipecat.workers.runner import WorkerRunner
from tipring.aggregators import Listener, Rememberer
from tipring.control.gate import ReplyGate
from tipring.control.null import NullControl
from tipring.journal import Event, Journal
from tipring.llm.ladder import LadderLLMService
from tipring.pipeline import Conversation
from tipring.sections import Turns
from tipring.speech.player import PhraseDesk
from tipring.turns.asked import Asked
from tipring.turns.court import Court
from tipring.turns.echo import Echo
from tipring.turns.finals import FinalWords
from tipring.turns.floor import Floor
from tipring.turns.nearness import Nearness
from tipring.turns.punctuation import Punctuation
from tipring.turns.silence import DeadAir, Remedy
from tipring.turns.start import start_rules
from tipring.turns.words import words_for
from tipring.watch import Watch

from tests.scripted_rungs import ScriptedRung, Step, says
from tests.turns.detectors import Script, a_plan

SENTENCE = 1.5
"""Seconds the agent takes to say a sentence."""

LOUD = 6000
"""How loud the caller's voice is, of 32767."""

THINKING = 0.3
"""Seconds the model takes to its first sentence."""


async def _obey(how: str) -> None:
    """Nobody kills these calls."""


class _Nothing:
    """No phrase was rendered ahead."""

    rate = 8000

    def get(self, text: str) -> bytes | None:
        return None


class Mouth(FrameProcessor):
    """Says sentences one after the other, audibly from 0.1 s after the first one.

    What an interruption left unsaid, from the word in which it came, is said when it is to go on.

    Attributes:
        lag: Seconds after the last word in which the phone returns its mark; infinite for one that
            is lost. Without it there are no marks.
    """

    def __init__(self, floor: Floor, journal: Journal) -> None:
        super().__init__()
        self.lag: float | None = None
        self._floor = floor
        self._journal = journal
        self.heard: list[tuple[float, str]] = []
        self.silent = False
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._saying: tuple[float, str] | None = None
        self._unsaid: list[str] = []
        self._task: asyncio.Task[None] | None = None

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        await self.push_frame(frame, direction)
        if isinstance(frame, InterruptionFrame):
            await self._hush()
        elif isinstance(frame, LLMTextFrame | TTSSpeakFrame):
            if self.silent:
                return
            self._unsaid = []
            self._queue.put_nowait(frame.text)
            if self._task is None:
                self._task = self.create_task(self._speak(), "mouth")

    def mark(self, name: str) -> None:
        """The phone returns the mark behind the last word."""
        if self._floor.agent_audible:
            return  # there is another one by now
        if name == "mark.played":
            self._floor.unplayed = False
        self._journal.note(name)

    def _returns(self, name: str) -> None:
        if self.lag is not None and self.lag < math.inf:
            asyncio.get_running_loop().call_later(self.lag, self.mark, name)

    async def cleanup(self) -> None:
        if self._task:
            await self.cancel_task(self._task)
        await super().cleanup()

    async def _speak(self) -> None:
        await asyncio.sleep(0.1)
        await self.broadcast_frame(BotStartedSpeakingFrame)
        self._floor.unplayed = self.lag is not None
        while not self._queue.empty():
            self._saying = (asyncio.get_running_loop().time(), self._queue.get_nowait())
            self.heard.append(self._saying)
            for word in (words := self._saying[1].split()):
                self._floor.agent_next = (word,)
                await asyncio.sleep(SENTENCE / len(words))
                self._floor.agent_words.append((asyncio.get_running_loop().time(), word))
        self._task = self._saying = None
        self._floor.agent_next = ()
        await self.broadcast_frame(BotStoppedSpeakingFrame)
        self._returns("mark.played")

    async def resume(self) -> bool:
        unsaid, self._unsaid = self._unsaid, []
        for text in unsaid:
            self._queue.put_nowait(text)
        if unsaid and self._task is None:
            self._task = self.create_task(self._speak(), "mouth")
        return bool(unsaid)

    async def _hush(self) -> None:
        left = [self._queue.get_nowait() for _ in range(self._queue.qsize())]
        if self._saying:
            began, text = self._saying
            lasted = asyncio.get_running_loop().time() - began
            if lasted < 1e-6:  # stopped in the instant in which it began
                self.heard.remove(self._saying)
            words = text.split()
            said = int(lasted / SENTENCE * len(words))
            left.insert(0, "… " + " ".join(words[said:]))
            self._saying = None
        self._unsaid = left
        if left:
            self._journal.note("agent.cut", unsaid=" ".join(left))
        self._floor.agent_next = ()
        task, self._task = self._task, None
        if task:
            await self.cancel_task(task)
            await self.broadcast_frame(BotStoppedSpeakingFrame)
            self._floor.unplayed = False
            self._returns("mark.cleared")


class Stage:
    """One call."""

    def __init__(
        self,
        detector: str,
        replies: Sequence[Sequence[Step]],
        *,
        rules: Turns | None = None,
        language: str = "en",
        punctuates: bool = True,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.detector = detector
        self.punctuation = Punctuation(punctuates)
        self.script = Script()
        self.journal = Journal(clock=loop.time)
        self.floor = Floor()
        self.rules = rules or Turns()
        self.rung = ScriptedRung(list(replies))
        self.conversation = Conversation()
        self.quiet = False  # no more sound comes: it costs time
        self.away = False  # the caller speaks 10 dB further away
        self._voice = False
        self.desk = PhraseDesk(_Nothing())
        floor, journal, words = self.floor, self.journal, words_for(language)
        self.mouth = Mouth(floor, journal)
        plan = a_plan(detector, self.script)
        nearness = Nearness(floor=floor)
        ladder = LadderLLMService([("model", self.rung)], system="", commit_within=60)
        gate = ReplyGate(
            ask=NullControl().kill,
            obey=_obey,
            said=lambda sentence: journal.note("agent.said", text=sentence),
        )
        self.court = Court(
            plan,
            by=detector,
            floor=floor,
            journal=journal,
            words=words,
            rules=self.rules,
            punctuation=self.punctuation,
            language=language,
            spent=lambda: ladder.spent,
        )
        self.dead_air = DeadAir(journal=journal, floor=floor, rules=self.rules, remedy=self._remedy)
        listener = Listener(
            self.conversation,
            params=LLMUserAggregatorParams(
                user_turn_strategies=UserTurnStrategies(
                    start=start_rules(
                        floor=floor,
                        journal=journal,
                        words=words,
                        rules=self.rules,
                        vad=None,
                        turn=self.court,
                        stop=self._stop,
                        resume=self.mouth.resume,
                        nearness=nearness,
                    ),
                    stop=[self.court],
                ),
                user_turn_stop_timeout=plan.patience + self.rules.hold + 5.0,
                empty_user_turn=None,
            ),
            echo=Echo(floor=floor, journal=journal, words=words, nearness=nearness),
        )
        self.worker = PipelineWorker(
            Pipeline(
                [
                    FinalWords(),
                    listener,
                    ladder,
                    Asked(floor=floor, journal=journal, language=language),
                    gate,
                    self.desk,
                    self.mouth,
                    Rememberer(self.conversation),
                ]
            ),
            enable_rtvi=False,
            enable_turn_tracking=False,
            idle_timeout_secs=None,
        )
        Watch(journal).join(self.worker)
        ladder.add_event_handler("on_exhausted", self._exhausted)

    # -- what goes in ----------------------------------------------------------------------------

    async def send(self, *frames: Frame) -> None:
        for frame in frames:
            await self.worker.queue_frame(frame)

    async def voice(self, on: bool) -> None:
        self._voice = on
        if on:
            await self.send(VADUserStartedSpeakingFrame(start_secs=0.1))
        else:
            await self.send(VADUserStoppedSpeakingFrame(stop_secs=0.2))

    async def propose_start(self) -> None:
        await self.send(ProposedUserStartedSpeakingFrame())

    async def propose_stop(self) -> None:
        await self.send(ProposedUserStoppedSpeakingFrame())

    async def interim(self, text: str) -> None:
        await self.send(InterimTranscriptionFrame(text, "caller", ""))

    async def final(self, text: str) -> None:
        await self.send(TranscriptionFrame(text, "caller", "", finalized=True))

    async def agent(self, *sentences: str) -> None:
        # Behind the model: what goes the long way waits until it is done.
        for sentence in sentences:
            await self.desk.queue_frame(TTSSpeakFrame(sentence))

    async def hand_over(self, detector: str) -> None:
        """From here on another detector proposes."""
        plan = a_plan(detector, self.script)
        await self.court.hand_over(plan, by=f"{detector} again", punctuation=self.punctuation)

    async def greet(self, text: str) -> None:
        self.floor.greeting = True
        await self.agent(text)

    async def mute(self) -> None:
        """From here on nothing that the agent says is heard."""
        self.mouth.silent = True

    # -- what comes out --------------------------------------------------------------------------

    @property
    def events(self) -> tuple[Event, ...]:
        return self.journal.events

    def noted(self, name: str) -> list[Event]:
        return [event for event in self.events if event.name == name]

    @property
    def caller_said(self) -> list[str]:
        """The caller's messages as the model remembers them."""
        messages: list[Any] = self.conversation.get_messages()
        return [m["content"] for m in messages if m["role"] == "user"]

    @asynccontextmanager
    async def running(self, *, sound: bool = True) -> AsyncIterator[Stage]:
        started = asyncio.Event()

        async def on_started(_: PipelineWorker, __: Frame) -> None:
            started.set()

        self.worker.add_event_handler("on_pipeline_started", on_started)
        runner = WorkerRunner(handle_sigint=False, handle_sigterm=False)
        await runner.add_workers(self.worker)
        running = asyncio.create_task(runner.run())
        await started.wait()
        beside = [asyncio.create_task(self.dead_air.watch())]
        if sound:
            beside.append(asyncio.create_task(self._sound()))
        self.journal.note("call.began")
        try:
            yield self
        finally:
            for task in beside:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            await self.worker.queue_frame(CancelFrame())
            await running

    async def _sound(self) -> None:
        samples = int(self.script.chunk * 16000)
        silence, near, away = (
            level.to_bytes(2, "little") * samples for level in (0, LOUD, round(LOUD / 10**0.5))
        )
        while not self.quiet:
            await asyncio.sleep(self.script.chunk)
            chunk = silence if not self._voice else away if self.away else near
            await self.send(InputAudioRawFrame(chunk, 16000, 1))

    async def _stop(self) -> bool:
        self.journal.note("clear")
        return True

    async def _exhausted(self, _: LadderLLMService) -> None:
        self.floor.answer_owed = False
        await self.agent("I'm sorry.")

    async def _remedy(self, remedy: Remedy) -> None:
        self.journal.note("remedy", remedy=remedy)
        match remedy:
            case "nudge":
                await self.agent("Are you still there?")
            case "goodbye":
                self.floor.leaving = True
                self.journal.note("hang_up", by="silence")
                await self.agent("Goodbye.")
            case "filler":
                self.floor.filling = True
                await self.agent("One moment, please.")
            case "ask again":
                await self.send(LLMRunFrame())
            case "apology":
                await self.agent("I'm sorry.")


def replies(*texts: str) -> list[list[Step]]:
    return [[THINKING, *says(text)] for text in texts]
