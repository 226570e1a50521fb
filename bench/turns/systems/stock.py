"""Plain Pipecat, as its Twilio example builds it: a pipeline a call, everything at its default."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any

from fastapi import FastAPI, Request, Response, WebSocket

from bench.turns.systems.door import arguments, serve, twiml
from bench.turns.truth import Desk


async def main() -> None:
    """Load nothing ahead, as the example does, and answer."""
    given = arguments()
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    from loguru import logger

    logger.remove()
    logger.add(sys.stderr, level="ERROR")
    desk = await asyncio.to_thread(Desk.open, given.calls)
    await asyncio.to_thread(_import)
    if given.track == 2:
        await asyncio.to_thread(_load_embedded)
    app = FastAPI(openapi_url=None)

    @app.post("/voice")
    async def voice(request: Request) -> Response:
        form = await request.form()
        host = request.headers["host"]
        return Response(twiml(host, str(form["CallSid"])), media_type="text/xml")

    @app.websocket("/media/{sid}")
    async def media(websocket: WebSocket, sid: str) -> None:
        await websocket.accept()
        await _bot(websocket, desk, given.variant, given.track)

    await serve(app, desk)


def _import() -> None:
    import pipecat.audio.turn.smart_turn.local_smart_turn_v3
    import pipecat.audio.vad.silero
    import pipecat.transports.websocket.fastapi  # noqa: F401

    import bench.turns.pipecat_stubs  # noqa: F401


def _load_embedded() -> None:
    """Load the models, as the host does before it answers."""
    from tipring.providers import Call
    from tipring_stt_moonshine import MoonshineSettings
    from tipring_stt_moonshine.decoder import shared_decoder
    from tipring_tts_hibari import HibariSettings, build

    shared_decoder(MoonshineSettings().threads)
    build(HibariSettings(), Call(id="rehearsal"))


def _ears(desk: Desk, sid: str, track: int) -> Any:
    if track == 2:
        from tipring.providers import Call
        from tipring_stt_moonshine import MoonshineSettings, build

        return build(MoonshineSettings(), Call(id=sid))
    from bench.turns.pipecat_stubs import OracleSTT

    return OracleSTT(desk, sid)


def _mouth(desk: Desk, sid: str, track: int) -> Any:
    if track == 2:
        from tipring.providers import Call
        from tipring_tts_hibari import HibariSettings, build

        return build(HibariSettings(), Call(id=sid))
    from bench.turns.pipecat_stubs import StubTTS

    return StubTTS(desk)


async def _bot(websocket: Any, desk: Desk, variant: str, track: int) -> None:
    from pipecat.audio.vad.silero import SileroVADAnalyzer
    from pipecat.audio.vad.vad_analyzer import VADParams
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
    from pipecat.turns.user_start import (
        TranscriptionUserTurnStartStrategy,
        VADUserTurnStartStrategy,
    )
    from pipecat.turns.user_stop import SpeechTimeoutUserTurnStopStrategy
    from pipecat.turns.user_turn_strategies import UserTurnStrategies
    from pipecat.workers.runner import WorkerRunner

    from bench.turns.pipecat_stubs import StubLLM

    _, told = await parse_telephony_websocket(websocket)
    sid = str(told["call_id"] if isinstance(told, dict) else told.call_id)
    stream = str(told["stream_id"] if isinstance(told, dict) else told.stream_id)
    serializer = TwilioFrameSerializer(
        stream_sid=stream,
        call_sid=sid,
        params=TwilioFrameSerializer.InputParams(auto_hang_up=False),
    )
    transport = FastAPIWebsocketTransport(
        websocket,
        FastAPIWebsocketParams(
            audio_in_enabled=True, audio_out_enabled=True, serializer=serializer
        ),
    )
    if variant == "vad08":
        # VAD alone: 0.8 s from the last voice, of which the voice detector's own stop is 0.2 s.
        strategies = UserTurnStrategies(
            start=[VADUserTurnStartStrategy(), TranscriptionUserTurnStartStrategy()],
            stop=[SpeechTimeoutUserTurnStopStrategy(user_speech_timeout=0.6)],
        )
        user = LLMUserAggregatorParams(
            vad_analyzer=SileroVADAnalyzer(params=VADParams()), user_turn_strategies=strategies
        )
    else:
        user = LLMUserAggregatorParams(vad_analyzer=SileroVADAnalyzer())
    aggregators = LLMContextAggregatorPair(LLMContext(), user_params=user)
    worker = PipelineWorker(
        Pipeline(
            [
                transport.input(),
                _ears(desk, sid, track),
                aggregators.user(),
                StubLLM(desk, sid),
                _mouth(desk, sid, track),
                transport.output(),
                aggregators.assistant(),
            ]
        ),
        params=PipelineParams(audio_in_sample_rate=8000, audio_out_sample_rate=8000),
        enable_rtvi=False,
        enable_turn_tracking=False,
        idle_timeout_secs=None,
    )
    greeting = desk.truth(sid).call.agent[0]

    async def connected(*_: Any) -> None:
        await worker.queue_frame(TTSSpeakFrame(greeting))

    async def disconnected(*_: Any) -> None:
        await worker.cancel()

    transport.add_event_handler("on_client_connected", connected)
    transport.add_event_handler("on_client_disconnected", disconnected)
    runner = WorkerRunner(handle_sigint=False, handle_sigterm=False)
    await runner.add_workers(worker)
    await runner.run()


if __name__ == "__main__":
    asyncio.run(main())
