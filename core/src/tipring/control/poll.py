"""Asks for the kill switch before each reply, beside the model and not before it."""

from __future__ import annotations

import asyncio
import logging
import time

import httpx
from pydantic import ValidationError

from tipring.control.protocol import Answer, Kill

log = logging.getLogger(__name__)

_WITHIN = 1.5
# An answer this old was asked for an earlier thought of the same turn, and still holds.
_FRESH = 2.0


class KillPoll:
    """Asks one address. No answer in time is ``none``: a call goes on when its owner is gone.

    Args:
        client: Shared by the process.
        url: Answers ``{"kill": "none"}``.
        call: For the log.
    """

    def __init__(self, client: httpx.AsyncClient, url: str, *, call: str) -> None:
        self._client, self._url, self._call = client, url, call
        self._asking: asyncio.Task[Kill] | None = None
        self._asked_at = 0.0

    def begin(self) -> None:
        """Ask, if that was not just done. Returns at once."""
        if self._asking is None or time.monotonic() - self._asked_at > _FRESH:
            self._asked_at = time.monotonic()
            self._asking = asyncio.create_task(self._ask())

    async def answer(self) -> Kill:
        """The answer to what was asked last; asks, if nothing was. At most 1.5 s."""
        self.begin()
        assert self._asking is not None
        asking = self._asking
        # A caller who interrupts the reply must not end what the next one waits for.
        kill = await asyncio.shield(asking)
        if self._asking is asking:
            self._asking = None
        return kill

    async def _ask(self) -> Kill:
        try:
            async with asyncio.timeout(_WITHIN):
                answer = await self._client.get(self._url)
            return Answer.model_validate_json(answer.content).kill
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValidationError) as error:
            log.warning(
                "call %s: no answer about the kill switch (%s)", self._call, type(error).__name__
            )
            return "none"
