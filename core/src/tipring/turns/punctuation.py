"""Whether a missing full stop means something: what a transcriber declares, and what it has shown.

A plugin that forgot to say that its transcriber puts no full stops would have every caller waited
on for the end of a sentence that never comes. So the claim is checked: who has twice in a row put
no mark at all into a turn that was over is taken for one that puts none, until the next mark.
"""

from __future__ import annotations

import re

from tipring.turns.words import FULL_STOPS, spoken

# Behind a mark there is a space or nothing: "3.50" holds none.
_MARK = re.compile(rf"[{re.escape(''.join(FULL_STOPS))},;:、，](?:\s|$)")
# So many words are a sentence; behind one or two, many leave the full stop out.
_SENTENCE = 4
_ENOUGH = 2


class Punctuation:
    """What one transcriber does.

    Args:
        declared: Whether its plugin says that a missing full stop means something.
    """

    def __init__(self, declared: bool = True) -> None:
        self._declared = declared
        self._plain = 0

    @property
    def counts(self) -> bool:
        """Whether a missing full stop means something."""
        return self._declared and self._plain < _ENOUGH

    def turn_over(self, text: str, *, waited: bool) -> None:
        """Take note of a turn.

        Args:
            text: What was said in it, as the transcriber wrote it.
            waited: Whether a full stop was waited for, in vain.
        """
        if _MARK.search(text):
            self._plain = 0
        elif waited and len(spoken(text)) >= _SENTENCE:
            self._plain += 1


class Transcribers:
    """The punctuation of every transcriber, by its name; a host keeps one for all its calls."""

    def __init__(self) -> None:
        self._known: dict[str, Punctuation] = {}

    def punctuation(self, name: str, *, declared: bool) -> Punctuation:
        """What is known of one.

        Args:
            name: As it stands in the configuration.
            declared: What its plugin says.
        """
        return self._known.setdefault(name, Punctuation(declared))
