"""An emulator beside a contract: on a thread and a loop of its own, for the rules run their own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def beside(
    emulator: AbstractAsyncContextManager[T],
) -> Iterator[tuple[T, asyncio.AbstractEventLoop]]:
    """Run an emulator for the length of the block, and give it with its loop."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="emulator", daemon=True)
    thread.start()
    try:
        made = asyncio.run_coroutine_threadsafe(emulator.__aenter__(), loop).result(10)
        try:
            yield made, loop
        finally:
            ended = emulator.__aexit__(None, None, None)
            asyncio.run_coroutine_threadsafe(_awaited(ended), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _awaited(what: object) -> None:
    await what  # type: ignore[misc]
