"""What the model says it has asked for: a tag in its reply, which nobody hears.

The agent's own words mostly tell what it asks for. Where they do not, the prompt can have the model
say it: ``What stands on the tag? <expect>code</expect>``.
"""

from __future__ import annotations

import re

from pipecat.frames.frames import Frame, LLMTextFrame
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from tipring.journal import Journal
from tipring.turns.floor import Floor
from tipring.turns.questions import questions_for

_TAG = re.compile(r"\s*<expect>\s*([^<>]*?)\s*</expect>")


class Asked(FrameProcessor):
    """Takes the tag out of a reply, and has the next turn judged by it.

    It stands behind the model, which gives whole sentences. A tag that asks for nothing known is
    taken out as well, and noted.

    Args:
        floor: Who has the floor.
        journal: Where a tag that cannot be understood is noted.
        language: The conversation's, a BCP 47 tag.
    """

    def __init__(self, *, floor: Floor, journal: Journal, language: str) -> None:
        super().__init__(enable_direct_mode=True)
        self._floor = floor
        self._journal = journal
        self._kinds = questions_for(language).kinds

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Pass everything on but the tag."""
        await super().process_frame(frame, direction)
        if isinstance(frame, LLMTextFrame) and (found := _TAG.search(frame.text)):
            self._expect(found[1].lower())
            frame.text = _TAG.sub("", frame.text)
            if not frame.text.strip():
                return
        await self.push_frame(frame, direction)

    def _expect(self, kind: str) -> None:
        if kind in self._kinds:
            self._floor.expecting = kind
            return
        known = ", ".join(sorted(self._kinds))
        what = f"<expect> asks for something that is none of: {known}. Mend the prompt"
        self._journal.note("problem", where="agent.prompt", what=what)
