"""What the caller has really heard: by what was sent, word by word, and by the marks of Twilio.

The transport sends audio at the pace at which it is heard, so that what was sent tells to the word
what was played; a word goes into the model's memory then, and not before. Behind each sentence a
mark is queued. Twilio returns it when it has played so far, and also when a ``clear`` threw the
audio away: an echo of that kind is not playback.
"""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pipecat.frames.frames import (
    ControlFrame,
    Frame,
    InterruptionFrame,
    LLMAssistantPushAggregationFrame,
    LLMFullResponseEndFrame,
    OutputTransportMessageFrame,
    StartFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    TTSTextFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.utils.text.base_text_aggregator import TextType

from tipring.journal import Journal
from tipring.phone import mulaw
from tipring.phone.playback import Playback, Rest, Utterance
from tipring.speech.player import spread
from tipring.speech.script import Script
from tipring.turns.floor import Floor

# Seconds for the last words to be heard: longer than any goodbye.
_FAREWELL = 30.0
# Bytes of PCM16 whose words may be heard sooner than a voice says, which is half a second off.
_NEXT = round(0.5 * mulaw.RATE) * 2
_SENTENCE_ENDS = (".", "!", "?", "…", "。", "！", "？", "؟", "।")


@dataclass
class FarewellFrame(ControlFrame):
    """What was said before it is the last: when the caller has heard it, the call ends.

    It is an ordinary frame, so a caller who interrupts the goodbye takes it back.
    """


class HeardLedger(FrameProcessor):
    """Stands between the voice and the phone and keeps the book of words and marks.

    Args:
        stream: Twilio's id of the stream.
        journal: Where marks are noted.
        floor: Told whether the phone has something left to play.
        farewell: Called when the last words have been heard.
    """

    def __init__(
        self,
        *,
        stream: str,
        journal: Journal,
        floor: Floor,
        farewell: Callable[[], Awaitable[None]],
    ) -> None:
        super().__init__()
        self._farewell = farewell
        self._leaving: asyncio.Task[None] | None = None
        self._stream = stream
        self._journal = journal
        self._floor = floor
        self._numbers = itertools.count(1)
        self._pending: set[str] = set()
        self._cleared: set[str] = set()
        self._quiet = asyncio.Event()
        self._quiet.set()
        self.script = Script()
        self._playback = Playback()
        self._sentences: deque[int] = deque()
        self._last_pts = 0
        self._unsaid: list[Rest] = []
        self._unvoiced = ""
        self._moved = asyncio.Event()
        self._telling: asyncio.Task[None] | None = None

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Keep words until they are heard, pass everything else on, and mark each sentence."""
        await super().process_frame(frame, direction)
        if isinstance(frame, FarewellFrame):
            if self._leaving is None:
                self._leaving = self.create_task(self._leave(), "farewell")
            return
        if isinstance(frame, InterruptionFrame):
            self._cut()
            await self.push_frame(frame, direction)
            await self._stay()
        elif direction is FrameDirection.UPSTREAM or not self._hold(frame):
            await self.push_frame(frame, direction)
            await self._follow(frame)

    async def cleanup(self) -> None:
        """Wait for no mark any longer."""
        await self._stay()
        if self._telling is not None:
            await self.cancel_task(self._telling)
        await super().cleanup()

    # -- what was played -------------------------------------------------------------------------

    def sent(self, samples: int) -> None:
        """So much audio went to the phone: samples at 8 kHz."""
        self._playback.sent(2 * samples)
        self._moved.set()

    def stop(self) -> bool:
        """The phone is to drop what it has, before the interruption has come down the line.

        Returns:
            Whether it may: something may be on its way that the caller is to hear out.
        """
        if not self._playback.interruptible:
            return False
        self._take_back_marks()
        return True

    async def resume(self) -> str | None:
        """Say what an interruption left unsaid, from the word on in which it came.

        What had been rendered is played as it is.

        Returns:
            What is left for the voice to say behind it, which may be nothing; None when nothing
            at all was left unsaid.
        """
        unsaid, self._unsaid = self._unsaid, []
        unvoiced, self._unvoiced = self._unvoiced, ""
        if not unsaid and not unvoiced:
            return None
        for rest in unsaid:
            context_id = str(uuid.uuid4())
            frames: list[Frame] = [
                TTSStartedFrame(context_id=context_id, append_to_context=rest.remember)
            ]
            self.script.say(rest.text)
            for word, audio in rest.pieces:
                if not word and unvoiced:
                    continue  # the begin of what the voice will say
                if audio:
                    frames.append(TTSAudioRawFrame(audio, mulaw.RATE, 1, context_id=context_id))
                if word:
                    frames.append(_word(word, context_id, remember=rest.remember))
            frames.append(TTSStoppedFrame(context_id=context_id))
            if rest.remember:
                frames.append(LLMAssistantPushAggregationFrame())
            for frame in frames:
                await self.queue_frame(frame)
        return unvoiced

    def _cut(self) -> None:
        self._take_back_marks()
        self._settle()
        self._sentences.clear()
        self._floor.agent_next = ()
        self._last_pts = 0
        # The first stop counts: one that follows it at once finds nothing to stop.
        unsaid, unvoiced = self._playback.cut(), self.script.cut()
        unvoiced = " ".join(text for text in (*(rest.later for rest in unsaid), unvoiced) if text)
        if unsaid or unvoiced:
            self._unsaid, self._unvoiced = unsaid, unvoiced
            left = " ".join([*(rest.text for rest in unsaid if rest.text), unvoiced]).strip()
            self._journal.note("agent.cut", unsaid=left)

    def _hold(self, frame: Frame) -> bool:
        """Keep a word, or what is to come after one, until it has been heard."""
        if isinstance(frame, TTSTextFrame):
            return self._hold_words(frame)
        if isinstance(frame, LLMFullResponseEndFrame | LLMAssistantPushAggregationFrame):
            held = self._playback.hold(frame)
            self._moved.set()
            return held
        return False

    def _hold_words(self, frame: TTSTextFrame) -> bool:
        self.script.voiced(frame.text)
        last = self._playback.last
        if last is None:
            return False
        self._begin(last)
        length = len(last.audio)
        if frame.text_type == TextType.WORD or frame.pts:
            end = length
            if frame.pts and last.began is not None:
                end = (frame.pts - last.began) * mulaw.RATE // 1_000_000_000 * 2
                self._last_pts = max(self._last_pts, frame.pts)
            self._playback.hold(frame, word=frame.text.strip(), end=end)
            if frame.text.rstrip().endswith(_SENTENCE_ENDS):
                self._sentences.append(end)
        else:
            # A voice that does not tell when its words are spoken: by their letters, then.
            begun, told = last.told, length - last.told
            for word, audio in spread(frame.text, bytes(told)):
                begun += len(audio)
                again = _word(word, frame.context_id, remember=frame.append_to_context)
                self._playback.hold(again, word=word, end=begun)
            self._sentences.append(length)
            last.told = length
        self._moved.set()
        return True

    async def _follow(self, frame: Frame) -> None:
        match frame:
            case StartFrame() if self._telling is None:
                self._telling = self.create_task(self._tell(), "words heard")
            case TTSStartedFrame():
                self._unsaid, self._unvoiced = [], ""
                self._sentences.clear()
                self._playback.begin(
                    remember=bool(frame.append_to_context), interruptible=frame.interruptible
                )
            case TTSAudioRawFrame() if last := self._playback.last:
                self._begin(last)
                last.audio += frame.audio
                while self._sentences and self._sentences[0] <= len(last.audio):
                    self._sentences.popleft()
                    await self._mark()
            case TTSStoppedFrame():
                self._playback.close()
                self._moved.set()
                self._sentences.clear()
                await self._mark()

    def _begin(self, utterance: Utterance) -> None:
        """Note when an utterance begins, as Pipecat does: behind the last word before it."""
        if utterance.began is None:
            utterance.began = max(self._last_pts, self.get_clock().get_time())

    async def _tell(self) -> None:
        """Let words go on as they are heard, past the audio that is still waiting."""
        while True:
            await self._moved.wait()
            self._moved.clear()
            for frame in self._playback.due():
                frame.pts = self.get_clock().get_time()
                if isinstance(frame, TTSTextFrame):
                    now = asyncio.get_running_loop().time()
                    self._floor.agent_words.append((now, frame.text))
                await self.push_frame(frame)
            self._floor.agent_next = self._playback.ahead(_NEXT)

    # -- marks -----------------------------------------------------------------------------------

    async def _mark(self) -> None:
        name = f"u{next(self._numbers)}"
        self._pending.add(name)
        self._quiet.clear()
        self._floor.unplayed = True
        mark = {"event": "mark", "streamSid": self._stream, "mark": {"name": name}}
        await self.push_frame(OutputTransportMessageFrame(message=mark))

    def _take_back_marks(self) -> None:
        # The phone echoes the marks it had, and Pipecat drops those it had not: neither kind
        # is playback, and nobody waits for them.
        self._cleared |= self._pending
        self._pending.clear()

    def _settle(self) -> None:
        """Nothing is waited for any longer."""
        self._floor.unplayed = False
        self._quiet.set()

    async def _leave(self) -> None:
        await self.heard(within=_FAREWELL)
        self._leaving = None
        await self._farewell()

    async def _stay(self) -> None:
        task, self._leaving = self._leaving, None
        if task and task is not asyncio.current_task():
            await self.cancel_task(task)

    def moved(self, stream: str) -> None:
        """The call goes on over another stream."""
        self._stream = stream

    def lost(self) -> None:
        """The stream broke: the marks it had will not come back."""
        self._pending.clear()
        self._settle()

    def returned(self, name: str) -> None:
        """Take note of a mark that came back."""
        if name in self._cleared:
            self._cleared.discard(name)
            self._journal.note("mark.cleared", name=name)
        elif name in self._pending:
            self._pending.discard(name)
            if not self._pending:
                self._settle()
            self._journal.note("mark.played", name=name)
        # Anything else is not one of ours, or has come for the second time.

    async def heard(self, *, within: float) -> bool:
        """Wait until everything said so far has been played, or thrown away.

        Args:
            within: Seconds after which Twilio is not waited for any longer.

        Returns:
            Whether the marks came back in time.
        """
        try:
            async with asyncio.timeout(within):
                await self._quiet.wait()
        except TimeoutError:
            return False
        return True


def _word(word: str, context_id: str | None, *, remember: bool) -> TTSTextFrame:
    frame = TTSTextFrame(word, text_type=TextType.WORD, context_id=context_id)
    frame.append_to_context = remember
    return frame
