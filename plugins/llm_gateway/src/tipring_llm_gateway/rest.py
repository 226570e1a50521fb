"""What stands behind the last word of an answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TypeVar

T = TypeVar("T")

REST_WITHIN = 0.3
"""Seconds that are given to it: the last sentence waits for them."""


async def rest_of(stream: AsyncIterator[T]) -> list[T]:
    """Read a stream to its end, where it ends at once.

    Behind the last word come token counts and the end of the response, and only a response that
    was read to its end leaves its connection to the next turn. Neither is worth a failure.

    Args:
        stream: An SDK's stream, of which the answer has been read.
    """
    found: list[T] = []
    try:
        async with asyncio.timeout(REST_WITHIN):
            async for event in stream:
                found.append(event)
    except Exception:
        return found
    return found
