"""The agent's own words, which the caller's phone brings back: they are nobody's turn.

A loudspeaker is heard by the microphone beside it. What a line's echo canceller leaves of it, a
transcriber reads as well as any other voice, and the voice detector takes it for one. Then the
agent stops for its own words, answers them, and is stopped by the answer, without end.

An echo is told by three things together. Its words are those that the agent is saying, in their
order; they come so soon behind them as nobody could repeat them; and they sound further away than
the caller did. Where the caller speaks into it, what is left of the words is theirs.
"""

from __future__ import annotations

import asyncio
import re
import unicodedata
from collections.abc import Sequence

from pipecat.frames.frames import InterimTranscriptionFrame, TranscriptionFrame

from tipring.journal import Journal
from tipring.turns.floor import Floor
from tipring.turns.nearness import Nearness
from tipring.turns.words import WORD, Words

_BEFORE = 2.5
"""Seconds before the first guess at words in which the first of them may have been said."""
_BEHIND, _AT_ONCE = 1.5, 0.8
"""Seconds from a word of the agent's to the guess at its echo: the line there and back, up to 0.5,
and a transcriber. Who repeats what they heard needs a moment to begin, and the time to say it; so
where it sounds as near as the caller, or may be an answer, it must come at once."""
_LATELY = 1.0
"""Seconds by whose sound it is told how near the words are."""
_APART = 2.0
"""Seconds without any words after which the next ones are others: not every guess is made final."""
_AWAY = 5.0
"""dB under the caller from which on it may be an echo: that of a telephone is 15 to 30 under it."""
_SURE, _LIKELY = 3, 2
"""Words that are an echo for sure when they are found; and that are likely to be one."""
_SHARE = 0.6
"""The share of the words up to the last that was found which must have been: a transcriber mishears
some. So it does the newest, of which it has half: so many behind the last may be anything."""
_ASTRAY = 2
_STEM = 3
"""Letters that two words begin with, when one is the other misheard, or half of it."""
_SOLID = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
"""Scripts that put no spaces between words."""


