"""The voices of one call: the first one speaks, and the next one takes over where it fell silent.

Voices stand one behind the other, between an entry and an exit::

    desk ─► entry ─► voice ─► between ─► next voice ─► exit ─► player

The entry gives one utterance at a time to the voice that speaks now, and remembers its words. The
exit counts the words whose audio came. When a voice failed, what is missing is given to the next
one, from the word at which it broke off; so nothing is said twice and no sentence stays a half one.
What is not for a voice passes it in an envelope, in its turn behind what that voice still says.
"""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from pipecat.frames.frames import (
    ControlFrame,
    DataFrame,
    EndFrame,
    ErrorFrame,
    Frame,
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    StopFrame,
    SystemFrame,
    TextFrame,
    TTSAudioRawFrame,
    TTSSpeakFrame,
    TTSTextFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.tts_service import TTSService

from tipring.llm.sentence_frame import SentenceFrame

log = logging.getLogger(__name__)

_EXIT = -1
DOWN = FrameDirection.DOWNSTREAM

Switched = Callable[[int], Awaitable[None]]
Lost = Callable[[], Awaitable[None]]


@dataclass
class _Envelope(DataFrame):
    """A frame for somebody further down, which a voice must not take for its own."""

    to: int = _EXIT
    frame: Frame = field(default_factory=DataFrame)


@dataclass
class _Over(DataFrame):
    """Stands behind an utterance that has no end of its own."""


@dataclass
class _Settle(ControlFrame):
    """The exit has seen the end of an utterance."""

    utterance: _Utterance | None = None


@dataclass
class _Utterance:
    """What is to be said in one go, and what was heard of it.

    Attributes:
        start: The frame that opened the model's response; None for what the host says.
        speak: What the host says; None for a response.
        texts: What was given to a voice, sentence by sentence.
        end: The frame behind which it is over, once that was given to the voice.
        cut: The end was put there by the entry, and more will come.
        letters: Letters that came back as words.
        audio: Whether any sound came.
        failed: Whether the voice reported an error.
        again: Whether its voice was asked a second time.
    """

    start: LLMFullResponseStartFrame | None = None
    speak: TTSSpeakFrame | None = None
    texts: list[str] = field(default_factory=list)
    end: Frame | None = None
    cut: bool = False
    letters: int = 0
    audio: bool = False
    failed: bool = False
    again: bool = False

    def rest(self) -> str:
        """What was not heard, from the beginning of a word."""
        text = " ".join(one.strip() for one in self.texts)
        left = self.letters if self.audio else 0
        for word in re.finditer(r"\S+", text):
            left -= sum(map(str.isalnum, word[0]))
            if left < 0:
                return text[word.start() :]
        return ""


class Voices:
    """Every voice of a call, in order of preference.

    A voice that is done for, or from which no sound came, is not used again in this call. One that
    broke off and is there again goes on itself: a caller would rather hear one voice than two. It
    is forgiven once a call. Where there is no other voice, each utterance is asked for twice.

    Args:
        services: Who speaks, the preferred one first.
        on_switched: Awaited with the number of the voice that has taken over.
        on_lost: Awaited when no voice is left; once.

    Attributes:
        services: As given.
        active: The number of the voice that speaks now.
        processors: To be put in the pipeline, in this order.
    """

    def __init__(
        self, services: Sequence[TTSService], *, on_switched: Switched, on_lost: Lost
    ) -> None:
        self.services = tuple(services)
        self.active = 0
        self._entry = _Entry(self, on_switched, on_lost)
        line: list[FrameProcessor] = [self._entry]
        for number, service in enumerate(self.services):
            if number:
                line.append(_Between(number))
            line.append(service)
            service.add_event_handler("on_error", self._entry.failed)
        self.processors = [*line, _Exit(self._entry)]

    @property
    def is_usable(self) -> bool:
        """Whether there is a voice that can speak."""
        return any(service.is_usable for service in self.services[self.active :])


class _Entry(FrameProcessor):
    """Gives utterances to the voice that speaks now, one after the other."""

    def __init__(self, voices: Voices, on_switched: Switched, on_lost: Lost) -> None:
        super().__init__()
        self._voices = voices
        self._on_switched = on_switched
        self._on_lost = on_lost
        self._lost = False
        self._forgiven: set[int] = set()
        self.utterance: _Utterance | None = None
        self._held: deque[Frame] = deque()

    @property
    def _service(self) -> TTSService:
        return self._voices.services[self._voices.active]

    @property
    def _waiting(self) -> bool:
        return self.utterance is not None and self.utterance.end is not None

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Take what is to be said; while an utterance comes to its end, everything waits."""
        await super().process_frame(frame, direction)
        if direction is not DOWN or isinstance(frame, SystemFrame):
            if isinstance(frame, InterruptionFrame):
                self.utterance = None
                self._held = deque(one for one in self._held if not one.interruptible)
            await self.push_frame(frame, direction)
        elif isinstance(frame, _Settle):
            await self._settle(frame.utterance)
        elif isinstance(frame, EndFrame | StopFrame):
            self.utterance = None
            await self._release()
            await self.push_frame(frame)
        else:
            self._held.append(frame)
            await self._release()

    async def failed(self, service: FrameProcessor, error: ErrorFrame) -> None:
        """Take note that a voice failed; one that cannot go on is cut short."""
        utterance = self.utterance
        if service is not self._service or utterance is None:
            return
        utterance.failed = True
        if service.is_usable or utterance.end is not None or utterance.start is None:
            return
        if utterance.texts:
            utterance.end, utterance.cut = LLMFullResponseEndFrame(), True
            await self._send(utterance.end)

    async def _release(self) -> None:
        while self._held and not self._waiting:
            await self._give(self._held.popleft())

    async def _give(self, frame: Frame) -> None:
        open_one = self.utterance
        match frame:
            case LLMFullResponseStartFrame():
                self.utterance = _Utterance(start=frame)
                if not await self._voice_left():
                    await self.push_frame(_Envelope(frame=frame))
                    return
            case LLMFullResponseEndFrame() if open_one and self._lost:
                self.utterance = None
                await self.push_frame(_Envelope(frame=frame))
                return
            case LLMFullResponseEndFrame() if open_one and open_one.texts:
                open_one.end = frame
            case LLMFullResponseEndFrame():
                self.utterance = None
            case TTSSpeakFrame():
                if not await self._voice_left():
                    return
                if open_one is None:
                    await self._speak(_Utterance(), frame)
                    return
                open_one.texts.append(frame.text)
            case TextFrame() if not frame.skip_tts:
                if self._lost:
                    return
                if open_one is not None:
                    open_one.texts.append(frame.text)
        await self._send(frame)

    async def _speak(self, utterance: _Utterance, frame: TTSSpeakFrame) -> None:
        utterance.speak, utterance.texts, utterance.end = frame, [frame.text], _Over()
        self.utterance = utterance
        await self._send(frame)
        await self._send(utterance.end)

    async def _send(self, frame: Frame) -> None:
        if self._voices.active == 0:
            await self.push_frame(frame)
        else:
            await self.push_frame(_sealed(frame, self._voices.active))

    async def _settle(self, utterance: _Utterance | None) -> None:
        if utterance is None or utterance is not self.utterance:
            return  # an interruption came first
        rest = ""
        if utterance.failed or not utterance.audio or not self._service.is_usable:
            rest = utterance.rest()
        if not rest and not utterance.cut:
            self.utterance = None
            if not isinstance(utterance.end, _Over):
                assert utterance.end is not None
                await self.push_frame(_Envelope(frame=utterance.end))
        else:
            await self._go_on(utterance, rest)
        await self._release()

    async def _go_on(self, utterance: _Utterance, rest: str) -> None:
        """Have the rest said: by this voice once more, or by the next one."""
        if not self._forgive(utterance) and not await self._voice_left(
            after_failure=True, once_more=not utterance.again
        ):
            self.utterance = None
            if utterance.start is not None and not utterance.cut:
                assert utterance.end is not None
                await self.push_frame(_Envelope(frame=utterance.end))
            elif utterance.start is not None:
                self.utterance = _Utterance(start=utterance.start)  # its own end is still to come
            return
        going_on = _Utterance(start=utterance.start, again=True)
        if utterance.speak is not None:
            speak = TTSSpeakFrame(rest, append_to_context=utterance.speak.append_to_context)
            speak.interruptible = utterance.speak.interruptible
            await self._speak(going_on, speak)
            return
        self.utterance = going_on
        going_on.start = LLMFullResponseStartFrame()
        await self._send(going_on.start)
        if rest:
            going_on.texts.append(rest)
            await self._send(SentenceFrame(text=rest))
        if not utterance.cut:
            going_on.end = utterance.end
            assert going_on.end is not None
            await self._send(going_on.end)

    def _forgive(self, utterance: _Utterance) -> bool:
        """Whether the voice that broke off may say the rest itself."""
        active = self._voices.active
        if not utterance.audio or not self._service.is_usable or active in self._forgiven:
            return False
        self._forgiven.add(active)
        return True

    async def _voice_left(self, *, after_failure: bool = False, once_more: bool = False) -> bool:
        """Make sure that a voice is there to speak."""
        voices = self._voices
        if self._lost:
            return False
        if not after_failure and self._service.is_usable:
            return True
        for number in range(voices.active + 1, len(voices.services)):
            if voices.services[number].is_usable:
                voices.active = number
                log.warning("a voice failed, and voice %d of the list has taken over", number + 1)
                await self._on_switched(number)
                return True
        if once_more and self._service.is_usable:
            return True
        self._lost = True
        log.error("no voice is left")
        await self._on_lost()
        return False


class _Between(FrameProcessor):
    """Stands before a later voice: opens its envelopes, and closes all else in one."""

    def __init__(self, number: int) -> None:
        super().__init__(enable_direct_mode=True)
        self._number = number

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if direction is DOWN and not isinstance(frame, SystemFrame | EndFrame | StopFrame):
            if not isinstance(frame, _Envelope):
                frame = _sealed(frame, _EXIT)
            elif frame.to == self._number:
                frame = frame.frame
        await self.push_frame(frame, direction)


class _Exit(FrameProcessor):
    """Stands behind the voices and keeps count of what was said."""

    def __init__(self, entry: _Entry) -> None:
        super().__init__(enable_direct_mode=True)
        self._entry = entry

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if direction is not DOWN:
            await self.push_frame(frame, direction)
            return
        utterance = self._entry.utterance
        if isinstance(frame, _Envelope):
            frame = frame.frame
        match frame:
            case _ if utterance is None:
                pass
            case TTSAudioRawFrame():
                utterance.audio = True
            case TTSTextFrame():
                utterance.letters += sum(map(str.isalnum, frame.text))
            case LLMFullResponseStartFrame() if utterance.again and frame is utterance.start:
                return  # the response goes on, and began before
            case _ if frame is utterance.end:
                await self._entry.queue_frame(_Settle(utterance=utterance))
                return
        if not isinstance(frame, _Over):
            await self.push_frame(frame)


def _sealed(frame: Frame, to: int) -> _Envelope:
    envelope = _Envelope(to=to, frame=frame)
    envelope.interruptible = frame.interruptible
    return envelope
