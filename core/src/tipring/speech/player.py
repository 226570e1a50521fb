"""Says the phrases that were rendered ahead, whether the voice is up or down.

Two processors stand around the voice::

    ladder ─► PhraseDesk ─► tts ─► PhrasePlayer ─► transport.output()

The desk gives a phrase its audio; the voice passes it on in its turn, behind what it is still
saying; the player plays it. What was not rendered is left to the voice.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Protocol

from pipecat.frames.frames import (
    DataFrame,
    Frame,
    LLMAssistantPushAggregationFrame,
    LLMTextFrame,
    TTSAudioRawFrame,
    TTSSpeakFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    TTSTextFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.utils.text.base_text_aggregator import TextType

from tipring.speech.script import Script


@dataclass
class SpeakPhraseFrame(DataFrame):
    """Say a phrase, rendered ahead if it can be.

    Attributes:
        text: What is said.
        append_to_context: Whether the model remembers it.
        audio: PCM16 mono; the desk fills it in.
    """

    text: str = ""
    append_to_context: bool = True
    audio: bytes = b""


class Rendered(Protocol):
    """What was rendered ahead."""

    @property
    def rate(self) -> int:
        """Hz of the audio."""
        ...

    def get(self, text: str) -> bytes | None:
        """Give a phrase as PCM16 mono, or None when it is not rendered."""
        ...


class PhraseDesk(FrameProcessor):
    """Stands before the voice and decides who says a phrase.

    A :class:`SpeakPhraseFrame` or a ``TTSSpeakFrame`` whose text was rendered ahead is sent to the
    player; any other becomes, or stays, a ``TTSSpeakFrame`` for the voice.

    Args:
        phrases: What was rendered.
        script: What was given to the voice is written into it.
    """

    def __init__(self, phrases: Rendered, script: Script | None = None) -> None:
        super().__init__()
        self._phrases = phrases
        self._script = script or Script()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Give phrases their audio, and pass everything on."""
        await super().process_frame(frame, direction)
        if isinstance(frame, SpeakPhraseFrame | TTSSpeakFrame) and (
            direction is FrameDirection.DOWNSTREAM
        ):
            self._script.say(frame.text)
            frame = self._decide(frame)
        elif isinstance(frame, LLMTextFrame) and not frame.skip_tts:
            self._script.say(frame.text)
        await self.push_frame(frame, direction)

    def _decide(self, frame: SpeakPhraseFrame | TTSSpeakFrame) -> Frame:
        audio = self._phrases.get(frame.text)
        if audio is None and isinstance(frame, TTSSpeakFrame):
            return frame
        decided: SpeakPhraseFrame | TTSSpeakFrame = (
            TTSSpeakFrame(frame.text, append_to_context=frame.append_to_context)
            if audio is None
            else SpeakPhraseFrame(frame.text, frame.append_to_context, audio)
        )
        decided.interruptible = frame.interruptible
        return decided


class PhrasePlayer(FrameProcessor):
    """Stands right behind the voice and plays phrases.

    An interruption stops a phrase like any other speech: what the phone has not played is dropped,
    and the model remembers the words before it.

    Args:
        phrases: What was rendered.
        script: What was given to the voice is written into it.
    """

    def __init__(self, phrases: Rendered, script: Script | None = None) -> None:
        super().__init__()
        self._phrases = phrases
        self._script = script or Script()

    async def speak(self, text: str, *, append_to_context: bool = True) -> bool:
        """Say a phrase past the voice, which may be stuck.

        Args:
            text: A phrase.
            append_to_context: Whether the model remembers it.

        Returns:
            Whether it was rendered ahead; if not, nothing is said.
        """
        audio = self._phrases.get(text)
        if audio is None:
            return False
        self._script.say(text)
        await self.queue_frame(SpeakPhraseFrame(text, append_to_context, audio))
        return True

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Play phrases, and pass everything else on."""
        await super().process_frame(frame, direction)
        if isinstance(frame, SpeakPhraseFrame) and direction is FrameDirection.DOWNSTREAM:
            await self._play(frame)
        else:
            await self.push_frame(frame, direction)

    async def _play(self, phrase: SpeakPhraseFrame) -> None:
        context_id = str(uuid.uuid4())
        remember = phrase.append_to_context
        frames: list[Frame] = [TTSStartedFrame(context_id=context_id, append_to_context=remember)]
        for word, audio in spread(phrase.text, phrase.audio):
            if audio:
                frames.append(TTSAudioRawFrame(audio, self._phrases.rate, 1, context_id=context_id))
            text = TTSTextFrame(word, text_type=TextType.WORD, context_id=context_id)
            text.append_to_context = remember
            frames.append(text)
        frames.append(TTSStoppedFrame(context_id=context_id))
        if remember:
            frames.append(LLMAssistantPushAggregationFrame())
        for frame in frames:
            frame.interruptible = phrase.interruptible
            await self.push_frame(frame)


def spread(text: str, pcm: bytes) -> list[tuple[str, bytes]]:
    """Give every word its share of the audio, by its letters: no rendering tells where words end.

    A word follows its audio, so that an interruption leaves out what was not heard.
    """
    words = text.split()
    letters, samples = sum(map(len, words)), len(pcm) // 2
    spread: list[tuple[str, bytes]] = []
    done, begin = 0, 0
    for word in words:
        done += len(word)
        end = samples * done // letters
        spread.append((word, pcm[2 * begin : 2 * end]))
        begin = end
    return spread
