"""The SDKs' clients: one a destination and event loop, for all calls of the process.

A client keeps its connections, so only the first request of a process shakes hands. Nothing of one
call is in it: what belongs to a call goes with each request.
"""

from __future__ import annotations

import asyncio
import ssl
import weakref
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx2
    from anthropic import AsyncAnthropic
    from openai import AsyncOpenAI

    from tipring_llm_gateway.route import Route
    from tipring_llm_gateway.settings import GatewaySettings

C = TypeVar("C")

NO_KEY = "none"
"""Stands where an SDK insists on a key; the header that would carry it is left out."""

_clients: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Any, Any]] = (
    weakref.WeakKeyDictionary()
)


@cache
def tls() -> ssl.SSLContext:
    """The trusted certificates, and the network's machinery, started once.

    Both take long enough to be heard in other calls, so builds do it: the first build is the
    rehearsal at boot, off the event loop.
    """
    import anyio
    import httpx2

    with ThreadPoolExecutor(1) as elsewhere:
        elsewhere.submit(anyio.run, anyio.sleep, 0).result()
    return httpx2.create_ssl_context()


def anthropic_client(route: Route, settings: GatewaySettings) -> AsyncAnthropic:
    """The client for Anthropic's protocol at this destination.

    Args:
        route: Where to.
        settings: Timeouts.
    """
    import anthropic

    key = route.key.get_secret_value() if route.key else NO_KEY

    def make() -> AsyncAnthropic:
        return anthropic.AsyncAnthropic(
            api_key=None if route.bearer else key,
            auth_token=key if route.bearer else None,
            base_url=route.base_url,
            max_retries=0,
            timeout=_timeout(settings),
            # No spans: they cost time, and can be told to hold what was said.
            open_telemetry=False,
            http_client=anthropic.DefaultAsyncHttpxClient(verify=tls()),
        )

    return _shared(("anthropic", *_identity(route, settings)), make)


def openai_client(route: Route, settings: GatewaySettings) -> AsyncOpenAI:
    """The client for OpenAI's protocol at this destination.

    Args:
        route: Where to.
        settings: Timeouts.
    """
    import openai

    def make() -> AsyncOpenAI:
        return openai.AsyncOpenAI(
            api_key=route.key.get_secret_value() if route.key else NO_KEY,
            base_url=route.base_url,
            max_retries=0,
            timeout=_timeout(settings),
            http_client=openai.DefaultAsyncHttpxClient(verify=tls()),
        )

    return _shared(("openai", *_identity(route, settings)), make)


async def close_clients() -> None:
    """Close the clients of the running loop, for a process that goes on without them."""
    for client in _clients.pop(asyncio.get_running_loop(), {}).values():
        await client.close()


def _identity(route: Route, settings: GatewaySettings) -> tuple[Any, ...]:
    key = route.key.get_secret_value() if route.key else None
    return (route.base_url, key, settings.connect_within, settings.read_within)


def _shared(identity: tuple[Any, ...], make: Callable[[], C]) -> C:
    clients = _clients.setdefault(asyncio.get_running_loop(), {})
    if identity not in clients:
        clients[identity] = make()
    client: C = clients[identity]
    return client


def _timeout(settings: GatewaySettings) -> httpx2.Timeout:
    import httpx2

    return httpx2.Timeout(settings.read_within, connect=settings.connect_within)
