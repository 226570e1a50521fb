"""An e-mail address as it is said, or written by the transcriber: whole, begun, or none at all."""

from __future__ import annotations

from dataclasses import dataclass

from tipring.turns.words import spoken


@dataclass(frozen=True, kw_only=True)
class Email:
    """How one language says an address. The fields are those of its data file.

    Attributes:
        ats: Words for the @ sign: ``at``, ``arroba``.
        signs: Words for the others: ``dot``, ``underscore``.
        endings: Last parts behind which nothing comes: ``com``.
    """

    ats: frozenset[str]
    signs: frozenset[str]
    endings: frozenset[str]

    def is_whole(self, text: str) -> bool | None:
        """Whether the address is there to its end, or None when it has not been begun.

        Args:
            text: All that the caller said.
        """
        words = spoken(text)
        at = "@" in text or any(word in self.ats for word in words[1:])
        if at and words[-1] in self.endings:
            return True
        begun = at or any(word in self.signs for word in words)
        return False if begun else None
