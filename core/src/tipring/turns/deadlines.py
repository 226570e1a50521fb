"""Nothing waits for ever: until when the detector must have spoken, and a voice have words."""

from __future__ import annotations

import asyncio

from tipring.turns.detector import Detector
from tipring.turns.pause import Pause
from tipring.turns.said import Said
from tipring.turns.timers import Then, Timers

LAG = 1.0
"""Seconds by which a transcriber's words come later at the most than the voice that spoke them."""
_WORDLESS = 3.0
"""Seconds without a new word after which a voice is a room, not a caller."""
WORDLESS_FINAL = 1.5
"""The same behind words that were final: a transcriber that is behind tells interim ones."""
_SILENCE = 0.7
"""Seconds of silence that end a turn whose detector has failed: Smart Turn's own cap."""


class Deadlines:
    """The deadlines of one call's turns. Each is set anew by what it waits for.

    Args:
        timers: Where they run, as ``patience`` and ``wordless``.
        said: What the caller has said in the turn.
        pause: Their silence.
        overdue: What happens when the detector has said nothing.
        wordless: What happens when a voice has said nothing.
    """

    def __init__(
        self, timers: Timers, *, said: Said, pause: Pause, overdue: Then, wordless: Then
    ) -> None:
        self._timers = timers
        self._said = said
        self._pause = pause
        self._overdue = overdue
        self._wordless = wordless

    def expect(self, detector: Detector) -> None:
        """From the silence on, the detector has until its patience is over to propose."""
        now = asyncio.get_running_loop().time()
        patience = detector.patience
        due = self._pause.last + (min(patience, _SILENCE) if detector.failed else patience)
        if self._said.interim:
            due = max(due, now + LAG)  # its final is on the way
        self._timers.start("patience", due - now, self._overdue)

    def expect_words(self) -> None:
        """From here on a voice has so long to say something new."""
        final = bool(self._said.text) and not self._said.interim
        self._timers.start("wordless", WORDLESS_FINAL if final else _WORDLESS, self._wordless)
