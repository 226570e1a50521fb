"""The oracle: it knows what is true, and pays only what the stubs cost."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import time
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request, Response, WebSocket, WebSocketDisconnect

from bench.turns.calls import RATE, Samples
from bench.turns.systems.door import arguments, serve, twiml
from bench.turns.truth import FIRST_AUDIO, FIRST_TOKEN, TOKEN, Desk, Truth, sentences

YIELD = 0.2
"""Seconds after which it stops for a barge-in: what a person takes."""


async def main() -> None:
    """Answer."""
    given = arguments()

    desk = await asyncio.to_thread(Desk.open, given.calls)
    app = FastAPI(openapi_url=None)

    @app.post("/voice")
    async def voice(request: Request) -> Response:
        form = await request.form()
        return Response(twiml(request.headers["host"], str(form["CallSid"])), media_type="text/xml")

    @app.websocket("/media/{sid}")
    async def media(websocket: WebSocket, sid: str) -> None:
        await websocket.accept()
        line = _Line(websocket, desk, sid)
        acting = asyncio.create_task(line.act())
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            while True:
                line.told(json.loads(await websocket.receive_text()))
        acting.cancel()
        with contextlib.suppress(asyncio.CancelledError, WebSocketDisconnect, RuntimeError):
            await acting

    await serve(app, desk)


@dataclass
class _Line:
    websocket: Any
    desk: Desk
    sid: str
    stream: str = ""
    speaking: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        self.started = asyncio.Event()

    @property
    def truth(self) -> Truth:
        return self.desk.truth(self.sid)

    def told(self, message: dict[str, Any]) -> None:
        if message["event"] == "start":
            self.stream = message["streamSid"]
            self.started.set()

    async def act(self) -> None:
        await self.started.wait()
        call = self.truth.call
        self.speaking = asyncio.create_task(self.speak(call.agent[0]))
        pending: list[tuple[float, str]] = []
        seen: set[tuple[str, int]] = set()
        clips = self.truth.clips_told()
        arriving: asyncio.Task[Any] = asyncio.ensure_future(anext(clips))
        while True:
            for number, event in enumerate(call.floor):
                for what, there in (("stop", event.begin), ("answer", event.end)):
                    at = self.truth.when(there)
                    if at is not None and (what, number) not in seen:
                        seen.add((what, number))
                        pending.append((at + (YIELD if what == "stop" else 0.0), what))
            pending.sort()
            wait = max(0.0, pending[0][0] - time.monotonic()) if pending else None
            done, _ = await asyncio.wait({arriving}, timeout=wait)
            if done:
                arriving = asyncio.ensure_future(anext(clips))
                continue
            _, what = pending.pop(0)
            if self.speaking is not None:
                self.speaking.cancel()
                await self.send({"event": "clear"})
                self.speaking = None
            if what == "answer":
                self.speaking = asyncio.create_task(self.answer())

    async def answer(self) -> None:
        asked = self.desk.asked(self.sid)
        reply = asked.truth.reply()
        said = sentences(reply)
        first = len(said[0].split())
        await asyncio.sleep(FIRST_TOKEN + TOKEN * (first - 1))
        self.desk.tell(
            used=asked.truth.call.id,
            tokens=len(reply.split()),
            whole=True,
            heard=" ".join(e.text for e in asked.truth.call.floor[: asked.truth.turns_begun()]),
        )
        await self.speak(reply)

    async def speak(self, text: str) -> None:
        await asyncio.sleep(FIRST_AUDIO)
        for sentence in sentences(text):
            await self.play(self.desk.voice.say(sentence))

    async def play(self, samples: Samples) -> None:
        from tipring.phone import mulaw

        began = time.monotonic()
        for at in range(0, len(samples), 320):
            piece = mulaw.encode(samples[at : at + 320])
            payload = base64.b64encode(piece).decode()
            await self.send({"event": "media", "media": {"payload": payload}})
            await asyncio.sleep(max(0.0, began + (at + 320) / RATE - 0.04 - time.monotonic()))

    async def send(self, message: dict[str, Any]) -> None:
        await self.websocket.send_text(json.dumps({"streamSid": self.stream, **message}))


if __name__ == "__main__":
    asyncio.run(main())
