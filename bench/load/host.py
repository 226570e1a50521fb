"""The process that is measured: ``python -m bench.load.host tipring|stock``.

It prints where it listens, and then answers :class:`~bench.load.meter.Meter`'s questions on stdin.
Both systems run behind uvicorn, tipring with its own settings, and stock Pipecat with the cheaper
ones of uvicorn's (no compression, which is on by default), both on asyncio's event loop. Pipecat's
log is at WARNING in both; its default is DEBUG, which costs stock Pipecat more than is shown here.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response, WebSocket

CONFIG = """
[use]
stt = "load_stub"
turn = "smart"
llm = "load_stub"
tts = "load_stub"
[agent]
greeting = "Good evening."
[limits]
max_calls = 200
"""


async def tipring(url: str, folder: Path) -> Any:
    """Tipring as it is shipped, with the stubs for plugins."""
    from bench.load import plugin

    plugin.install(folder)
    sys.path.insert(0, str(folder))
    toml = folder / "tipring.toml"
    toml.write_text(CONFIG, encoding="utf-8")
    # All as `tipring serve` does.
    from tipring.cores import no_idle_threads
    from tipring.memory import begin_start, end_start, keep_little

    begin_start()
    keep_little()
    no_idle_threads()
    from tipring import config
    from tipring.host import Host
    from tipring.server import audio_app, settings

    host = Host(config.load(toml, {}))
    await host.load()
    end_start()
    for problem in host.problems:
        print(f"{problem.where}: {problem.what}", file=sys.stderr)
    return settings(audio_app(host, None, url))


async def stock(url: str, folder: Path) -> Any:
    """Plain Pipecat as its Twilio example is: a service a call, everything at its default."""
    await asyncio.to_thread(_import)
    app = FastAPI(openapi_url=None)

    @app.post("/voice")
    async def voice(request: Request) -> Response:
        call = str((await request.form())["CallSid"])
        stream = f"{url.replace('http', 'ws', 1)}/media/{call}"
        twiml = f'<Response><Connect><Stream url="{stream}" /></Connect></Response>'
        return Response(twiml, media_type="text/xml")

    @app.websocket("/media/{call}")
    async def media(websocket: WebSocket, call: str) -> None:
        await websocket.accept()
        await _bot(websocket, call)

    import uvicorn

    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
    )


def _import() -> None:
    import pipecat.audio.turn.smart_turn.local_smart_turn_v3
    import pipecat.audio.vad.silero
    import pipecat.pipeline.worker
    import pipecat.transports.websocket.fastapi  # noqa: F401

    from bench.load import stubs  # noqa: F401


async def _bot(websocket: Any, call: str) -> None:
    from pipecat.audio.vad.silero import SileroVADAnalyzer
    from pipecat.frames.frames import TTSSpeakFrame
    from pipecat.pipeline.pipeline import Pipeline
    from pipecat.pipeline.worker import PipelineParams, PipelineWorker
    from pipecat.processors.aggregators.llm_context import LLMContext
    from pipecat.processors.aggregators.llm_response_universal import (
        LLMContextAggregatorPair,
        LLMUserAggregatorParams,
    )
    from pipecat.runner.utils import parse_telephony_websocket
    from pipecat.serializers.twilio import TwilioFrameSerializer
    from pipecat.transports.websocket.fastapi import (
        FastAPIWebsocketParams,
        FastAPIWebsocketTransport,
    )
    from pipecat.workers.runner import WorkerRunner

    from bench.load.stubs import StubLLM, StubSTT, StubTTS

    _, told = await parse_telephony_websocket(websocket)
    stream = str(told["stream_id"] if isinstance(told, dict) else told.stream_id)
    transport = FastAPIWebsocketTransport(
        websocket,
        FastAPIWebsocketParams(
            audio_in_enabled=True,
            audio_out_enabled=True,
            serializer=TwilioFrameSerializer(
                stream_sid=stream,
                call_sid=call,
                # Without it the serializer wants Twilio's credentials, to hang up over REST.
                params=TwilioFrameSerializer.InputParams(auto_hang_up=False),
            ),
        ),
    )
    aggregators = LLMContextAggregatorPair(
        LLMContext(), user_params=LLMUserAggregatorParams(vad_analyzer=SileroVADAnalyzer())
    )
    worker = PipelineWorker(
        Pipeline(
            [
                transport.input(),
                StubSTT(),
                aggregators.user(),
                StubLLM(),
                StubTTS(call),
                transport.output(),
                aggregators.assistant(),
            ]
        ),
        params=PipelineParams(
            audio_in_sample_rate=8000,
            audio_out_sample_rate=8000,
            enable_metrics=True,
            enable_usage_metrics=True,
        ),
    )

    async def connected(*_: Any) -> None:
        await worker.queue_frame(TTSSpeakFrame("Good evening."))

    async def disconnected(*_: Any) -> None:
        await worker.cancel()

    transport.add_event_handler("on_client_connected", connected)
    transport.add_event_handler("on_client_disconnected", disconnected)
    runner = WorkerRunner(handle_sigint=False, handle_sigterm=False)
    await runner.add_workers(worker)
    await runner.run()


SYSTEMS = {"tipring": tipring, "stock": stock}


async def main() -> None:
    """Serve until stdin closes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("system", choices=SYSTEMS)
    parser.add_argument("--core", type=int)
    given = parser.parse_args()
    if given.core is not None:
        os.sched_setaffinity(0, {given.core})
    logging.basicConfig(stream=sys.stderr, level=logging.ERROR)
    from loguru import logger

    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    import uvicorn

    sock = socket.create_server(("127.0.0.1", 0), backlog=256)
    # As `tipring serve` does, for both: asyncio does not ask for it on such a socket.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    with tempfile.TemporaryDirectory() as folder:
        server = uvicorn.Server(await SYSTEMS[given.system](url, Path(folder)))
        from bench.load.meter import Meter

        running = asyncio.create_task(server.serve([sock]))
        print(json.dumps({"url": url, "pid": os.getpid()}), flush=True)
        await Meter().answer()
        server.should_exit = server.force_exit = True
        await running


if __name__ == "__main__":
    asyncio.run(main())
