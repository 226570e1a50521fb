"""An e-mail address as it is said, or as the transcriber writes it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tipring.turns.words import spoken

_WRITTEN = re.compile(r"@[\w-]+(\.[\w-]+)*\.\w{2,}")


@dataclass(frozen=True, kw_only=True)
class Email:
    """How one language says an address. The fields are those of its data file.

    Attributes:
        ats: Words for the @ sign: ``at``, ``arroba``.
        signs: Words for the others: ``dot``, ``underscore``.
        endings: The last parts of addresses: ``com``.
    """

    ats: frozenset[str]
    signs: frozenset[str]
    endings: frozenset[str]

    def goes_on(self, text: str) -> bool:
        """Whether an address has been begun, and is not whole.

        Args:
            text: All that the caller said.
        """
        words = spoken(text)
        if not words or _WRITTEN.search(text) or self._is_whole(words):
            return False
        # "Jane at gmail"; but "I'm not at my computer" is no address.
        at = any(word in self.ats for word in words[-2:]) and words[0] not in self.ats
        signs = any(word in self.signs for word in words)
        return "@" in text or at or signs or len(words[-1]) == 1

    def _is_whole(self, words: tuple[str, ...]) -> bool:
        return any(
            word in self.endings and before in self.signs and after not in self.signs
            for before, word, after in zip(words, words[1:], (*words[2:], ""), strict=False)
        )
