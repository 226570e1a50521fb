"""Phrases rendered ahead: kept, found again, and spoken when nothing else speaks."""

from __future__ import annotations

import asyncio
import os
import stat
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    DataFrame,
    ErrorFrame,
    Frame,
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    OutputAudioRawFrame,
    TTSSpeakFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMAssistantAggregator
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.settings import TTSSettings
from pipecat.services.tts_service import TTSService
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import TransportParams
from pipecat.workers.runner import WorkerRunner
from pydantic import Field, SecretStr
from tipring.errors import PluginError
from tipring.providers import Call, Settings, Tts, secret
from tipring.speech.phrases import Phrases, cache_folder, first_voice
from tipring.speech.player import PhraseDesk, PhrasePlayer, SpeakPhraseFrame

from tests.emulators.elevenlabs import KEY, VOICE, ElevenLabs, Speech, tone

CALL = Call(id="rehearsal")
GREETING = "Hello, thanks for calling. How can I help?"
APOLOGY = "I'm sorry, I'm having trouble right now."
T = TypeVar("T")


class PlainSettings(Settings):
    api_key: SecretStr = secret("PLAIN_KEY", "A key.")
    voice: str = Field("ana", description="Who.")


@dataclass
class Renderer:
    """A voice that counts what it renders, and may fail."""

    rendered: list[str] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)
    fail: Callable[[str], bytes | None] = lambda text: None

    def __call__(self, settings: PlainSettings, call: Call, text: str) -> bytes:
        self.rendered.append(text)
        self.threads.append(threading.get_ident())
        failed = self.fail(text)
        return tone(text, call.audio_out_rate) if failed is None else failed


def no_service(settings: PlainSettings, call: Call) -> TTSService:
    raise AssertionError("a phrase needs no service")


@dataclass(frozen=True)
class Chosen:
    """A chosen voice, as the host has it."""

    provider: Tts[Any]
    settings: Settings
    dist: str = "plain 1.0"
    where: str = "tts.plain"


def chosen(
    render: Any, *, settings: Settings | None = None, name: str = "plain", dist: str = "plain 1.0"
) -> Chosen:
    provider = Tts(name=name, settings=PlainSettings, build=no_service, render=render)
    return Chosen(provider, settings or PlainSettings(api_key=SecretStr("s3cret")), dist)


def kept(folder: Path) -> list[Path]:
    """What is on disk, the newest first."""
    return sorted(folder.iterdir(), key=lambda path: -path.stat().st_mtime)


# ── kept on disk ────────────────────────────────────────────────────────────────────────────────


async def test_a_phrase_is_rendered_once_and_found_again_by_the_next_process(
    tmp_path: Path,
) -> None:
    voice = Renderer()
    first = Phrases(chosen(voice), call=CALL, folder=tmp_path)
    assert first.get(GREETING) is None
    assert await first.prepare([GREETING, APOLOGY, GREETING, "", "  "]) == []
    assert first.get(GREETING) == tone(GREETING, 8000)
    second = Phrases(chosen(voice), call=CALL, folder=tmp_path)
    assert await second.prepare([GREETING, APOLOGY]) == []
    assert second.get(APOLOGY) == tone(APOLOGY, 8000)
    assert voice.rendered == [GREETING, APOLOGY]


async def test_what_is_on_disk_is_at_hand_without_a_rendering(tmp_path: Path) -> None:
    voice = Renderer()
    await Phrases(chosen(voice), call=CALL, folder=tmp_path).prepare([GREETING])
    phrases = Phrases(chosen(voice), call=CALL, folder=tmp_path)
    await phrases.recall([APOLOGY, GREETING, " "])
    assert phrases.get(GREETING) == tone(GREETING, 8000)
    assert phrases.get(APOLOGY) is None
    assert voice.rendered == [GREETING]


