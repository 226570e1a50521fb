"""What the caller's words say about whether they are done. Word lists are data, by language."""

from __future__ import annotations

import functools
import re
import tomllib
import unicodedata
from dataclasses import dataclass
from enum import Enum
from importlib import resources

WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
FULL_STOPS = frozenset(".!?…。！？؟।")
"""What ends a sentence, of any script."""


def spoken(text: str) -> tuple[str, ...]:
    """The words of a text, in lower case, without punctuation."""
    folded = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    return tuple(WORD.findall(folded))


_BEGUN = 4
"""Words up to which a sentence that ends on none of its own has only begun: "Can I get a"."""


class Unfinished(Enum):
    """Why words sound unfinished, as it is told in the event of the hold."""

    BEGUN = "only begun"
    TRAILING = "trailing word"
    UNMARKED = "no full stop"


@dataclass(frozen=True, kw_only=True)
class Words:
    """The word lists of one language.

    Attributes:
        language: The tag of the file they come from.
        unfinished: What no sentence ends on, as tuples of words: "and", "my name is"; and what is
            said to be waited for: "let me see".
        stranded: Those of them that end a question all the same: "What is it for?"
        settled: What ends a sentence though its last word does not: "I think so."
        fillers: Sounds of somebody thinking.
        interrupters: Words of which one alone asks for the floor.
        backchannels: What a listener says to mean "go on", as tuples of words.
        consents: What comes before the answer to a request to be told something: "sure, it's".
        openers: What is said into a phone that has just been picked up, likewise.
        farewells: What is said before hanging up, likewise.
    """

    language: str
    unfinished: frozenset[tuple[str, ...]]
    stranded: frozenset[str]
    settled: frozenset[tuple[str, ...]]
    fillers: frozenset[str]
    interrupters: frozenset[str]
    backchannels: frozenset[tuple[str, ...]]
    consents: frozenset[tuple[str, ...]]
    openers: frozenset[tuple[str, ...]]
    farewells: frozenset[tuple[str, ...]]

    def unfinished_because(self, text: str, *, punctuates: bool) -> Unfinished | None:
        """Why the text sounds unfinished, or None when it may be the end.

        Args:
            text: All that the caller said in this turn so far.
            punctuates: Whether a missing full stop means something with this transcriber.
        """
        words = spoken(text)
        if not words:
            return None
        mark = text.rstrip().rstrip("\"'”’)»")[-1:]
        if self._trails_off(words, mark):
            return Unfinished.BEGUN if len(words) <= _BEGUN else Unfinished.TRAILING
        if words[-1] in self.fillers:
            return Unfinished.TRAILING
        return Unfinished.UNMARKED if punctuates and mark not in FULL_STOPS else None

    def _trails_off(self, words: tuple[str, ...], mark: str) -> bool:
        if not any(words[-count:] in self.unfinished for count in (1, 2, 3)):
            return False
        if mark == "?" and words[-1] in self.stranded:
            return False
        settled = any(words[-count:] in self.settled for count in (2, 3))
        return not (settled and mark in FULL_STOPS)

    def is_backchannel(self, text: str) -> bool:
        """Whether it is nothing but backchannels and fillers: "mhm", "yeah, okay"."""
        return self._only(text, self.backchannels)

    def is_consent(self, text: str) -> bool:
        """Whether it is nothing but a "sure" before the answer."""
        return self._only(text, self.consents)

    def is_opener(self, text: str) -> bool:
        """Whether it is nothing but a hello, or a backchannel."""
        return self._only(text, self.openers | self.backchannels)

    def is_farewell(self, text: str) -> bool:
        """Whether it is nothing but a goodbye, or a backchannel."""
        return self._only(text, self.farewells | self.backchannels)

    def has_content(self, text: str) -> bool:
        """Whether there is a word in it that is not a filler."""
        return any(word not in self.fillers for word in spoken(text))

    def _only(self, text: str, phrases: frozenset[tuple[str, ...]]) -> bool:
        """Whether the text can be cut into these phrases and fillers, four at the most."""
        words = spoken(text)
        cuts = {0: 0}  # words used -> phrases used
        for at in range(len(words)):
            if at not in cuts or cuts[at] == 4:
                continue
            for end in range(at + 1, min(at + 4, len(words)) + 1):
                piece = words[at:end]
                if piece in phrases or (end == at + 1 and piece[0] in self.fillers):
                    cuts[end] = min(cuts.get(end, 9), cuts[at] + 1)
        return bool(words) and len(words) in cuts


def base_language(language: str) -> str:
    """The language whose data file serves a tag: ``es`` for ``es-MX``, ``en`` where there is none.

    Args:
        language: A BCP 47 tag.
    """
    base = language.replace("_", "-").split("-")[0].lower()
    folder = resources.files("tipring.turns") / "languages"
    return base if base.isalpha() and (folder / f"{base}.toml").is_file() else "en"


@functools.cache
def words_for(language: str) -> Words:
    """The words of a language, or English where there is no file for it.

    Args:
        language: A BCP 47 tag; ``es-MX`` finds Spanish.
    """
    folder = resources.files("tipring.turns") / "languages"
    base = base_language(language)
    lists = tomllib.loads((folder / f"{base}.toml").read_text(encoding="utf-8"))
    return Words(
        language=base,
        unfinished=frozenset(spoken(phrase) for phrase in lists["unfinished"]),
        stranded=frozenset(lists["stranded"]),
        settled=frozenset(spoken(phrase) for phrase in lists["settled"]),
        fillers=frozenset(lists["fillers"]),
        interrupters=frozenset(lists["interrupters"]),
        backchannels=frozenset(spoken(phrase) for phrase in lists["backchannels"]),
        consents=frozenset(spoken(phrase) for phrase in lists["consents"]),
        openers=frozenset(spoken(phrase) for phrase in lists["openers"]),
        farewells=frozenset(spoken(phrase) for phrase in lists["farewells"]),
    )
