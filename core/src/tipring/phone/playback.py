"""What of the agent's speech has been played, to the word, and what is left of it after a stop."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from pipecat.frames.frames import Frame


@dataclass(kw_only=True)
class Held:
    """A frame that goes on when the caller has heard what stands before it.

    Attributes:
        frame: The frame.
        word: The word that it stands for; empty for what is no word.
        end: Bytes of its utterance's audio after which it has been heard.
    """

    frame: Frame
    word: str
    end: int


@dataclass(kw_only=True)
class Utterance:
    """What is said in one breath: PCM16, and its words.

    Attributes:
        remember: Whether the model remembers it.
        interruptible: Whether the caller may stop it.
        began: When its first audio came, in nanoseconds of the pipeline's clock.
        audio: All of it that has come.
        played: Bytes of it that went to the phone.
        told: Bytes of it up to the last sentence whose words were told.
        heard: Bytes of it up to the end of the last word that was heard.
        closed: Whether no more will come.
        held: What waits for its audio, in order.
    """

    remember: bool = True
    interruptible: bool = True
    began: int | None = None
    audio: bytearray = field(default_factory=bytearray)
    played: int = 0
    told: int = 0
    heard: int = 0
    closed: bool = False
    held: deque[Held] = field(default_factory=deque)

    @property
    def over(self) -> bool:
        """Whether all of it has been played."""
        return self.closed and self.played >= len(self.audio)


@dataclass(frozen=True, kw_only=True)
class Rest:
    """What a stop left unsaid of one utterance, from the word in which it came.

    Attributes:
        pieces: The audio of each word, PCM16, with the word; an empty one for audio
            whose words are not known.
        later: Words that were announced, and of which the audio had not come.
        remember: Whether the model remembers it.
    """

    pieces: tuple[tuple[str, bytes], ...]
    later: str
    remember: bool

    @property
    def text(self) -> str:
        """Its words."""
        return " ".join(word for word, _ in self.pieces if word)


class Playback:
    """Follows the audio that goes to the phone, and keeps what has not been played."""

    def __init__(self) -> None:
        self._utterances: deque[Utterance] = deque()

    @property
    def last(self) -> Utterance | None:
        """The utterance that came last, unless all has been played."""
        return self._utterances[-1] if self._utterances else None

    @property
    def interruptible(self) -> bool:
        """Whether the caller may stop all of it."""
        return all(utterance.interruptible for utterance in self._utterances)

    def begin(self, *, remember: bool, interruptible: bool = True) -> None:
        """Another utterance begins."""
        self.close()
        self._utterances.append(Utterance(remember=remember, interruptible=interruptible))

    def close(self) -> None:
        """Nothing more comes of the last utterance."""
        if last := self.last:
            last.closed = True
            for held in last.held:
                held.end = min(held.end, len(last.audio))

    def hold(self, frame: Frame, *, word: str = "", end: int | None = None) -> bool:
        """Keep a frame until the caller has heard what stands before it.

        Args:
            frame: The frame.
            word: The word that it stands for.
            end: Bytes of the last utterance's audio after which it has been heard; all that has
                come, without it.

        Returns:
            False when nothing stands before it: it may go on.
        """
        last = self.last
        if last is None:
            return False
        end = len(last.audio) if end is None else end
        if last.closed:
            end = min(end, len(last.audio))
        # In order, whatever their times say.
        end = max(end, last.held[-1].end if last.held else 0)
        last.held.append(Held(frame=frame, word=word, end=end))
        return True

    def sent(self, size: int) -> None:
        """So many bytes of PCM16 more went to the phone.

        The transport fills up the last piece of an utterance with silence, which is not counted.
        """
        for utterance in self._utterances:
            if not utterance.over:
                utterance.played += size
                return

    def due(self) -> Iterator[Frame]:
        """Give the frames whose time has come, in order."""
        while self._utterances:
            first = self._utterances[0]
            while first.held and (first.over or first.held[0].end <= first.played):
                held = first.held.popleft()
                first.heard = held.end
                if first.audio or not held.word:  # words that never became sound were not heard
                    yield held.frame
            if not first.over or first.held:
                return
            self._utterances.popleft()

    def ahead(self, size: int) -> tuple[str, ...]:
        """Give the words that will have been heard in so many bytes of PCM16 from now on."""
        words: list[str] = []
        for utterance in self._utterances:
            until = utterance.played + size
            words += [held.word for held in utterance.held if held.word and held.end <= until]
            size = until - len(utterance.audio)
            if size <= 0:
                break
        return tuple(words)

    def cut(self) -> list[Rest]:
        """Stop: give what has not been heard, and forget it."""
        rests = []
        for utterance in self._utterances:
            if utterance.interruptible and not utterance.over:
                rests.append(_rest(utterance))
        self._utterances = deque(one for one in self._utterances if not one.interruptible)
        return [rest for rest in rests if rest.pieces or rest.later]


def _rest(utterance: Utterance) -> Rest:
    words = [held for held in utterance.held if held.word]
    length = len(utterance.audio)
    # From the word in which the stop came; where no word is known, from the stop itself.
    at = utterance.heard if utterance.heard or words else min(utterance.played, length)
    pieces: list[tuple[str, bytes]] = []
    later: list[str] = []
    for held in words:
        if held.end > length:
            later.append(held.word)
            continue
        pieces.append((held.word, bytes(utterance.audio[at : held.end])))
        at = max(at, held.end)
    if (tail := bytes(utterance.audio[at:])) and not later:
        pieces.append(("", tail))
    return Rest(pieces=tuple(pieces), later=" ".join(later), remember=utterance.remember)