async def test_rendering_is_done_off_the_event_loop(tmp_path: Path) -> None:
    voice = Renderer()
    await Phrases(chosen(voice), call=CALL, folder=tmp_path).prepare([GREETING])
    assert voice.threads != [threading.get_ident()]


async def test_what_is_rendered_is_the_speakable_text(tmp_path: Path) -> None:
    voice = Renderer()
    phrases = Phrases(chosen(voice), call=CALL, folder=tmp_path)
    await phrases.prepare(["Call 555-010-4477."])
    assert voice.rendered == ["Call 5 5 5, 0 1 0, 4 4 7 7."]
    assert phrases.get("Call 555-010-4477.")


ANOTHER = PlainSettings(api_key=SecretStr("s3cret"), voice="ben")


@pytest.mark.parametrize(
    ("changes", "call"),
    [
        ({"settings": ANOTHER}, CALL),
        ({"dist": "plain 1.1"}, CALL),
        ({"name": "other"}, CALL),
        ({}, replace(CALL, language="es")),
        ({}, replace(CALL, audio_out_rate=16000)),
    ],
)
async def test_whatever_changes_the_sound_is_rendered_anew(
    changes: dict[str, Any], call: Call, tmp_path: Path
) -> None:
    voice = Renderer()
    await Phrases(chosen(voice), call=CALL, folder=tmp_path).prepare([GREETING])
    await Phrases(chosen(voice, **changes), call=call, folder=tmp_path).prepare([GREETING])
    assert voice.rendered == [GREETING, GREETING]


