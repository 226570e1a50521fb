"""The arguments of a tool call, as models spell them."""

from __future__ import annotations

import json
from typing import Any

from tipring.llm.failures import RungFailed


def arguments_of(spelled: str) -> dict[str, Any]:
    """Read the JSON that a model wrote, piece by piece, as a tool call's arguments.

    Args:
        spelled: All pieces, joined. Nothing at all stands for no arguments.

    Raises:
        RungFailed: It is not a JSON object, so the call cannot be made.
    """
    try:
        arguments = json.loads(spelled) if spelled.strip() else {}
    except json.JSONDecodeError:
        raise RungFailed("the arguments of a tool call are not JSON") from None
    if not isinstance(arguments, dict):
        raise RungFailed("the arguments of a tool call are not an object")
    return arguments
