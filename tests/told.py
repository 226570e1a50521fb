"""What a host in a process of its own told of its calls."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any


class Told:
    """Collects events, and waits for them."""

    def __init__(self) -> None:
        self.events: list[Mapping[str, Any]] = []
        self._news = asyncio.Event()

    def __call__(self, event: Mapping[str, Any]) -> None:
        self.events.append(event)
        self._news.set()

    def of(self, call: str, name: str) -> list[Mapping[str, Any]]:
        return [e for e in self.events if e["call"] == call and e["event"] == name]

    async def until(self, call: str, name: str) -> Mapping[str, Any]:
        async with asyncio.timeout(30):
            while not self.of(call, name):
                self._news.clear()
                await self._news.wait()
        return self.of(call, name)[0]
