"""The marks a model writes for the eye: dropped before a voice reads them."""

from __future__ import annotations

import re

# Pictographs, flags, dingbats, arrows-as-emoji, joiners and variation selectors.
# A keycap such as "1️⃣" is a digit and two of these, so the digit stays.
_EMOJI = (
    "\U0001f000-\U0001f0ff\U0001f170-\U0001f19a\U0001f1e6-\U0001f1ff\U0001f200-\U0001faff"
    "\u2600-\u2775\u2794-\u27bf\u2b05-\u2b07\u2b1b\u2b1c\u2b50\u2b55"
    "\u2300-\u23ff\ufe0f\ufe0e\u200d\u20e3\U000e0020-\U000e007f"
)
_PICTURES = re.compile(rf"(?P<before>[ \t]*)[{_EMOJI}](?:[ \t]*[{_EMOJI}])*(?P<after>[ \t]*)")

_LINK = re.compile(r"!?\[([^\[\]]*)\]\([^()\s]*(?:\s\"[^\"]*\")?\)")
_FENCE = re.compile(r"^[ \t]*(?:```|~~~)[ \t]*[A-Za-z]*[ \t]*$\n?", re.MULTILINE)
_RULE = re.compile(r"^[ \t]*([-*_])(?:[ \t]*\1){2,}[ \t]*$\n?", re.MULTILINE)
_LEAD = re.compile(r"^[ \t]*(?:#{1,6}[ \t]+|>[ \t]?|[-*+•][ \t]+)(?=\S)", re.MULTILINE)
_CODE = re.compile(r"`+")
_STRUCK = re.compile(r"~~")
# Two or more marks are never said, except an operator between two digits: 2**3.
_MARKS = re.compile(r"(?<!\d)[*_]{2,}|[*_]{2,}(?!\d)")
# A pair that hugs its text: *now*, _now_. Dial codes such as *67 are not a pair.
_PAIR = re.compile(
    r"(?<![\w*])\*(?=[^\s*])([^*\n]*[^\s*])\*(?![\w*])|\b_(?=[^\s_])([^_\n]*[^\s_])_\b"
)
# Half a pair, because the sentence ends inside it. Next to a letter a star is never said.
_HALF = re.compile(r"(?<![\w*])\*(?=[^\W\d_])|(?<=[^\W\d_])\*(?![\w*])|(?<=[^\W\d_][.,!?])\*(?!\w)")


def strip_emoji(text: str) -> str:
    """Drop emoji, and the space that stood for the pause before one."""
    return _PICTURES.sub(_gap, text)


def strip_markdown(text: str) -> str:
    """Drop markdown's marks and keep its words. A link keeps its label and loses its address.

    A star that a caller is told to press stays: ``Press * then #``, ``dial *67``.
    """
    while True:
        # A mark may stand inside another; every round shortens the text, so this ends.
        before = text
        text = _LINK.sub(r"\1", text)
        text = _FENCE.sub("", text)
        text = _CODE.sub("", text)
        text = _STRUCK.sub("", text)
        text = _RULE.sub("", text)
        text = _LEAD.sub("", text)
        text = _MARKS.sub("", text)
        text = _PAIR.sub(lambda found: found[1] or found[2], text)
        text = _HALF.sub("", text)
        if text == before:
            return text


def _gap(found: re.Match[str]) -> str:
    if found.end() == len(found.string) or found.start() == 0:
        return ""
    following = found.string[found.end()]
    return " " if (found["before"] or found["after"]) and following not in ".,!?;:\n" else ""
