"""One caller's line to Deepgram, held through failures without losing a word.

Audio is added and kept; a connection sends what is kept from where the words are not known yet. A
lost connection is replaced at once, and sends again from there. So the same loop serves the live
call, the gap and the start, and nothing that adds audio ever waits for the network.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_after_delay,
    wait_exponential_jitter,
)

from tipring_deepgram.kept import KeptAudio
from tipring_deepgram.refusals import Lost, Refused

log = logging.getLogger(__name__)

CHUNK = 0.1
"""Seconds of audio in one message, at most."""

SEND_WITHIN = 5.0
"""Seconds a message may wait for a peer that has stopped reading."""

KEEP_ALIVE_AFTER = 4.0
"""Seconds without audio after which a keep-alive is sent. Deepgram recommends 3 to 5, and closes
after 10."""

STEADY = 5.0
"""Seconds a connection has to last before its loss counts as the first failure, not the next.
Half of ``give_up`` where that is less: a line is never given up without another attempt."""


class Socket(Protocol):
    """An open connection, as a line needs it."""

    async def send_audio(self, audio: bytes) -> None:
        """Send PCM16."""
        ...

    async def send_message(self, message: Mapping[str, Any]) -> None:
        """Send one message of the protocol."""
        ...

    def messages(self) -> AsyncIterator[Any]:
        """What the other side says, until it closes; raises when the connection breaks."""
        ...

    def abort(self) -> None:
        """Drop the connection without a word."""
        ...


class Line:
    """Keeps a caller connected.

    Args:
        connect: Opens a connection that is ready for audio. Raises
            :class:`~tipring_deepgram.refusals.Lost` or ``Refused``, each with a sentence.
        hear: Is given every message, in order.
        lost: Is told, in a sentence, of every connection that failed.
        rate: Hz of the PCM16 mono audio.
        keep: Seconds of audio kept for a connection that is not there.
        answer_within: Seconds in which a connection has to be ready.
        give_up: Seconds without a steady connection after which the line is given up.
        keep_alive: The message that keeps a silent connection open, where there is one.
    """

    def __init__(
        self,
        *,
        connect: Callable[[], AbstractAsyncContextManager[Socket]],
        hear: Callable[[Any], Awaitable[None]],
        lost: Callable[[str], Awaitable[None]],
        rate: int,
        keep: float = 15.0,
        answer_within: float = 3.0,
        give_up: float = 20.0,
        keep_alive: Mapping[str, Any] | None = None,
    ) -> None:
        self._connect = connect
        self._hear = hear
        self._lost = lost
        self._answer_within = answer_within
        self._give_up = give_up
        self._steady = min(STEADY, give_up / 2)
        self._keep_alive = keep_alive
        self.kept = KeptAudio(rate=rate, seconds=keep)
        self._socket: Socket | None = None
        self._more = asyncio.Event()
        self._replaced = asyncio.Event()
        self._why = ""
        self._cursor = 0  # what of the kept audio this connection was sent
        self._origin = 0  # where this connection's own time begins
        self._asked: Mapping[str, Any] | None = None
        self._asked_at = 0
        self._asked_here = False
        self.heard_at = 0.0
        self._unanswered_since: float | None = None

    @property
    def connected(self) -> bool:
        """Whether audio goes out."""
        return self._socket is not None

    @property
    def unanswered(self) -> float:
        """Seconds for which audio has gone out and nothing came back."""
        since = self._unanswered_since
        return 0.0 if since is None else time.monotonic() - since

    def add(self, audio: bytes) -> None:
        """Take audio from the caller. Never waits."""
        self.kept.add(audio)
        self._more.set()

    def ask(self, message: Mapping[str, Any]) -> None:
        """Send a message right behind the audio so far, on every connection until it is answered.

        Args:
            message: What to send, until :meth:`answered` or :meth:`take_back`.
        """
        self._asked, self._asked_at, self._asked_here = message, self.kept.end, False
        self._more.set()

    def answered(self) -> None:
        """The message asked last has done its work. One that was not sent yet cannot have."""
        if self._asked_here:
            self._asked = None

    def take_back(self) -> None:
        """Ask for nothing any more."""
        self._asked = None

    async def send_message(self, message: Mapping[str, Any]) -> None:
        """Send a message on this connection, if there is one."""
        if self._socket is not None:
            await self._socket.send_message(message)

    def position(self, seconds: float) -> int:
        """Where in the call a moment of this connection's own time is."""
        return self._origin + self.kept.position(seconds)

    def settle(self, position: int) -> None:
        """The words before this position are known: their audio is never sent again."""
        self.kept.settle(position)

    def replace(self, why: str) -> None:
        """Drop this connection and take another; what is not settled is sent again.

        Nothing more of what this connection says is handed on. Without a connection this does
        nothing, for another one is on its way.
        """
        if self._socket is not None:
            self._why = why
            self._unanswered_since = None
            self._replaced.set()

    async def run(self) -> None:
        """Hold the line until cancelled.

        Raises:
            Lost: There was no steady connection for ``give_up`` seconds.
            Refused: Deepgram refused for good.
        """
        while True:
            # Each steady connection starts the count anew, so its loss is mended at once.
            why: str = await AsyncRetrying(
                retry=retry_if_exception_type(Lost),
                stop=stop_after_delay(self._give_up),
                wait=wait_exponential_jitter(multiplier=0.1, max=3.0, jitter=0.1),
                before_sleep=self._failed,
                reraise=True,
            )(self._hold)
            await self._lost(why)

    async def hang_up(self, message: Mapping[str, Any]) -> None:
        """Say goodbye on this connection. Never raises, never waits for long."""
        if self._socket is not None:
            try:
                async with asyncio.timeout(0.5):
                    await self._socket.send_message(message)
            except Exception:
                log.debug("a line that was hung up was already gone")

    async def _failed(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        await self._lost(str(error))

    async def _hold(self) -> str:
        """Open one connection and serve it until it is lost.

        Returns:
            Why it was lost, when it had been a steady one.
        """
        opening = self._connect()
        self._replaced.clear()
        try:
            async with asyncio.timeout(self._answer_within):
                socket = await opening.__aenter__()
        except TimeoutError:
            raise Lost(
                f"Deepgram did not take the call within {self._answer_within:g} s."
            ) from None
        began = time.monotonic()
        missing = self.kept.start - self._cursor
        if missing > 0:
            log.warning(
                "%.1f s of a caller were never heard: the gap was longer than what is kept",
                missing / self.kept.bytes_per_second,
            )
        self._origin = self._cursor = self.kept.start
        self._asked_here = False
        self._unanswered_since = None
        self._socket = socket
        grace = 1.0
        try:
            why = await self._serve(socket)
            grace = 0.0  # nobody is there to close with
        except Lost as lost:
            why = str(lost)
        finally:
            self._socket = None
            # Closing waits for the other side, which may be the very thing that is broken.
            dropping = asyncio.get_running_loop().call_later(grace, socket.abort)
            try:
                await opening.__aexit__(None, None, None)
            finally:
                dropping.cancel()
        if time.monotonic() - began < self._steady:
            raise Lost(why)
        return why

    async def _serve(self, socket: Socket) -> str:
        tasks = [
            asyncio.create_task(self._listen(socket)),
            asyncio.create_task(self._send(socket)),
            asyncio.create_task(self._until_replaced()),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return next(iter(done)).result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _until_replaced(self) -> str:
        await self._replaced.wait()
        return self._why

    async def _listen(self, socket: Socket) -> str:
        from websockets.exceptions import ConnectionClosed

        try:
            async for message in socket.messages():
                if self._replaced.is_set():
                    break
                self.heard_at = time.monotonic()
                self._unanswered_since = None
                await self._understand(message)
        except ConnectionClosed as closed:
            if closed.rcvd is None:
                return "The connection to Deepgram broke."
            return f"Deepgram closed the connection with {closed.rcvd.code}."
        except OSError:
            return "The connection to Deepgram broke."
        return "Deepgram closed the connection."

    async def _understand(self, message: Any) -> None:
        try:
            await self._hear(message)
        except (Lost, Refused):
            raise
        except Exception as error:
            # One message nobody understands is no reason to stop listening. What it says may be
            # the caller's words, so only the kind of error is logged.
            log.error("a message of Deepgram could not be handled: %s", type(error).__name__)

    async def _send(self, socket: Socket) -> str:
        try:
            while True:
                self._more.clear()
                await self._catch_up(socket)
                try:
                    async with asyncio.timeout(KEEP_ALIVE_AFTER):
                        await self._more.wait()
                except TimeoutError:
                    if self._keep_alive is not None:
                        await socket.send_message(self._keep_alive)
        except TimeoutError:
            return f"Deepgram stopped reading for {SEND_WITHIN:g} s."
        except Exception as error:
            log.debug("sending to Deepgram ended with %s", type(error).__name__)
            # The reader knows better why a connection broke; it is given the moment to say so.
            await asyncio.sleep(0.1)
            return "The connection to Deepgram broke."

    async def _catch_up(self, socket: Socket) -> None:
        """Send what is kept and was not sent, and what was asked, in its place."""
        most = self.kept.position(CHUNK)
        while True:
            if self._cursor < self.kept.start:
                # Settled, or fallen out of what is kept: this connection's time skips it too.
                self._origin += max(0, self.kept.start - self._cursor)
                self._cursor = self.kept.start
            asking = self._asked is not None and not self._asked_here
            if asking and self._cursor >= self._asked_at:
                assert self._asked is not None
                self._asked_here = True
                async with asyncio.timeout(SEND_WITHIN):
                    await socket.send_message(self._asked)
                continue
            room = min(most, self._asked_at - self._cursor) if asking else most
            audio = self.kept.read(self._cursor, room)
            if not audio:
                return
            async with asyncio.timeout(SEND_WITHIN):
                await socket.send_audio(audio)
            self._cursor += len(audio)
            if self._unanswered_since is None:
                self._unanswered_since = time.monotonic()
