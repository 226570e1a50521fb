"""Words that are for somebody else: "honey, can you close the door?" into the phone.

A person on the other end notices, and goes on. They notice by two things. The voice is further
away, for who turns to somebody else turns away from the phone; and the words are of another
conversation: they call somebody "mum", or say that they are on the phone.

Neither is sure. One's own sentences differ by 2 dB from each other; of the sentences of eight
single speakers one in twenty began 5 dB under what the speaker had been before, and one in forty
6 dB. So a voice from further away is for somebody else only where the words do not take the floor
either: who interrupts begins with "no", "wait", "what", "I", "can you", and hardly ever with
"put it". Nobody interrupts from 9 dB away. The lists are data, by language.

The same is asked twice. Words that seem to be for somebody else do not stop the agent. And if they
have stopped it, because they could not be told in time, or lasted so long that to go on is idle, it
goes on where it was stopped when they are over. What is not told by its words alone is kept for the
model, which knows of it with its next answer.
"""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass
from importlib import resources

from tipring.turns.nearness import Nearness
from tipring.turns.words import base_language, spoken

_AWAY = 5.0
"""dB by which a voice is further away than the caller was."""
_BACK = 3.0
"""dB at which one that was further away is near again."""
_FAR = 9.0
"""dB from which on only a word that asks for the floor is for the agent, and no "can you"."""


@dataclass(frozen=True, kw_only=True)
class Others:
    """How one speaks to somebody else, in one language.

    Attributes:
        vocatives: What one calls people at home; such a call begins what is said, or ends it.
        phrases: What one says only to somebody who is not on the phone.
        claims: First words of somebody who takes the floor.
    """

    vocatives: frozenset[str]
    phrases: frozenset[tuple[str, ...]]
    claims: frozenset[str]

    def called(self, text: str) -> bool:
        """Whether the words alone say that they are for somebody else."""
        words = spoken(text)
        if not words:
            return False
        if words[0] in self.vocatives or (len(words) > 2 and words[-1] in self.vocatives):
            return True
        return any(
            words[at : at + len(phrase)] == phrase
            for phrase in self.phrases
            for at in range(len(words) - len(phrase) + 1)
        )


class Aside:
    """Tells what is for somebody else from what is for the agent.

    Args:
        language: The conversation's, a BCP 47 tag.
        fillers: Sounds of somebody thinking, which come before a first word.
        interrupters: Words of which one alone asks for the floor.
        nearness: How near the voice is.
    """

    def __init__(
        self,
        language: str,
        *,
        fillers: frozenset[str],
        interrupters: frozenset[str],
        nearness: Nearness,
    ) -> None:
        self._others = others_for(language)
        self._fillers = fillers
        self._interrupters = interrupters
        self._nearness = nearness

    def for_another(self, text: str, *, before: bool = False) -> bool:
        """Whether these words seem to be for somebody else.

        Args:
            text: All of them so far.
            before: Whether they seemed so before the last of them came.
        """
        if self._others.called(text):
            return True
        words = [word for word in spoken(text) if word not in self._fillers]
        if not words or words[0] in self._interrupters:
            return False
        further = self._nearness.further()
        if words[0] in self._others.claims:
            return further >= _FAR
        return further >= (_BACK if before else _AWAY)

    def is_sure(self, text: str) -> bool:
        """Whether the words alone say so."""
        return self._others.called(text)


@functools.cache
def others_for(language: str) -> Others:
    """The lists of a language, or the English ones where there is no file for it.

    Args:
        language: A BCP 47 tag.
    """
    file = resources.files("tipring.turns") / "languages" / f"{base_language(language)}.toml"
    lists = tomllib.loads(file.read_text(encoding="utf-8"))["aside"]
    return Others(
        vocatives=frozenset(lists["vocatives"]),
        phrases=frozenset(spoken(phrase) for phrase in lists["phrases"]),
        claims=frozenset(lists["claims"]),
    )
