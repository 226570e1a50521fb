"""The caller's silence: since when, and who has proposed that it is the end.

A breath, a click of the line or a word in the room is a voice to the voice detector, and says
nothing. If each of them began the silence anew, a caller in a noisy place would wait twice as long
for every answer. So a short voice that no words come of is part of the pause around it.
"""

from __future__ import annotations

_BREATH = 0.5
"""Seconds up to which a voice may be one without words."""
_WORDS = 1.0
"""Seconds behind such a voice in which its words would come, if it had any."""


class Pause:
    """The silence of an open turn.

    Attributes:
        since: When it began, in seconds of the running loop.
        last: When the last voice in it ended.
        by: Who proposed that it is the end, or None.
        doubt: How much they doubt it, 0 to 1.
        fresh: Whether that was behind the last voice in it.
    """

    def __init__(self) -> None:
        self.since = self.last = 0.0
        self.by: str | None = None
        self.doubt = 0.0
        self.fresh = False
        self._voice_at: float | None = None
        self._words: tuple[str, ...] | None = None

    def propose(self, by: str, *, doubt: float = 0.0) -> bool:
        """Take a proposal. Whether it is the first one."""
        first, self.by = self.by is None, self.by or by
        self.doubt, self.fresh = doubt, True
        return first

    def void(self) -> bool:
        """Forget what was proposed. Whether there was something."""
        proposed, self.by, self.doubt, self._words = self.by is not None, None, 0.0, None
        return proposed

    def voice(self, at: float, words: tuple[str, ...]) -> None:
        """A voice is heard in it.

        Args:
            at: When.
            words: All that was said by then.
        """
        self._voice_at, self.fresh = at, False
        if self._words is None:
            self._words = words

    def silent(self, at: float, words: tuple[str, ...]) -> bool:
        """The voice is gone. Whether it is another pause now, for somebody has spoken.

        Args:
            at: Since when.
            words: All that was said by now.
        """
        began, self._voice_at, self.last = self._voice_at, None, at
        if began is not None and words == self._words and 0 < at - began <= _BREATH:
            return False
        self.since, self._words = at, None
        return True

    def goes_on(self, words: tuple[str, ...]) -> bool:
        """Whether these words are the voice's that was heard: then the pause is another one.

        Args:
            words: All that was said by now.
        """
        if self._words is None or words == self._words:
            return False
        self.since, self._words = self.last, None
        return True

    def words_due(self, now: float) -> float:
        """Seconds for which words of the last voice may still come; 0 when none are awaited."""
        return max(0.0, self.last + _WORDS - now) if self._words is not None else 0.0