class Echo:
    """Takes the agent's own words out of what the transcriber heard.

    Args:
        floor: Knows what the agent said, word by word.
        journal: Where an echo is noted.
        words: The word lists of the conversation's language.
        nearness: How near the caller is.
    """

    def __init__(self, *, floor: Floor, journal: Journal, words: Words, nearness: Nearness) -> None:
        self._floor = floor
        self._journal = journal
        self._words = words
        self._nearness = nearness
        self._began = self._last = float("-inf")
        self._over_agent = False
        self._found = False
        self._mixed: int | None = None
        self._known = False

    def leaves(self, frame: InterimTranscriptionFrame | TranscriptionFrame) -> bool:
        """Leave in a transcript what is the caller's.

        Args:
            frame: The transcript. Its text is what is left, where something is.

        Returns:
            Whether there is anything left of it.
        """
        if not frame.text.strip():
            return True  # no words, no echo
        now = asyncio.get_running_loop().time()
        final = isinstance(frame, TranscriptionFrame)
        if now - self._last > _APART:
            self._begin(now)
        rest = self._without(frame.text, now, final=final) if self._over_agent else frame.text
        if final and not rest:
            self._journal.note("echo", text=frame.text)
        self._last = float("-inf") if final else now
        frame.text = rest
        return bool(rest)

    def _begin(self, now: float) -> None:
        """Other words begin: it counts whether the agent was heard while they were said."""
        self._began, self._found, self._mixed = now, False, None
        said = self._floor.agent_words
        spoke = bool(said) and now - said[-1][0] < _BEHIND
        self._over_agent = self._floor.agent_audible or spoke

    def _without(self, text: str, now: float, *, final: bool) -> str:
        folded = unicodedata.normalize("NFKC", text)
        heard = _pieces(folded)
        words = [*self._floor.agent_words, *((now, word) for word in self._floor.agent_next)]
        said = [
            (at, piece)
            for at, word in words
            if at > self._began - _BEFORE
            for _, piece in _pieces(word)
        ]
        head = [piece for _, piece in heard[: self._mixed]]  # what follows is the caller's
        pairs = _aligned(head, [piece for _, piece in said])
        if not pairs or not self._is_echo(pairs, now - said[pairs[-1][1]][0], final=final):
            return "" if self._is_too_little(heard, final=final) else text
        self._found = True
        first = self._callers_first(heard, [one for one, _ in pairs], final=final)
        if first is None:
            return ""
        self._mixed = first
        return folded[heard[first][0] :]

    def _is_echo(self, pairs: Sequence[tuple[int, int]], behind: float, *, final: bool) -> bool:
        found = len(pairs)
        if found < _SHARE * (pairs[-1][0] + 1):
            return False
        far, over = self._is_far(), self._floor.agent_audible
        soon = behind <= (_BEHIND if far or (far is None and over) else _AT_ONCE)
        # Where the begin of it was one, only the last guess at it is late.
        if found >= _SURE and (soon or self._found):
            self._known = True
            return True
        if self._found and (found >= _LIKELY or not final):
            return True
        if not soon:
            return False
        if self._floor.turn_open:
            return False  # few words, in the caller's turn
        if not over:
            return bool(far) and (found >= _LIKELY or self._known)
        # Over the agent it costs little to wait for the next word, which tells.
        return self._known or (found >= _LIKELY and (bool(far) or not final))

    def _is_too_little(self, heard: Sequence[tuple[int, str]], *, final: bool) -> bool:
        """Whether it is the begin of something from afar, where an echo has been heard before."""
        if final or not self._known or self._floor.turn_open or len(heard) > _ASTRAY:
            return False
        return self._floor.agent_audible and bool(self._is_far())

    def _is_far(self) -> bool | None:
        """Whether the words sound further away than the caller; None where nobody knows."""
        away = self._nearness.distance(_LATELY)
        return None if away is None else away >= _AWAY

    def _callers_first(
        self, heard: Sequence[tuple[int, str]], echoes: Sequence[int], *, final: bool
    ) -> int | None:
        """Which of the words is the caller's first, if there is any of theirs."""
        near = self._is_far() is False
        strays = [at for at in range(len(heard)) if at not in echoes]
        for at in strays:
            word = heard[at][1]
            # The newest of a guess may be half a word: "no" of "noon".
            half = at == len(heard) - 1 and len(word) <= _STEM and not (final or near)
            if word in self._words.interrupters and not half:
                return at
        behind = [at for at in strays if at > echoes[-1]]
        return behind[0] if len(behind) > (0 if near else _ASTRAY) else None


def _pieces(text: str) -> list[tuple[int, str]]:
    """The words of a text, each with its place; letters where words are not told apart."""
    pieces = []
    for found in WORD.finditer(text):
        if _SOLID.search(found[0]):
            pieces += [(found.start() + at, letter) for at, letter in enumerate(found[0])]
        else:
            pieces.append((found.start(), found[0].casefold().replace("’", "'")))
    return pieces


def _aligned(heard: Sequence[str], said: Sequence[str]) -> list[tuple[int, int]]:
    """The most words that both have in the same order, as pairs of places.

    Of several the latest: what is heard now was said just before.
    """
    rows = [[0] * (len(said) + 1)]
    for one in heard:
        above, row = rows[-1], [0]
        for at, other in enumerate(said):
            alike = above[at] + 1 if _alike(one, other) else 0
            row.append(max(alike, above[at + 1], row[at]))
        rows.append(row)
    pairs = []
    here, there = len(heard), len(said)
    while here and there:
        best = rows[here][there]
        if _alike(heard[here - 1], said[there - 1]) and best == rows[here - 1][there - 1] + 1:
            here, there = here - 1, there - 1
            pairs.append((here, there))
        elif best == rows[here - 1][there]:
            here -= 1
        else:
            there -= 1
    return pairs[::-1]


def _alike(one: str, other: str) -> bool:
    return one == other or (len(one) >= _STEM and one[:_STEM] == other[:_STEM])
