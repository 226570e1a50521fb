"""A real host in a process of its own, for a phone to call."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tipring.errors import TipringError

# Models are loaded from disk, and on a busy machine that has taken half a minute.
_READY_WITHIN = 120.0
_STOP_WITHIN = 30.0


class HostFailed(TipringError):
    """The host did not come up, or went away."""


@dataclass(frozen=True, kw_only=True)
class HostedHost:
    """A host that is ready.

    Attributes:
        url: Where its webhook is.
        control_url: Where its control port is.
        auth_token: What Twilio would sign with.
        process: The process, whose exit code is looked at by tests.
    """

    url: str
    control_url: str
    auth_token: str
    process: asyncio.subprocess.Process


def _admission(auth_token: str, control_token: str | None) -> dict[str, str]:
    if control_token is None:
        return {"TWILIO_AUTH_TOKEN": auth_token}
    return {"TWILIO_AUTH_TOKEN": "", "TIPRING_CONTROL_TOKEN": control_token}


Told = Callable[[Mapping[str, Any]], None]


@contextlib.asynccontextmanager
async def hosted(
    *,
    config: Path | None = None,
    environ: Mapping[str, str] | None = None,
    arguments: Sequence[str] = (),
    on_event: Told | None = None,
    control_token: str | None = None,
) -> AsyncIterator[HostedHost]:
    """Start ``tipring serve`` on free ports of this machine, and stop it afterwards.

    Args:
        config: Its configuration file.
        environ: Variables besides this process's.
        arguments: More arguments for ``serve``.
        on_event: Told of every event of every call: ``call``, ``at``, ``event`` and its detail.
        control_token: Start it as in a container: it is given its calls by whoever has this token,
            and knows nothing of Twilio.

    Raises:
        HostFailed: It was not ready in time; its own words are on stderr.
    """
    token = secrets.token_hex(16)
    words = [sys.executable, "-m", "tipring"]
    words += ["--config", str(config)] if config else []
    words += ["serve", "--events", *arguments]
    process = await asyncio.create_subprocess_exec(
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        env={
            **os.environ,
            **(environ or {}),
            **_admission(token, control_token),
            "TIPRING_SERVER__HOST": "127.0.0.1",
            "TIPRING_SERVER__PORT": "0",
            "TIPRING_SERVER__CONTROL_PORT": "0",
            "TIPRING_SERVER__PUBLIC_URL": "",
        },
        limit=1 << 20,
        start_new_session=True,  # Ctrl-C is the caller's, who hangs up first
    )
    assert process.stdout is not None
    reading: asyncio.Task[None] | None = None
    try:
        where = await _ready(process)
        reading = asyncio.create_task(_read(process.stdout, on_event or (lambda _: None)))
        yield HostedHost(
            url=where["url"],
            control_url=f"http://127.0.0.1:{where['control_port']}",
            auth_token=token,
            process=process,
        )
    finally:
        await _stop(process)
        if reading is not None:
            await reading


async def _ready(process: asyncio.subprocess.Process) -> dict[str, Any]:
    assert process.stdout is not None
    try:
        async with asyncio.timeout(_READY_WITHIN):
            line = await process.stdout.readline()
    except TimeoutError:
        raise HostFailed(
            "tipring serve", f"it was not ready within {_READY_WITHIN:g} s", "tipring check"
        ) from None
    if not line:
        code = await process.wait()
        raise HostFailed("tipring serve", f"it stopped with exit code {code}", "tipring check")
    where: dict[str, Any] = json.loads(line)["ready"]
    return where


async def _read(stdout: asyncio.StreamReader, told: Told) -> None:
    while line := await stdout.readline():
        told(json.loads(line))


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGINT)  # SIGTERM would wait for the calls
    try:
        async with asyncio.timeout(_STOP_WITHIN):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