async def test_a_new_key_does_not_cost_a_rendering_and_is_not_on_disk(tmp_path: Path) -> None:
    voice = Renderer()
    await Phrases(chosen(voice), call=CALL, folder=tmp_path).prepare([GREETING])
    other = PlainSettings(api_key=SecretStr("another"))
    await Phrases(chosen(voice, settings=other), call=CALL, folder=tmp_path).prepare([GREETING])
    assert voice.rendered == [GREETING]
    assert not any(b"s3cret" in path.read_bytes() for path in kept(tmp_path))


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: raw[:-7],
        lambda raw: raw[:20],
        lambda raw: b"",
        lambda raw: raw + b"\0\0",
        lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]),
        lambda raw: b"RIFF" + raw[4:],
    ],
)
async def test_a_damaged_file_is_noticed_and_rendered_again(
    damage: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    voice = Renderer()
    await Phrases(chosen(voice), call=CALL, folder=tmp_path).prepare([GREETING])
    (path,) = kept(tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    phrases = Phrases(chosen(voice), call=CALL, folder=tmp_path)
    assert await phrases.prepare([GREETING]) == []
    assert phrases.get(GREETING) == tone(GREETING, 8000)
    assert voice.rendered == [GREETING, GREETING]
    await Phrases(chosen(voice), call=CALL, folder=tmp_path).prepare([GREETING])
    assert voice.rendered == [GREETING, GREETING], "and it is whole again"


async def test_files_are_for_their_owner_only_and_none_is_left_half_written(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "phrases"
    await Phrases(chosen(Renderer()), call=CALL, folder=folder).prepare([GREETING])
    (path,) = kept(folder)
    assert path.suffix == ".phrase"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


async def test_the_folder_keeps_to_its_size_and_loses_the_longest_unused(tmp_path: Path) -> None:
    texts = [f"This is phrase {letter}." for letter in "abcd"]
    size = len(tone(texts[0], 8000)) + 100
    for text in texts:
        phrases = Phrases(chosen(Renderer()), call=CALL, folder=tmp_path, most=3 * size)
        await phrases.prepare([text])
        for age, path in enumerate(kept(tmp_path)):
            os.utime(path, (time.time() - 10 * age - 10,) * 2)
    assert len(kept(tmp_path)) == 3
    voice = Renderer()
    await Phrases(chosen(voice), call=CALL, folder=tmp_path, most=3 * size).prepare(texts[1:])
    assert voice.rendered == []


async def test_the_rest_of_a_crash_is_cleared_away(tmp_path: Path) -> None:
    old, fresh = tmp_path / "old.part", tmp_path / "fresh.part"
    for path in (old, fresh):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    await Phrases(chosen(Renderer()), call=CALL, folder=tmp_path).prepare([GREETING])
    assert not old.exists() and fresh.exists()


def test_the_cache_is_where_the_user_wants_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_folder() == Path("/somewhere/tipring/phrases")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/ana")
    assert cache_folder() == Path("/home/ana/.cache/tipring/phrases")


# ── what goes wrong ─────────────────────────────────────────────────────────────────────────────


def failing(text: str) -> bytes:
    raise RuntimeError(f"no luck with s3cret for {len(text)} letters")


async def test_a_failed_rendering_is_a_problem_and_the_others_are_rendered(tmp_path: Path) -> None:
    voice = Renderer(fail=lambda text: failing(text) if text == GREETING else None)
    phrases = Phrases(chosen(voice), call=CALL, folder=tmp_path)
    (problem,) = await phrases.prepare([GREETING, APOLOGY])
    assert problem.where == "tts.plain" and "no luck" in problem.what
    assert "s3cret" not in str(problem)
    assert phrases.get(GREETING) is None and phrases.get(APOLOGY)


async def test_a_rendering_that_hangs_is_a_problem_after_patience(tmp_path: Path) -> None:
    let_go = threading.Event()

    def hang(text: str) -> bytes | None:
        let_go.wait(20)
        return None

    phrases = Phrases(chosen(Renderer(fail=hang)), call=CALL, folder=tmp_path, patience=0.05)
    (problem,) = await phrases.prepare([GREETING])
    let_go.set()
    assert "took longer than 0.05 s" in problem.what


async def test_a_problem_without_a_mend_is_told_with_where_to_look(tmp_path: Path) -> None:
    def refuse(text: str) -> bytes | None:
        raise PluginError("tts.other", "s3cret is refused")

    phrases = Phrases(chosen(Renderer(fail=refuse)), call=CALL, folder=tmp_path)
    (problem,) = await phrases.prepare([GREETING])
    assert problem.where == "tts.plain"
    assert problem.what == "*** is refused"
    assert problem.fix == "tipring check --online"


@pytest.mark.parametrize("wrong", [b"", b"odd"])
async def test_a_rendering_that_is_no_pcm_is_a_problem(wrong: bytes, tmp_path: Path) -> None:
    phrases = Phrases(chosen(Renderer(fail=lambda _: wrong)), call=CALL, folder=tmp_path)
    (problem,) = await phrases.prepare([GREETING])
    assert "gave no PCM16" in problem.what
    assert phrases.get(GREETING) is None


async def test_a_folder_that_cannot_be_written_costs_the_keeping_not_the_phrase(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("in the way")
    phrases = Phrases(chosen(Renderer()), call=CALL, folder=tmp_path / "file" / "phrases")
    (problem,) = await phrases.prepare([GREETING])
    assert "could not be kept" in problem.what and "XDG_CACHE_HOME" in problem.fix
    assert phrases.get(GREETING)


async def test_a_voice_that_cannot_render_ahead_has_no_phrases_and_no_problem(
    tmp_path: Path,
) -> None:
    phrases = Phrases(chosen(None), call=CALL, folder=tmp_path)
    assert await phrases.prepare([GREETING]) == []
    assert phrases.get(GREETING) is None


async def test_an_unreachable_elevenlabs_is_a_problem_told_with_its_mend(tmp_path: Path) -> None:
    phrases = Phrases(elevenlabs("ws://127.0.0.1:1", "http://127.0.0.1:1"), call=CALL)
    (problem,) = await phrases.prepare([GREETING])
    assert isinstance(problem, PluginError)
    assert "could not be reached" in problem.what and "base_url" in problem.fix


# ── which voice ─────────────────────────────────────────────────────────────────────────────────


async def test_a_voice_that_cannot_render_gives_way_to_the_next_and_stands_last(
    tmp_path: Path,
) -> None:
    down = chosen(Renderer(fail=failing), name="down")
    well, spare = chosen(Renderer(), name="well"), chosen(Renderer(), name="spare")
    voices, phrases, problems = await first_voice(
        [down, well, spare], call=CALL, text=GREETING, folder=tmp_path
    )
    assert voices == (well, spare, down)
    assert phrases.get(GREETING)
    assert ["no luck" in problem.what for problem in problems] == [True]


async def test_where_no_voice_can_render_the_preferred_one_stays_first(tmp_path: Path) -> None:
    one, other = (chosen(Renderer(fail=failing), name=name) for name in ("one", "other"))
    voices, phrases, problems = await first_voice(
        [one, other], call=CALL, text=GREETING, folder=tmp_path
    )
    assert voices == (one, other)
    assert phrases.get(GREETING) is None
    assert len(problems) == 2


async def test_a_voice_that_never_renders_ahead_is_taken_at_its_word(tmp_path: Path) -> None:
    silent, other = chosen(None, name="silent"), chosen(Renderer(), name="other")
    voices, _, problems = await first_voice(
        [silent, other], call=CALL, text=GREETING, folder=tmp_path
    )
    assert (voices, problems) == ((silent, other), [])


@pytest.fixture
def hanging() -> Iterator[Renderer]:
    """A voice that renders nothing before the test is over."""
    let_go = threading.Event()

    def hang(text: str) -> bytes | None:
        let_go.wait(30)
        return None

    yield Renderer(fail=hang)
    let_go.set()


async def test_a_voice_that_is_late_gives_way_to_the_next(
    hanging: Renderer, tmp_path: Path
) -> None:
    late, well = chosen(hanging, name="late"), chosen(Renderer(), name="well")
    async with asyncio.timeout(20):
        voices, phrases, problems = await first_voice(
            [late, well], call=CALL, text=GREETING, folder=tmp_path, patience=2.0
        )
    assert voices == (well, late)
    assert phrases.get(GREETING)
    assert ["not rendered within 2 s" in one.what and one.fix for one in problems] == [
        "tipring check --online"
    ]


async def test_nobody_is_late_while_the_machine_is_busy_with_something_else(
    tmp_path: Path,
) -> None:
    loaded, asked, go_on = asyncio.Event(), threading.Event(), threading.Event()

    def once_loaded(text: str) -> bytes | None:
        asked.set()
        assert go_on.wait(30)
        return None

    slow, other = chosen(Renderer(fail=once_loaded)), chosen(Renderer(), name="other")
    choosing = asyncio.create_task(
        first_voice(
            [slow, other],
            call=CALL,
            text=GREETING,
            folder=tmp_path,
            patience=0.0,
            unhurried=loaded,
        )
    )
    assert await asyncio.to_thread(asked.wait, 30)
    assert not choosing.done()
    go_on.set()
    voices, _, problems = await choosing
    assert not loaded.is_set()
    assert (voices, problems) == ((slow, other), [])


async def test_the_only_voice_is_taken_though_it_is_late_and_that_is_no_problem(
    hanging: Renderer, tmp_path: Path
) -> None:
    only = chosen(hanging)
    async with asyncio.timeout(20):
        voices, phrases, problems = await first_voice(
            [only], call=CALL, text=GREETING, folder=tmp_path, patience=0.01
        )
    assert (voices, problems) == ((only,), [])
    assert phrases.get(GREETING) is None


# ── spoken ──────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Last(DataFrame):
    """Goes through the pipeline behind everything else."""


class Line(BaseOutputTransport):
    """A telephone line: takes audio no faster than it is played, and keeps it."""

    def __init__(self, speed: float) -> None:
        super().__init__(TransportParams(audio_out_enabled=True))
        self._speed = speed
        self.played = bytearray()
        self._free = 0.0

    async def setup(self, setup: Any) -> None:
        await super().setup(setup)
        await self.set_transport_ready(None)  # type: ignore[arg-type]

    async def write_audio_frame(self, frame: OutputAudioRawFrame) -> bool:
        self.played += frame.audio
        now = time.monotonic()
        self._free = max(now, self._free) + len(frame.audio) / 2 / frame.sample_rate / self._speed
        await asyncio.sleep(self._free - now)
        return True


class Ear(FrameProcessor):
    """Keeps what comes, and lets a test wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.frames: list[Frame] = []
        self._changed = asyncio.Event()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        self.frames.append(frame)
        self._changed.set()
        await self.push_frame(frame, direction)

    async def until(self, found: Callable[[], T], within: float = 30.0) -> T:
        async with asyncio.timeout(within):
            while not (result := found()):
                self._changed.clear()
                await self._changed.wait()
        return result


class Down(TTSService):
    """A voice that is down."""

    def __init__(self, *, hangs: bool = False) -> None:
        super().__init__(settings=TTSSettings(model=None, voice=None, language=None))
        self.asked: list[str] = []
        self.asked_now = asyncio.Event()
        self._hangs = hangs

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        self.asked.append(text)
        self.asked_now.set()
        if self._hangs:
            await asyncio.Event().wait()
        yield ErrorFrame("down")


@dataclass
class Agent:
    player: PhrasePlayer
    line: Line
    ear: Ear
    context: LLMContext
    worker: PipelineWorker

    async def queue(self, *frames: Frame) -> None:
        await self.worker.queue_frames(list(frames))

    async def finished(self) -> None:
        last = Last()
        await self.worker.queue_frame(last)
        await self.ear.until(lambda: last in self.ear.frames)

    async def played(self) -> None:
        await self.ear.until(lambda: self.heard(BotStoppedSpeakingFrame))

    def heard(self, kind: type[Frame]) -> bool:
        return any(isinstance(frame, kind) for frame in self.ear.frames)

    @property
    def remembers(self) -> list[str]:
        return [str(m["content"]) for m in self.context.get_messages()]  # type: ignore[index]


@asynccontextmanager
async def agent(service: TTSService, phrases: Phrases, speed: float = 10.0) -> AsyncIterator[Agent]:
    player, line, ear, context = PhrasePlayer(phrases), Line(speed), Ear(), LLMContext()
    worker = PipelineWorker(
        Pipeline(
            [PhraseDesk(phrases), service, player, line, LLMAssistantAggregator(context), ear]
        ),
        enable_rtvi=False,
        idle_timeout_secs=None,
        params=PipelineParams(audio_out_sample_rate=8000),
    )
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    running = asyncio.create_task(runner.run())
    try:
        yield Agent(player, line, ear, context, worker)
    finally:
        await runner.cancel()
        await running


@pytest.fixture
async def phrases(tmp_path: Path) -> Phrases:
    made = Phrases(chosen(Renderer()), call=CALL, folder=tmp_path)
    await made.prepare([GREETING, APOLOGY])
    return made


@pytest.mark.parametrize("frame", [SpeakPhraseFrame(GREETING), TTSSpeakFrame(GREETING)])
async def test_a_phrase_is_heard_and_remembered_while_the_voice_is_down(
    frame: Frame, phrases: Phrases
) -> None:
    service = Down()
    async with agent(service, phrases) as one:
        await one.queue(frame)
        await one.played()
        await one.finished()
        audio = tone(GREETING, 8000)
        assert bytes(one.line.played[: len(audio)]) == audio
        assert not any(one.line.played[len(audio) :]), "only the silence that fills the last chunk"
        assert one.remembers == [GREETING]
        assert service.asked == []


async def test_what_was_not_rendered_is_left_to_the_voice(phrases: Phrases) -> None:
    service = Down()
    async with agent(service, phrases) as one:
        await one.queue(SpeakPhraseFrame("Something else."))
        await one.finished()
        assert service.asked == ["Something else."]
        assert not one.line.played


async def test_a_phrase_gets_past_a_voice_that_is_stuck(phrases: Phrases) -> None:
    service = Down(hangs=True)
    async with agent(service, phrases) as one:
        await one.queue(
            LLMFullResponseStartFrame(), LLMTextFrame("Well. So. "), LLMFullResponseEndFrame()
        )
        await service.asked_now.wait()
        assert await one.player.speak(APOLOGY)
        await one.played()
        await one.ear.until(lambda: one.remembers)
        assert one.remembers == [APOLOGY]
        assert not await one.player.speak("Something else.")


async def test_an_interruption_stops_a_phrase_and_keeps_the_words_before_it(
    phrases: Phrases,
) -> None:
    async with agent(Down(), phrases) as one:
        await one.queue(SpeakPhraseFrame(GREETING))
        await one.ear.until(lambda: one.heard(BotStartedSpeakingFrame))
        await one.queue(InterruptionFrame())
        await one.played()
        await one.finished()
        audio = tone(GREETING, 8000)
        assert 0 < len(one.line.played) < len(audio) / 2
        heard = one.remembers[0] if one.remembers else ""
        assert GREETING.startswith(heard) and heard != GREETING


async def test_a_phrase_that_is_not_to_be_remembered_is_not(phrases: Phrases) -> None:
    async with agent(Down(), phrases) as one:
        await one.queue(SpeakPhraseFrame(GREETING, append_to_context=False))
        await one.played()
        await one.finished()
        assert one.line.played and one.remembers == []


def elevenlabs(url: str, base_url: str) -> Chosen:
    from tipring_tts_elevenlabs import ElevenLabsSettings, register_tts

    (provider,) = register_tts()
    settings = ElevenLabsSettings(
        api_key=SecretStr(KEY), voice=VOICE, url=url, base_url=base_url, patience=5.0
    )
    return Chosen(provider, settings, "tipring-tts-elevenlabs 0.1.0", "tts.elevenlabs")


async def test_the_apology_is_heard_while_elevenlabs_says_nothing(tmp_path: Path) -> None:
    async with ElevenLabs(Speech(silent=True)) as emulator:
        voice = elevenlabs(emulator.url, emulator.base_url)
        made = Phrases(voice, call=CALL, folder=tmp_path)
        assert await made.prepare([APOLOGY]) == []
        service = voice.provider.build(voice.settings, CALL)
        async with agent(service, made) as one:
            await one.queue(
                LLMFullResponseStartFrame(),
                LLMTextFrame("We are open. "),
                LLMFullResponseEndFrame(),
            )
            await emulator.until_said("close_context")
            assert await one.player.speak(APOLOGY)
            await one.played()
            assert bytes(one.line.played).startswith(tone(APOLOGY, 8000))
            await one.ear.until(lambda: one.remembers)
            assert one.remembers == [APOLOGY]


async def test_a_phrase_waits_for_what_the_voice_is_still_saying(tmp_path: Path) -> None:
    async with ElevenLabs() as emulator:
        voice = elevenlabs(emulator.url, emulator.base_url)
        made = Phrases(voice, call=CALL, folder=tmp_path)
        await made.prepare([APOLOGY])
        service = voice.provider.build(voice.settings, CALL)
        async with agent(service, made, speed=1.0) as one:
            await one.queue(TTSSpeakFrame("We are open."), SpeakPhraseFrame(APOLOGY))
            await one.finished()
            first = tone("We are open. ", 8000)
            await one.ear.until(lambda: len(one.remembers) == 2)
            assert bytes(one.line.played).startswith(first)
            assert one.remembers == ["We are open.", APOLOGY]
