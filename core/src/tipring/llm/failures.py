"""Why a rung failed, in a sentence that is safe to write into a log.

A provider's error can quote the request, and the request is the conversation. So the text of an
exception is never repeated: only its kind, its HTTP status or the line that raised it are, unless
it is a :class:`RungFailed`, whose sentence was written by a rung's author for this purpose.
"""

from __future__ import annotations

import traceback
from pathlib import Path


class RungFailed(Exception):
    """This rung cannot answer this time.

    Rungs raise it where they know better than the SDK what happened. The next rung is asked.

    Args:
        sentence: What happened, without a word of the conversation: ``the stream ended early``.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


def sentence_of(error: BaseException) -> str:
    """Tell an exception in a sentence that holds nothing of what was said.

    Args:
        error: What a rung raised.
    """
    if isinstance(error, RungFailed):
        return error.sentence
    kind = type(error).__name__
    status = getattr(error, "status_code", None)
    if isinstance(status, int):
        return f"HTTP {status} ({kind})"
    raised = traceback.extract_tb(error.__traceback__)
    if not raised:
        return kind
    return f"{kind} at {Path(raised[-1].filename).name}:{raised[-1].lineno}"
