"""livekit-agents with everything at its default, behind the same phone socket as the others.

No LiveKit server is in it: the session's audio comes from the phone's stream and goes back to it.
Its turn detector runs inside its own library, as its licence wants.
"""

# livekit-agents is in the bench group only, so that where types are checked it may be missing.
# mypy: disable-error-code="import-not-found,misc"

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import socket
import sys
import time
import uuid
from collections import deque
from typing import Any

import numpy as np
from aiohttp import WSMsgType, web
from livekit import rtc
from livekit.agents import Agent, AgentSession, llm, stt, tts, utils
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS
from livekit.agents.voice import io
from tipring.phone import mulaw

from bench.turns.calls import RATE
from bench.turns.systems.door import arguments, twiml
from bench.turns.truth import FIRST_AUDIO, Desk, Truth, watched

AHEAD = 0.04
"""Seconds of audio that are given to the phone ahead of their time."""


class OracleSTT(stt.STT):
    """Tells the caller's words as :mod:`bench.turns.truth` has them."""

    def __init__(self, truth: Truth) -> None:
        super().__init__(
            capabilities=stt.STTCapabilities(
                streaming=True, interim_results=True, offline_recognize=False
            )
        )
        self.truth = truth

    async def _recognize_impl(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    def stream(self, *, conn_options: Any = DEFAULT_API_CONNECT_OPTIONS, **_: Any) -> Any:
        """Listen to a call."""
        return _OracleStream(stt=self, conn_options=conn_options)


class _OracleStream(stt.RecognizeStream):
    async def _run(self) -> None:
        async def drain() -> None:
            async for _ in self._input_ch:
                pass

        draining = asyncio.create_task(drain())
        truth: Truth = self._stt.truth
        kinds = stt.SpeechEventType
        try:
            async for one in truth.transcripts():
                data = stt.SpeechData(language="en", text=one.text, confidence=1.0)
                kind = kinds.FINAL_TRANSCRIPT if one.final else kinds.INTERIM_TRANSCRIPT
                self._event_ch.send_nowait(stt.SpeechEvent(type=kind, alternatives=[data]))
        finally:
            draining.cancel()


class Lines(llm.LLM):
    """Says the call's lines."""

    def __init__(self, desk: Desk, sid: str) -> None:
        super().__init__()
        self.desk, self.sid = desk, sid

    def chat(self, *, chat_ctx: Any, tools: Any = None, conn_options: Any = None, **_: Any) -> Any:
        """Answer."""
        return _LinesStream(
            self,
            chat_ctx=chat_ctx,
            tools=tools or [],
            conn_options=conn_options or DEFAULT_API_CONNECT_OPTIONS,
        )


class _LinesStream(llm.LLMStream):
    async def _run(self) -> None:
        lines: Lines = self._llm
        asked = lines.desk.asked(lines.sid)
        said: list[str] = []
        for item in reversed(self._chat_ctx.items):
            if getattr(item, "role", None) != "user":
                break
            said.insert(0, item.text_content or "")
        asked.heard = " ".join(said)
        id = uuid.uuid4().hex
        async for token in asked.tokens_of(asked.truth.reply()):
            delta = llm.ChoiceDelta(role="assistant", content=token)
            self._event_ch.send_nowait(llm.ChatChunk(id=id, delta=delta))


class Rendered(tts.TTS):
    """Speaks sentences that were rendered before the run."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(
            capabilities=tts.TTSCapabilities(streaming=False), sample_rate=RATE, num_channels=1
        )
        self.desk = desk

    def synthesize(self, text: str, *, conn_options: Any = DEFAULT_API_CONNECT_OPTIONS) -> Any:
        """Speak a sentence."""
        return _RenderedStream(tts=self, input_text=text, conn_options=conn_options)


class _RenderedStream(tts.ChunkedStream):
    async def _run(self, output_emitter: Any) -> None:
        await asyncio.sleep(FIRST_AUDIO)
        output_emitter.initialize(
            request_id=utils.shortuuid(),
            sample_rate=RATE,
            num_channels=1,
            mime_type="audio/pcm",
            frame_size_ms=40,
        )
        rendered: Rendered = self._tts
        output_emitter.push(rendered.desk.voice.say(self._input_text).tobytes())
        output_emitter.flush()


class FromPhone(io.AudioInput):
    """The caller, at 16 kHz."""

    def __init__(self) -> None:
        super().__init__(label="phone")
        self.frames: asyncio.Queue[rtc.AudioFrame | None] = asyncio.Queue()
        self._up = rtc.AudioResampler(RATE, 16000)

    def push(self, payload: bytes) -> None:
        """A media message came."""
        samples = mulaw.decode(payload)
        frame = rtc.AudioFrame(samples.tobytes(), RATE, 1, len(samples))
        for one in self._up.push(frame):
            self.frames.put_nowait(one)

    async def __anext__(self) -> rtc.AudioFrame:
        frame = await self.frames.get()
        if frame is None:
            raise StopAsyncIteration
        return frame


class ToPhone(io.AudioOutput):
    """The agent, paced in real time, so that a pause is heard as one."""

    def __init__(self, ws: web.WebSocketResponse, stream: str) -> None:
        super().__init__(
            label="phone",
            capabilities=io.AudioOutputCapabilities(pause=True),
            sample_rate=RATE,
        )
        self._ws, self._stream = ws, stream
        self._queue: deque[bytes | None] = deque()
        self._news = asyncio.Event()
        self._going = asyncio.Event()
        self._going.set()
        self._open = False
        self._position = 0.0
        self._clock = 0.0

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        """Queue some audio."""
        await super().capture_frame(frame)
        self._open = True
        self._queue.append(bytes(frame.data))
        self._news.set()

    def flush(self) -> None:
        """That was all of a segment."""
        super().flush()
        if self._open:
            self._open = False
            self._queue.append(None)
            self._news.set()

    def clear_buffer(self) -> None:
        """Drop what was not played."""
        pending = self._open or bool(self._queue) or self._position > 0
        self._queue.clear()
        self._open = False
        asyncio.ensure_future(self._send({"event": "clear"}))  # noqa: RUF006
        if pending:
            position, self._position, self._clock = self._position, 0.0, 0.0
            self.on_playback_finished(playback_position=position, interrupted=True)

    def pause(self) -> None:
        """Stop for now."""
        super().pause()
        self._going.clear()

    def resume(self) -> None:
        """Go on."""
        super().resume()
        self._clock = 0.0
        self._going.set()

    async def play(self) -> None:
        """Run until cancelled."""
        while True:
            while not self._queue:
                self._news.clear()
                await self._news.wait()
            await self._going.wait()
            if not self._queue:
                continue
            piece = self._queue.popleft()
            now = time.monotonic()
            if piece is None:
                await asyncio.sleep(max(0.0, self._clock - now))
                position, self._position, self._clock = self._position, 0.0, 0.0
                if position:
                    self.on_playback_finished(playback_position=position, interrupted=False)
                continue
            if self._position == 0.0:
                self.on_playback_started(created_at=time.time())
            samples = np.frombuffer(piece, dtype=np.int16)
            payload = base64.b64encode(mulaw.encode(samples)).decode()
            self._clock = max(self._clock, now) + len(samples) / RATE
            self._position += len(samples) / RATE
            await self._send({"event": "media", "media": {"payload": payload}})
            await asyncio.sleep(max(0.0, self._clock - AHEAD - time.monotonic()))

    async def _send(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(ConnectionError, RuntimeError):
            await self._ws.send_str(json.dumps({"streamSid": self._stream, **message}))


async def _hold(ws: web.WebSocketResponse, desk: Desk, sid: str) -> None:
    source = FromPhone()
    session: AgentSession[None] | None = None
    playing: asyncio.Task[None] | None = None
    try:
        async for message in ws:
            if message.type != WSMsgType.TEXT:
                break
            told = json.loads(message.data)
            if told["event"] == "start":
                sink = ToPhone(ws, told["streamSid"])
                playing = asyncio.create_task(sink.play())
                truth = desk.truth(sid)
                session = AgentSession(
                    stt=OracleSTT(truth), llm=Lines(desk, sid), tts=Rendered(desk)
                )
                session.input.audio = source
                session.output.audio = sink
                await session.start(Agent(instructions="You answer the phone."), record=False)
                session.say(truth.call.agent[0])
            elif told["event"] == "media":
                source.push(base64.b64decode(told["media"]["payload"]))
            elif told["event"] == "stop":
                break
    finally:
        source.frames.put_nowait(None)
        if session is not None:
            await session.aclose()
        if playing is not None:
            playing.cancel()


async def main() -> None:
    """Answer."""
    given = arguments()
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    desk = await asyncio.to_thread(Desk.open, given.calls)

    async def voice(request: web.Request) -> web.Response:
        form = await request.post()
        sid = str(form["CallSid"])
        desk.answer(sid, str(form["BenchCall"]))
        return web.Response(text=twiml(request.host, sid), content_type="text/xml")

    async def media(request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(compress=False)
        await ws.prepare(request)
        await _hold(ws, desk, request.match_info["sid"])
        await ws.close()
        return ws

    app = web.Application()
    app.add_routes([web.post("/voice", voice), web.get("/media/{sid}", media)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    sock = socket.create_server(("127.0.0.1", 0))
    await web.SockSite(runner, sock, shutdown_timeout=1).start()
    async with utils.http_context.open(), watched(desk):
        desk.tell(ready=f"http://127.0.0.1:{sock.getsockname()[1]}")
        await desk.listen()
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
