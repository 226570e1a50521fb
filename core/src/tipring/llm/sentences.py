"""A stream of tokens, cut where sentences end.

The rules of where a sentence ends are sentencex's, by language, as Pipecat applies them: ``Dr.``
and ``3.50`` are not an end, and a full stop is only believed when something follows it.
"""

from __future__ import annotations

from pipecat.utils.text.base_text_aggregator import TextType
from pipecat.utils.text.simple_text_aggregator import SimpleTextAggregator


class Sentences:
    """Cuts a stream into sentences and loses no character of it.

    The pieces joined are the text that went in: white space between two sentences leads the
    second, so that they can be joined again in any script.

    Args:
        language: A BCP 47 tag; unknown ones fall back as sentencex does.
    """

    def __init__(self, language: str = "en") -> None:
        self._aggregator = SimpleTextAggregator(
            aggregation_type=TextType.SENTENCE, language=language
        )
        self._kept = ""

    async def feed(self, text: str) -> list[str]:
        """Take some more text, and give the sentences that are now complete.

        Args:
            text: What the model said next, of any length.
        """
        self._kept += text
        done: list[str] = []
        async for found in self._aggregator.aggregate(text):
            # The aggregator strips spaces; its sentence stands in what was kept after them.
            length = len(self._kept) - len(self._kept.lstrip(" ")) + len(found.text)
            done.append(self._kept[:length])
            self._kept = self._kept[length:]
        return done

    async def flush(self) -> str:
        """Give what is left, because the answer is whole; empty when that is only white space."""
        left, self._kept = self._kept, ""
        await self._aggregator.reset()
        return left if left.strip() else ""
