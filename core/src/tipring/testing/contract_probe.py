"""What the contract sees of a plugin in an interpreter that has seen nothing else.

Reads an order as JSON from stdin and writes ``contract:`` and the answer behind whatever the plugin
itself prints. A socket is noticed by Python's own audit events, so that whoever opens it is caught.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import sys
import threading
import time
from typing import Any

BUILDS = 4
HEAVY = frozenset(
    "aiohttp anthropic av deepgram elevenlabs google grpc httpx jax keras librosa moonshine_voice"
    " nltk numba numpy onnxruntime openai pandas pipecat requests scipy sentry_sdk sklearn"
    " soundfile spacy tensorflow tokenizers torch torchaudio transformers websockets".split()
)
"""What declaring may not import: each takes a tenth of a second or more, or brings what does."""

_CALLS = {
    "socket.connect": "connects to {1}",
    "socket.getaddrinfo": "looks up {0}",
    "socket.gethostbyname": "looks up {0}",
    "socket.bind": "listens on {1}",
    "socket.sendto": "sends to {1}",
}


def main() -> None:
    """Do what was ordered."""
    order = json.load(sys.stdin)
    logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
    logging.getLogger("asyncio").setLevel(logging.INFO)
    answer = asyncio.run(_look(order))
    print("\ncontract:" + json.dumps(answer), flush=True)
    os._exit(0)  # a thread that does not end has been counted, and need not be waited for


async def _look(order: dict[str, Any]) -> dict[str, Any]:
    from tipring.discovery import said
    from tipring.errors import TipringError
    from tipring.plugins import Plugins

    answer: dict[str, Any] = {"refused": "", "fix": "", "error": "", "repr": "", "sockets": []}
    plugins = Plugins.discover()
    kind, name = order["kind"], order["name"]
    before, began = set(sys.modules), time.process_time()
    try:
        if kind == "observer":
            plugins.watch(name)
        else:
            plugins.load(kind, name)
    except TipringError as error:
        return answer | {"refused": f"{error.where}: {error.what}", "fix": error.fix}
    answer["declare_ms"] = (time.process_time() - began) * 1000
    new = {module.partition(".")[0] for module in set(sys.modules) - before}
    answer["heavy"] = sorted(new & HEAVY)
    if order["stage"] != "build":
        return answer
    try:
        await _build(plugins, order, answer)
    except (Exception, SystemExit) as error:
        answer["error"] = str(error) if isinstance(error, TipringError) else said(error)
    return answer


async def _build(plugins: Any, order: dict[str, Any], answer: dict[str, Any]) -> None:
    from tipring.config import Value
    from tipring.providers import Call
    from tipring.selection import Part
    from tipring.settings import settle

    kind, name = order["kind"], order["name"]
    provider = plugins.load(kind, name)
    values = {key: Value(value=v, source="the test") for key, v in order["settings"].items()}
    settings = settle(provider.settings, values, order["environ"], f"{kind}.{name}")
    part = Part(kind=kind, name=name, provider=provider, settings=settings, dist="")
    call = Call(id="contract", language=order["language"])
    if kind == "stt":
        import pipecat.services.stt_service  # noqa: F401 - what the host has loaded by then
    answer["repr"] = repr(settings) + str(settings)
    sockets: list[str] = answer["sockets"]

    def heard(event: str, arguments: tuple[Any, ...]) -> None:
        if told := _CALLS.get(event):
            if _is_network(event, arguments):
                sockets.append(told.format(*arguments))

    sys.addaudithook(heard)
    # The plugin's own words, not the host's masked ones: they end up in somebody's log.
    build: Any = provider.build
    try:
        build(settings, Call(id="contract", language="tlh", audio_in_rate=1, audio_out_rate=1))
    except Exception as error:
        answer["repr"] += str(error)
    first, second = part.build(call), part.build(call)
    answer["repr"] += repr(first) + str(first)
    answer["same"] = _parts(first) & _parts(second) != set()
    for made in (first, second):
        await _let_go(made)
    del first, second, made
    await _settle()
    threads, files = threading.active_count(), _files()
    for _ in range(BUILDS):
        await _let_go(part.build(call))
    await _settle()
    answer["builds"] = BUILDS
    answer["threads"] = threading.active_count() - threads
    answer["files"] = _files() - files


def _is_network(event: str, arguments: tuple[Any, ...]) -> bool:
    # A unix socket is this machine's, and ("::1", 0) is how libraries see whether there is IPv6.
    if event.startswith("socket.get"):
        return True
    address = arguments[1]
    return isinstance(address, tuple) and address[:2] != ("::1", 0)


def _parts(made: Any) -> set[int]:
    """What two calls must not share: the object, and of a plan whatever is in it."""
    from tipring.providers import TurnPlan

    inner = (made.stop, made.vad, made.stt) if isinstance(made, TurnPlan) else ()
    return {id(one) for one in (made, *inner) if one is not None}


async def _let_go(made: Any) -> None:
    if callable(close := getattr(made, "aclose", None)):
        await close()


async def _settle() -> None:
    for _ in range(3):
        gc.collect()
        await asyncio.sleep(0)


def _files() -> int:
    for folder in ("/proc/self/fd", "/dev/fd"):
        if os.path.isdir(folder):
            return len(os.listdir(folder))
    return 0


if __name__ == "__main__":
    main()
