"""Which attempt may answer: one after the other, or the next one beside a silent one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator

from tipring.llm.attempt import Attempt
from tipring.llm.failures import RungFailed


async def first_to_commit(
    attempts: Iterator[Attempt],
    *,
    hedge_after: float | None,
    on_failed: Callable[[Attempt, str], Awaitable[None]],
    on_let_go: Callable[[Attempt], None],
) -> Attempt | None:
    """Try attempts until one has a sentence to say.

    Args:
        attempts: In order of preference; the next one is only asked for when it is needed.
        hedge_after: Seconds of silence after which the next one starts beside the first. The first
            to a sentence wins, the other is cancelled. None: strictly one after the other.
        on_failed: Awaited for each attempt that failed, with the reason in a sentence.
        on_let_go: Called for each attempt that was cancelled before it could show anything.

    Returns:
        The committed attempt, which the caller closes; None when all failed.
    """
    running: dict[asyncio.Task[None], Attempt] = {}
    began = 0.0
    clock = asyncio.get_running_loop().time

    def start() -> bool:
        attempt = next(attempts, None)
        if attempt is None:
            return False
        running[asyncio.create_task(attempt.commit())] = attempt
        return True

    winner: Attempt | None = None
    try:
        while winner is None:
            if not running:
                if not start():
                    return None
                began = clock()
            wait = None
            if hedge_after is not None and len(running) == 1 and not _spoke(running.values()):
                wait = max(0.0, began + hedge_after - clock())
            done, _ = await asyncio.wait(running, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                if _spoke(running.values()) or not start():
                    hedge_after = None
                began = clock()
                continue
            for task in [task for task in running if task in done]:
                attempt = running.pop(task)
                reason = _failure(task)
                if reason is not None:
                    await attempt.close()
                    await on_failed(attempt, reason)
                elif winner is None:
                    winner = attempt
                else:
                    # Both had a sentence in the same step; the preferred one says it.
                    on_let_go(attempt)
                    await attempt.close()
        return winner
    except BaseException:
        if winner is not None:
            on_let_go(winner)
            await winner.close()
        raise
    finally:
        for attempt in running.values():
            on_let_go(attempt)
        await _cancel(running)


def _spoke(attempts: Iterable[Attempt]) -> bool:
    return any(attempt.heard for attempt in attempts)


def _failure(task: asyncio.Task[None]) -> str | None:
    error = task.exception()
    if error is None:
        return None
    return error.sentence if isinstance(error, RungFailed) else type(error).__name__


async def _cancel(running: dict[asyncio.Task[None], Attempt]) -> None:
    if not running:
        return
    for task in running:
        task.cancel()
    await asyncio.wait(running)
    await asyncio.gather(*(attempt.close() for attempt in running.values()))
