"""The agent's words on their way: what was given to the voice, and what came of it."""

from __future__ import annotations

import re

_LETTER = re.compile(r"[^\W_]")


class Script:
    """What the agent was to say since it was last stopped.

    Voices put spaces and punctuation where they like, so letters and digits are counted.
    """

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._voiced = 0

    def say(self, text: str) -> None:
        """So much more was given to the voice."""
        self._texts.append(text.strip())

    def voiced(self, words: str) -> None:
        """So much of it has come back as sound."""
        self._voiced += len(_LETTER.findall(words))

    def cut(self) -> str:
        """The agent was stopped: forget everything.

        Returns:
            What had been given to the voice and had not come back as sound.
        """
        text, voiced = " ".join(self._texts), self._voiced
        self._texts, self._voiced = [], 0
        at = 0
        for found in _LETTER.finditer(text):
            if voiced == 0:
                break
            voiced, at = voiced - 1, found.end()
        rest = text[at:].lstrip(" .,;:!?…")
        return rest if _LETTER.search(rest) else ""
