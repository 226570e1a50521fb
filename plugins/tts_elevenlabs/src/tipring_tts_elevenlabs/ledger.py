"""What one voice context was asked to say, and how much of it came back as audio.

ElevenLabs tells with every chunk of audio which characters sound in it. Counting their letters and
digits tells how far into its sentences a context is, whatever happened to spaces on the way.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(kw_only=True)
class Sentence:
    """One sentence on its way to the caller.

    Attributes:
        text: As it goes to the voice.
        frame: The id of Pipecat's frame for it.
        begins: Letters of the context before it.
        ends: Letters of the context up to its end.
        sent: Whether it went to ElevenLabs.
        again: Whether it went there a second time.
        lost: Whether the rest of it, or all of it, will not be said.
    """

    text: str
    frame: int
    begins: int
    ends: int
    sent: bool = False
    again: bool = False
    lost: bool = False

    def rest(self, heard: int) -> str:
        """What of it is missing when so many letters of the context were heard, in whole words."""
        left = heard - self.begins
        for word in re.finditer(r"\S+", self.text):
            left -= letters(word[0])
            if left < 0:
                return self.text[word.start() :]
        return ""


@dataclass(kw_only=True)
class Ledger:
    """One context.

    Attributes:
        sentences: In the order in which they are said.
        heard: Letters that came back as audio, or were given up.
        audio: Whether any audio came.
        aligned: Whether it came with its characters.
        began: When the first audio came, in seconds of the event loop's clock.
        resumed: Whether it goes on over a second socket.
        closed: Whether no more text will come.
        final: Whether ElevenLabs told its end.
        failed: Whether ElevenLabs told an error of it.
        told: Whether what went wrong was already reported.
        broken: Whether a sentence was given up. What stands behind it is not said either: who goes
            on in its place begins where it broke off.
    """

    sentences: list[Sentence] = field(default_factory=list)
    heard: int = 0
    audio: bool = False
    aligned: bool = False
    began: float = 0.0
    resumed: bool = False
    closed: bool = False
    final: bool = False
    failed: bool = False
    told: bool = False
    broken: bool = False

    def add(self, text: str, frame: int) -> Sentence:
        """Enter a sentence that is about to be sent."""
        begins = self.sentences[-1].ends if self.sentences else 0
        sentence = Sentence(text=text, frame=frame, begins=begins, ends=begins + letters(text))
        self.sentences.append(sentence)
        return sentence

    def send(self, text: str) -> None:
        """Note that a sentence goes out."""
        for sentence in self.sentences:
            if not sentence.sent and sentence.text == text:
                sentence.sent = True
                return

    def arrived(self, characters: Sequence[str] | None, at: float) -> None:
        """Note a chunk of audio, with the characters that sound in it where they are known."""
        if not self.audio:
            self.audio, self.began = True, at
        if characters is not None:
            self.aligned = True
            self.heard += letters("".join(characters))

    def begun(self, sentence: Sentence) -> bool:
        """Whether any audio of it came. Without characters, any audio may have been of it."""
        return self.heard > sentence.begins if self.aligned else self.audio and sentence.sent

    def whole(self, sentence: Sentence) -> bool:
        """Whether all of its audio came."""
        if sentence.lost or not self.audio:
            return False
        if not self.aligned or (self.final and not self.failed):
            return True
        return self.heard >= sentence.ends

    def cut(self) -> bool:
        """The socket is gone: go back to the beginning of the word in which that was.

        Returns:
            Whether that word has to be said again; if not, the cut fell between two words.
        """
        self.resumed = True
        for one in self.missing():
            if self.begun(one):
                before, self.heard = self.heard, one.ends - letters(one.rest(self.heard))
                return self.heard < before
        return False

    def missing(self) -> list[Sentence]:
        """What was sent and not heard to its end, and is not given up."""
        return [one for one in self.sentences if one.sent and not one.lost and not self.whole(one)]

    def give_up(self) -> list[Sentence]:
        """Say nothing more: nothing may be heard with a gap before it.

        Returns:
            What is given up.
        """
        given_up = [one for one in self.sentences if not one.lost and not self.whole(one)]
        for one in given_up:
            one.lost = True
        self.broken = True
        return given_up

    def unsaid(self) -> list[Sentence]:
        """What the caller did not hear to its end."""
        return [one for one in self.sentences if not self.whole(one)]


def letters(text: str) -> int:
    """How many letters and digits a text has."""
    return sum(character.isalnum() for character in text)
