"""An emulated Twilio caller: dials a real host, speaks, and listens as Twilio would.

::

    async with await Phone.dial("http://127.0.0.1:8080", auth_token=token) as phone:
        await phone.agent_speaks(within=5)
        await phone.agent_silent(for_=0.6)
        said = phone.say(Clip.load("hello.wav"))
        await phone.until(said.end)
        ...

It shares no code with the host, so that the two can disagree. All times are seconds since the
stream's start message, on the event loop's clock (``phone.began`` is that moment on it): a loop
with a clock of its own takes the phone along.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Literal, Self
from urllib.parse import urlsplit, urlunsplit

import numpy as np
import numpy.typing as npt

from tipring.journal import Event, Subscriber
from tipring.phone.mulaw import RATE
from tipring.testing import webhook
from tipring.testing.clip import Clip
from tipring.testing.ear import Utterance
from tipring.testing.line import FRAME, Ending, Faults, Line, Said
from tipring.testing.webhook import CallFailed


class CallOver(Exception):
    """The call ended while something was waited for."""


class Phone(Line):
    """One call, from the caller's side. Made by :meth:`dial` or :meth:`connect`.

    Attributes:
        said_by_twiml: What Twilio's own voice said to the caller.
    """

    def __init__(self, *, faults: Faults | None = None) -> None:
        super().__init__(faults=faults)
        self.said_by_twiml: list[str] = []
        self._verbs: list[webhook.Verb] = []

    # Beginning a call

    @classmethod
    async def dial(
        cls,
        url: str,
        *,
        from_: str = "+15005550006",
        to: str = "+15005550001",
        auth_token: str | None = None,
        public_url: str | None = None,
        parameters: Mapping[str, str] | None = None,
        faults: Faults | None = None,
    ) -> Phone:
        """Call a host as Twilio does: POST its voice webhook, and follow the TwiML.

        Args:
            url: Where the host listens: ``http://127.0.0.1:8080``. ``/voice`` is added.
            from_: The caller's number.
            to: The number called.
            auth_token: Signs webhook and stream; None sends no signature.
            public_url: The address Twilio would know the host by, where that is another one. It
                is what gets signed, and a stream that begins with it is reached at ``url``.
            parameters: More fields of the webhook's form.
            faults: What a bad line does.

        Returns:
            The phone: on the stream, or at the end of a call that never came to one (``busy``,
            rejected, or only spoken to by Twilio; see :meth:`closed` and ``said_by_twiml``).

        Raises:
            CallFailed: The webhook or the stream refused, or the TwiML cannot be.
        """
        phone = cls(faults=faults)
        form = {
            "AccountSid": phone._stream.account_sid,
            "ApiVersion": "2010-04-01",
            "CallSid": phone.call_sid,
            "CallStatus": "ringing",
            "Called": to,
            "Caller": from_,
            "Direction": "inbound",
            "From": from_,
            "To": to,
            **(parameters or {}),
        }
        reached, known = url.rstrip("/"), (public_url or url).rstrip("/")
        address, redirects = f"{known}/voice", 0
        while True:
            signature = auth_token and webhook.sign(address, form, auth_token=auth_token)
            twiml = await webhook.fetch(
                _reach(address, known, reached), form, signature=signature or None
            )
            phone._verbs = webhook.parse(twiml, url=address)
            verb = await phone._follow()
            if isinstance(verb, webhook.Redirect):
                redirects += 1
                if redirects > 10:
                    raise CallFailed(address, "the TwiML redirects in a circle", code=12200)
                address = verb.url
                continue
            if isinstance(verb, webhook.Connect):
                signature = auth_token and webhook.sign(verb.url, {}, auth_token=auth_token)
                await phone._open(
                    verb.url, _reach(verb.url, known, reached), signature or None, verb.parameters
                )
            return phone

    @classmethod
    async def connect(
        cls,
        url: str,
        *,
        auth_token: str | None = None,
        parameters: Mapping[str, str] | None = None,
        faults: Faults | None = None,
    ) -> Phone:
        """Open a stream without asking a webhook first.

        Args:
            url: ``ws://127.0.0.1:8080/media/…``.
            auth_token: Signs the upgrade; None sends no signature.
            parameters: The start message's custom parameters.
            faults: What a bad line does.

        Raises:
            CallFailed: The host refused the stream.
        """
        phone = cls(faults=faults)
        signature = webhook.sign(url, {}, auth_token=auth_token) if auth_token else None
        await phone._open(url, url, signature, parameters or {})
        return phone

    async def _follow(self) -> webhook.Redirect | webhook.Connect | None:
        """Do what the TwiML says up to the next stream or redirect."""
        while self._verbs:
            verb = self._verbs.pop(0)
            match verb:
                case webhook.Say():
                    self.said_by_twiml.append(verb.text)
                case webhook.Pause():
                    await asyncio.sleep(verb.seconds)
                case webhook.Redirect() | webhook.Connect():
                    return verb
                case webhook.Reject():
                    self.ending = Ending(at=0.0, by="agent", why=verb.reason)
                    return None
                case webhook.Hangup():
                    break
        self.ending = Ending(at=0.0, by="agent", why="hung up")
        return None

    def _closed_by_host(self) -> None:
        for verb in self._verbs:  # what follows <Connect> runs when the host closes the stream
            if isinstance(verb, webhook.Say):
                self.said_by_twiml.append(verb.text)
            elif not isinstance(verb, webhook.Pause):
                break

    # Speaking

    def say(self, clip: Clip, *, at: float | None = None) -> Said:
        """Put a clip on the line: from now, or behind what is still being said.

        Args:
            clip: What to say.
            at: Not before this time on the phone's clock, in seconds.

        Returns:
            When it begins and ends, silence at its own ends included. The times are kept to the
            sample, whatever the machine does; only the end of the call can cut it short.
        """
        wanted = int(np.ceil(max(self.now, at or 0.0) * RATE - 1e-6))
        begin = max(self._mouth_end, wanted, self._frames * FRAME)
        self._mouth.write(begin, clip.samples)
        self._mouth_end = begin + len(clip.samples)
        said = Said(begin=begin / RATE, end=self._mouth_end / RATE)
        self._announced.append((said.begin, "said.began"))
        self._announced.append((said.end, "said.ended"))
        return said

    def press(self, digit: str) -> None:
        """Press one key: 0-9, * or #."""
        self._note("key", digit=digit)
        self._post(self._stream.dtmf(digit))

    def send_raw(self, message: str | bytes) -> None:
        """Send something that Twilio would not; bytes go as a binary frame."""
        self._outbox.put_nowait((message, None))

    async def hang_up(self, *, by: Literal["caller", "agent"] = "caller") -> Ending:
        """End the call as Twilio does: stop, then close.

        Args:
            by: ``agent`` when the host asked for it over REST.
        """
        if self._ws is not None and self.ending is None and self._leaving is None:
            self._leaving = "hung up" if by == "caller" else "hung up by the agent"
            self._note("hung up", by=by)
            if self._faults.stop:
                self._post(self._stream.stop())
            with contextlib.suppress(TimeoutError):  # a host that does not read is not waited for
                async with asyncio.timeout(5):
                    await self._outbox.join()
            self._tick.set()
            self._tick.clear()
            if self._faults.close_after is not None:
                await asyncio.sleep(self._faults.close_after)
                await self._ws.close()
        return await self.closed()

    async def abort(self) -> Ending:
        """Cut the TCP connection: no stop, no close."""
        if self._ws is not None and self.ending is None:
            self._leaving = "aborted"
            self._ws.transport.abort()
        return await self.closed()

    # Listening

    @property
    def timeline(self) -> tuple[Event, ...]:
        """Everything that happened, by its time. The names stand in docs/emulated-phone.md."""
        return tuple(sorted(self._timeline, key=lambda event: event.at))

    def subscribe(self, subscriber: Subscriber) -> None:
        """Be told of every event of the timeline as it becomes known."""
        self._subscribers.append(subscriber)

    @property
    def heard(self) -> npt.NDArray[np.int16]:
        """What the caller's ear got so far: PCM16 at 8 kHz, from the start message on."""
        return self._ear.track.read(0, self._so_far())

    @property
    def sent(self) -> npt.NDArray[np.int16]:
        """What the caller said so far, likewise."""
        return self._mouth.read(0, self._so_far())

    @property
    def utterances(self) -> tuple[Utterance, ...]:
        """When the agent was heard, by level; gaps under half a second do not count."""
        self._listen()
        return tuple(self._ear.utterances)

    @property
    def agent_speaking(self) -> bool:
        """Whether the caller hears the agent now: the last 10 ms were over -50 dB of full scale."""
        self._listen()
        return self._ear.audible and self.ending is None

    async def agent_speaks(self, *, within: float | None = None) -> float:
        """Wait until the agent is audible.

        Args:
            within: Seconds.

        Returns:
            When the agent's utterance began.

        Raises:
            TimeoutError: It was not, within that time.
            CallOver: The call ended first.
        """
        await self.when(lambda: self.agent_speaking, within=within)
        return self._ear.utterances[-1].begin

    async def agent_silent(self, for_: float = 0.5, *, within: float | None = None) -> None:
        """Wait until the agent has not been audible for so many seconds.

        Args:
            for_: Seconds of silence; those that have passed already count.
            within: Seconds.

        Raises:
            TimeoutError: It was not, within that time.
            CallOver: The call ended first.
        """
        await self.when(lambda: self.silent_for >= for_, within=within)

    @property
    def silent_for(self) -> float:
        """Seconds since the agent was last audible, or since the start message."""
        self._listen()
        return self.now - max(0.0, self._ear.last_audible)

    async def until(self, at: float) -> None:
        """Wait for a time on the phone's clock, such as a ``said.end``.

        Raises:
            CallOver: The call ended first.
        """
        await self.when(lambda: self.now >= at)

    async def when(self, ready: Callable[[], bool], *, within: float | None = None) -> None:
        """Wait for a condition, which is looked at with every frame: 50 times a second.

        Args:
            ready: The condition.
            within: Seconds.

        Raises:
            TimeoutError: It did not come true within that time.
            CallOver: The call ended first.
        """
        async with asyncio.timeout(within):
            while not ready():
                if self.ending is not None or self._leaving is not None:
                    raise CallOver("the call ended")
                await self._tick.wait()

    async def closed(self, *, within: float | None = None) -> Ending:
        """Wait for the end of the call, whoever brings it.

        Raises:
            TimeoutError: It did not end within that time.
        """
        if self._life is not None:
            async with asyncio.timeout(within):
                await asyncio.shield(self._life)
        assert self.ending is not None  # a call without a stream ended while it was dialled
        return self.ending

    async def __aenter__(self) -> Self:
        """The call, which ends with the block at the latest."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Hang up, if nobody did; a host that does not close is cut off."""
        if self.ending is None and self._leaving is None:
            await self.hang_up()
        elif self.ending is None:
            await self.abort()
        await self.closed()


def _reach(url: str, known: str, reached: str) -> str:
    """The address at which what Twilio knows as ``url`` is found from here."""
    if known == reached:
        return url
    wanted, public, local = urlsplit(url), urlsplit(known), urlsplit(reached)
    if wanted.netloc != public.netloc:
        return url
    scheme = local.scheme.replace("http", "ws") if wanted.scheme in ("ws", "wss") else local.scheme
    return urlunsplit((scheme, local.netloc, wanted.path, wanted.query, ""))
