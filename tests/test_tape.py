"""The record of a call: its files, its sound, its turns, and that it never hurts the call."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import re
import stat
import subprocess
import sys
import tracemalloc
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tipring.journal import Event, Journal
from tipring.tape import Tape, conversation
from tipring.tape.conversation import Conversation, as_json
from tipring.tape.figures import percentile
from tipring.tape.sound import RATE, Track, envelope, voices
from tipring.tape.turns import tell

from tests.a_call import Clock, Line, play, sound, spans

ROOT = Path(__file__).resolve().parent.parent


async def record(folder: Path, call_id: str = "CA5ad0c3b17e") -> Path:
    """The call of six turns, recorded."""
    clock = Clock()
    journal = Journal(clock=clock)
    tape = Tape(folder, journal, call_id=call_id)
    play(journal, clock)
    sound(tape)
    made = await tape.close()
    assert made is not None
    return made


def told(*lines: Line) -> Conversation:
    return tell(Event(at=at, name=name, detail=detail) for at, name, detail in lines)


def tone(seconds: float, value: int = 9000) -> bytes:
    return np.full(round(seconds * RATE), value, "<i2").tobytes()


# The files


async def test_a_call_leaves_its_three_files_and_nothing_else(tmp_path: Path) -> None:
    made = await record(tmp_path / "calls")
    assert made.parent == tmp_path / "calls"
    assert re.fullmatch(r"\d{8}T\d{6}Z-CA5ad0c3b17e", made.name)
    assert sorted(file.name for file in made.iterdir()) == [
        "call.json",
        "call.wav",
        "timeline.html",
    ]


async def test_nobody_else_can_read_a_record(tmp_path: Path) -> None:
    made = await record(tmp_path / "calls")
    assert stat.S_IMODE((tmp_path / "calls").stat().st_mode) == 0o700
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in made.iterdir()} == {0o600}


@pytest.mark.parametrize(
    "call_id", ["+15550100199", "call-1555-010-0199", "1 (555) 010-0199", "to_15550100199"]
)
async def test_a_phone_number_never_reaches_a_file_name(tmp_path: Path, call_id: str) -> None:
    made = await record(tmp_path, call_id)
    digits = re.sub(r"\D", "", made.name.split("Z-", 1)[1])
    assert "0100199" not in digits
    assert "5550" not in digits


@pytest.mark.parametrize("call_id", ["../../etc/passwd", "a/b", "", "\0", "é" * 500])
async def test_a_call_id_cannot_leave_the_folder(tmp_path: Path, call_id: str) -> None:
    made = await record(tmp_path / "calls", call_id)
    assert made.parent == tmp_path / "calls"


async def test_two_calls_of_one_second_and_one_id_do_not_share_a_folder(tmp_path: Path) -> None:
    made = {await record(tmp_path) for _ in range(3)}
    assert len(made) == 3


async def test_the_record_holds_every_event_of_the_call(tmp_path: Path) -> None:
    clock = Clock()
    journal = Journal(clock=clock)
    journal.note("call.began", stt="moonshine")  # before there is a tape
    tape = Tape(tmp_path, journal, call_id="CA1")
    clock.time = 1.0
    journal.note("key", digit="1", odd=Path("a"), worse=math.nan)
    made = await tape.close()
    assert made is not None
    events = json.loads((made / "call.json").read_text())["events"]
    assert events[0]["name"] == "call.began"
    assert events[1] == {
        "at": 1.0,
        "name": "key",
        "detail": {"digit": "1", "odd": "a", "worse": None},
    }


async def test_closing_twice_writes_once_and_nothing_is_taken_afterwards(tmp_path: Path) -> None:
    journal = Journal()
    tape = Tape(tmp_path, journal, call_id="CA1")
    tape.caller(tone(0.1), 0.0)
    first = await tape.close()
    tape.caller(tone(5.0), 0.2)
    journal.note("clear")
    assert await tape.close() == first
    assert first is not None
    assert len(voices(first / "call.wav")[0]) == 800


# The sound


async def test_both_voices_lie_where_they_were_heard(tmp_path: Path) -> None:
    made = await record(tmp_path)
    with wave.open(str(made / "call.wav")) as wav:
        shape = wav.getnchannels(), wav.getsampwidth(), wav.getframerate()
        assert shape == (2, 2, 8000)
        assert wav.getnframes() == round(54.6 * RATE)
        both = np.frombuffer(wav.readframes(wav.getnframes()), "<i2").reshape(-1, 2)
    sides = (
        (0, spans("speech.started", "speech.stopped")),
        (1, spans("agent.started", "agent.stopped")),
    )
    for side, stretches in sides:
        heard = np.zeros(len(both), bool)
        for begin, end in stretches:
            # The caller's pieces came with up to 30 ms of jitter, and the first of them counts.
            here = slice(round((begin + 0.05) * RATE), round((end - 0.05) * RATE))
            assert np.abs(both[here, side].astype(int)).mean() > 1000
            heard[round((begin - 0.05) * RATE) : round((end + 0.05) * RATE)] = True
        assert not both[~heard, side].any()


async def test_a_clear_takes_back_what_was_not_played(tmp_path: Path) -> None:
    clock = Clock()
    journal = Journal(clock=clock)
    tape = Tape(tmp_path, journal, call_id="CA1")
    for number in range(5):
        clock.time = number * 0.04
        tape.agent(tone(0.04), clock.time)
    journal.note("clear", ago=0.01)  # at 0.15 s
    clock.time = 0.5
    tape.agent(tone(0.04, 500), 0.5)
    made = await tape.close()
    assert made is not None
    _, agent = voices(made / "call.wav")
    assert (agent[: round(0.15 * RATE)] == 9000).all()
    assert not agent[round(0.15 * RATE) : round(0.5 * RATE)].any()
    assert (agent[round(0.5 * RATE) :] == 500).all()


@pytest.mark.parametrize(
    ("name", "patience", "arrivals", "places"),
    [
        ("on time", 0.3, [0.0, 0.02, 0.04], [0.0, 0.02, 0.04]),
        ("jitter closes up", 0.3, [0.0, 0.035, 0.041, 0.079], [0.0, 0.02, 0.04, 0.06]),
        ("two chunks back to back", 0.0, [1.0, 1.001, 1.02], [1.0, 1.02, 1.04]),
        ("a pause of the agent's", 0.0, [0.0, 2.0, 2.02], [0.0, 2.0, 2.02]),
        ("the first piece is late", 0.3, [3.0, 3.02], [3.0, 3.02]),
        (
            "a stalled line delivers all at once",
            0.3,
            [0.0, 0.14, 0.14, 0.14, 0.14, 0.14, 0.14, 0.14],
            [0.0, 0.02, 0.04, 0.06, 0.08, 0.10, 0.12, 0.14],
        ),
        (
            "a line that lost something",
            0.3,
            [0.0, 1.0, 1.2, 1.31, 1.33],
            [0.0, 0.02, 0.04, 1.31, 1.33],
        ),
    ],
)
def test_a_piece_of_sound_gets_its_place(
    name: str, patience: float, arrivals: list[float], places: list[float]
) -> None:
    track = Track(patience=patience)
    assert [track.place(at, 160) / RATE for at in arrivals] == pytest.approx(places)


def test_a_voice_that_runs_ahead_is_put_back_on_the_clock() -> None:
    track = Track()
    places = [track.place(1.0, 800) / RATE for _ in range(5)]
    assert places == pytest.approx([1.0, 1.1, 1.2, 1.0, 1.1])


async def test_a_quarter_of_an_hour_stays_out_of_memory(tmp_path: Path) -> None:
    clock = Clock()
    tape = Tape(tmp_path, Journal(clock=clock), call_id="CA1")
    piece = tone(0.1)
    tracemalloc.start()
    try:
        for number in range(9000):
            clock.time = number / 10
            tape.caller(piece, clock.time)
            tape.agent(piece, clock.time)
            if number % 5 == 0:  # A phone sends 50 pieces a second; the loop has time for others.
                await tape.written()
        _, recording = tracemalloc.get_traced_memory()
        made = await tape.close()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert made is not None
    assert (made / "call.wav").stat().st_size == 44 + 900 * RATE * 4  # 29 MB
    assert recording < 2_000_000
    assert peak < 16_000_000


def test_an_envelope_is_the_loudest_of_each_stretch_across_the_minutes() -> None:
    samples = np.zeros(130 * RATE, np.int16)
    samples[7], samples[61 * RATE], samples[-1] = -32768, 16384, 8192
    peaks = envelope(samples, 80)
    assert len(peaks) == 13_000
    assert np.flatnonzero(peaks).tolist() == [0, 6100, 12_999]
    assert peaks[[0, 6100, 12_999]].tolist() == [1.0, 0.5, 0.25]


@pytest.mark.parametrize("content", [b"", b"RIFF", b"not sound at all"])
def test_a_file_that_is_no_recording_is_told_as_such(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "call.wav").write_bytes(content)
    with pytest.raises(ValueError, match=r"call\.wav"):
        voices(tmp_path / "call.wav")


# The disk


async def test_a_folder_that_cannot_be_made_costs_the_record_and_not_the_call(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "calls").write_text("a file, where a folder is wanted")
    clock = Clock()
    journal = Journal(clock=clock)
    tape = Tape(tmp_path / "calls", journal, call_id="CA1")
    with caplog.at_level(logging.WARNING):
        for number in range(100):
            clock.time = number / 10
            tape.caller(tone(0.1), clock.time)
            tape.agent(tone(0.1), clock.time)
            await tape.written()
        journal.note("clear")
        assert await tape.close() is None
    problems = [event for event in journal.events if event.name == "problem"]
    assert [event.detail["where"] for event in problems] == ["record"]
    assert len(caplog.records) == 1
    assert str(tmp_path) not in caplog.text


FULL = """
import asyncio, json, resource, sys
from pathlib import Path
from tipring.journal import Journal
from tipring.tape import Tape

async def main():
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, resource.RLIM_INFINITY))
    clock = [0.0]
    journal = Journal(clock=lambda: clock[0])
    tape = Tape(Path(sys.argv[1]), journal, call_id="CA1")
    for number in range(100):
        clock[0] = number / 10
        tape.caller(bytes(range(1, 161)) * 10, clock[0])
        await tape.written()
    journal.note("call.ended", reason="caller hung up")
    folder = await tape.close()
    problems = [dict(e.detail) for e in journal.events if e.name == "problem"]
    print(json.dumps({"problems": problems, "files": sorted(p.name for p in folder.iterdir())}))

asyncio.run(main())
"""


def test_a_full_disk_costs_the_sound_and_the_text_is_kept(tmp_path: Path) -> None:
    # A limit on the size of a file fails a write as a full disk does, in a process of its own.
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", FULL, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    shown = json.loads(run.stdout)
    assert [problem["where"] for problem in shown["problems"]] == ["record"]
    assert shown["files"] == ["call.json", "timeline.html"]  # no half of a call.wav
    assert run.stderr.count("incomplete") == 1
    (text,) = tmp_path.glob("*/call.json")
    assert json.loads(text.read_text())["problems"][0]["where"] == "record"


async def test_a_disk_that_does_not_keep_up_costs_sound_and_no_memory(tmp_path: Path) -> None:
    clock = Clock()
    journal = Journal(clock=clock)
    tape = Tape(tmp_path, journal, call_id="CA1")
    for number in range(400):  # 6.4 MB, and the loop gets no moment to write any of it
        clock.time = float(number)
        tape.caller(tone(1.0), clock.time)
    problems = [event.detail["what"] for event in journal.events if event.name == "problem"]
    assert problems == ["the disk does not keep up; audio was left out of the record"]
    made = await tape.close()
    assert made is not None
    assert len(voices(made / "call.wav")[0]) == 250 * RATE


@pytest.mark.parametrize("at", [math.nan, math.inf, -math.inf, 1e9, -1e9])
async def test_sound_from_an_impossible_time_is_left_out(tmp_path: Path, at: float) -> None:
    journal = Journal(clock=Clock())
    tape = Tape(tmp_path, journal, call_id="CA1")
    tape.agent(tone(0.1), at)
    tape.agent(tone(0.1), 0.0)
    made = await tape.close()
    assert made is not None
    assert len(voices(made / "call.wav")[1]) == 800
    assert [event.name for event in journal.events] == ["problem"]


# The turns


async def test_the_turns_of_the_call_are_told_as_they_were(tmp_path: Path) -> None:
    made = await record(tmp_path)
    call = json.loads((made / "call.json").read_text())
    columns = (
        "began ended committed by llm_asked first_token first_audio playback_ended interrupted "
        "decision latency"
    ).split()
    assert [[turn[column] for column in columns] for turn in call["turns"]] == [
        [4.2, 8.4, 8.66, "smart", 8.64, 8.86, 9.2, 13.0, False, 0.26, 0.8],
        [13.5, 14.7, 14.93, "smart", 14.94, 15.1, 15.43, 17.33, True, 0.23, 0.73],
        [16.9, 18.5, 18.73, "smart", 18.74, 18.95, 19.3, 22.4, False, 0.23, 0.8],
        [30.4, 32.0, 32.21, "smart", 32.22, 32.75, 33.2, 36.1, False, 0.21, 1.2],
        [36.9, 42.9, 43.13, "smart", 43.14, 43.3, 43.8, 49.25, False, 0.23, 0.9],
        [50.1, 52.0, 52.21, "smart", 52.22, 52.4, 52.7, 54.3, False, 0.21, 0.7],
    ]
    first, fifth = call["turns"][0], call["turns"][4]
    assert first["holds"] == [
        {"why": "trailing word", "from": 5.86, "until": 6.36, "planned": 7.66}
    ]
    assert [(one["at"], one["why"], one["wasted"]) for one in first["withdrawn"]] == [
        (6.37, "the caller went on", 0.5)
    ]
    assert [(hold["from"], hold["until"]) for hold in fifth["holds"]] == [
        (38.31, 39.31),
        (40.51, 41.72),
    ]
    assert fifth["resumed"] == [39.31, 41.72]
    assert [proposal["epoch"] for proposal in fifth["proposals"]] == [6, 7, 8]


async def test_what_happened_besides_the_turns_is_told(tmp_path: Path) -> None:
    made = await record(tmp_path)
    call = json.loads((made / "call.json").read_text())
    assert call["version"] == 1
    assert call["end_reason"] == "agent hung up"
    assert call["duration"] == 54.6
    assert call["providers"]["turn"] == "smart, vad"
    assert call["backchannels"] == [{"at": 11.1, "text": "mhm"}]
    assert call["asides"] == [{"at": 12.1, "text": "Put it there."}]
    assert call["echoes"] == [{"at": 9.9, "text": "Of course."}]
    assert call["interruptions"] == [
        {"at": 17.301, "text": "actually wednesday", "cleared": 17.304}
    ]
    assert call["nudges"] == [{"at": 28.4, "count": 1}]
    assert call["keys"] == [{"at": 49.6, "digit": "5"}]
    assert call["tools"] == [{"name": "book", "from": 43.35, "until": 43.41}]
    assert [problem["where"] for problem in call["problems"]] == ["llm.claude"]
    assert [(said["answers"], said["nudge"]) for said in call["agent"]] == [
        (None, False),
        (1, False),
        (2, False),
        (3, False),
        (None, True),
        (4, False),
        (5, False),
        (6, False),
    ]
    assert call["agent"][0]["text"] == "Elm Street Dental, good morning. How can I help?"
    assert call["summary"] == {
        "turns": 6,
        "answered": 6,
        "latency_p50": 0.8,
        "latency_p95": 1.2,
        "decision_p50": 0.23,
        "decision_p95": 0.26,
        "cut_ins": 0,
        "interruptions": 1,
        "backchannels": 1,
        "nudges": 1,
        "problems": 1,
    }


HELLO: tuple[Line, ...] = (
    (1.0, "speech.started", {}),
    (1.1, "turn.started", {"by": "vad"}),
    (2.0, "speech.stopped", {}),
)
COMMIT: Line = (2.5, "turn.committed", {"by": "smart", "why": "complete", "text": "Hello."})
ANSWER: tuple[Line, ...] = (
    (2.6, "llm.started", {}),
    (3.0, "agent.started", {}),
    (4.0, "agent.stopped", {}),
)


@pytest.mark.parametrize(
    ("story", "lines", "expected"),
    [
        ("a plain turn", (*HELLO, COMMIT, *ANSWER), {"latency": 1.0, "decision": 0.5}),
        (
            "a commit that nobody announced",
            (COMMIT,),
            {"began": 2.5, "text": "Hello.", "ended": None, "decision": None},
        ),
        (
            "a turn without a voice detector has no end to measure from",
            ((1.1, "turn.started", {"by": "flux"}), COMMIT, *ANSWER),
            {"began": 1.1, "ended": None, "latency": None, "first_audio": 3.0},
        ),
        (
            "the end of speech may be noted after the commit",
            (*HELLO[:2], COMMIT, (2.2, "speech.stopped", {}), *ANSWER),
            {"ended": 2.2, "decision": pytest.approx(0.3), "latency": pytest.approx(0.8)},
        ),
        (
            "a caller who simply talks on has not ended",
            (*HELLO[:2], COMMIT, *ANSWER, (6.0, "speech.stopped", {})),
            {"ended": None, "latency": None},
        ),
        (
            "a turn that the call ended in",
            (*HELLO, (2.2, "call.ended", {"reason": "caller hung up"})),
            {"committed": None, "ended": 2.0, "decision": None, "latency": None},
        ),
        (
            "an mhm before the turn is not its beginning",
            (
                (0.2, "speech.started", {}),
                (0.4, "speech.stopped", {}),
                (0.5, "backchannel", {"text": "mhm"}),
                *HELLO,
                COMMIT,
            ),
            {"began": 1.0},
        ),
        (
            "a decided turn that is taken back before it is heard is decided anew",
            (
                *HELLO,
                COMMIT,
                (2.6, "llm.started", {}),
                (2.7, "speech.started", {}),
                (2.75, "turn.resumed", {}),
                (2.76, "turn.withdrawn", {"why": "the caller went on"}),
                (3.4, "speech.stopped", {}),
                (3.6, "turn.committed", {"by": "vad", "why": "silence", "text": "Hello, me."}),
                (4.0, "agent.started", {}),
            ),
            {"text": "Hello, me.", "by": "vad", "ended": 3.4, "llm_asked": None},
        ),
        (
            "a hold that waits its time out ends then",
            (*HELLO, (2.1, "turn.held", {"why": "no full stop", "until": 2.4}), COMMIT),
            {"holds": (conversation.Hold(why="no full stop", from_=2.1, until=2.4, planned=2.4),)},
        ),
        (
            "a hold without a time ends with what happens next",
            (*HELLO, (2.1, "turn.held", {"why": "expecting date"}), COMMIT),
            {"holds": (conversation.Hold(why="expecting date", from_=2.1, until=2.5),)},
        ),
        (
            "speech while the answer is being made starts no second turn by itself",
            (*HELLO, COMMIT, (2.7, "speech.started", {}), (2.9, "speech.stopped", {}), *ANSWER),
            {"ended": 2.0, "latency": 1.0},
        ),
        (
            "a nudge is no answer",
            (*HELLO, COMMIT, (2.9, "nudge", {"count": 1}), *ANSWER),
            {"first_audio": None, "latency": None},
        ),
        (
            "a tool between two sentences does not move the first token",
            (
                *HELLO,
                COMMIT,
                (2.6, "llm.started", {}),
                (2.8, "llm.first_token", {"rung": "top"}),
                (3.0, "agent.started", {}),
                (3.1, "llm.started", {}),
                (3.3, "llm.first_token", {"rung": "low"}),
                (5.0, "agent.stopped", {}),
            ),
            {"llm_asked": 2.6, "first_token": 2.8, "rung": "top", "playback_ended": 5.0},
        ),
        (
            "an answer that is stopped a moment before the interruption is noted",
            (*HELLO, COMMIT, *ANSWER, (4.1, "interruption", {"text": "no wait"})),
            {"interrupted": True},
        ),
        (
            "words long after the answer do not stop it",
            (*HELLO, COMMIT, *ANSWER, (6.0, "interruption", {"text": "so"})),
            {"interrupted": False},
        ),
    ],
)
def test_a_turn_is_told(story: str, lines: tuple[Line, ...], expected: dict[str, Any]) -> None:
    (turn,) = told(*lines).turns
    assert {name: getattr(turn, name) for name in expected} == expected


def test_an_agent_that_becomes_audible_in_an_open_turn_has_cut_in() -> None:
    story = told(
        *HELLO,
        COMMIT,
        (2.8, "speech.started", {}),
        (2.9, "turn.started", {"by": "vad"}),
        *ANSWER[1:],
        (4.5, "speech.stopped", {}),
        (5.0, "turn.committed", {"by": "vad", "why": "silence", "text": "and more"}),
    )
    assert story.cut_ins == (conversation.CutIn(at=3.0, turn=2),)
    assert story.summary.cut_ins == 1


def test_a_caller_who_stops_the_agent_was_not_cut_in_on() -> None:
    story = told(
        *HELLO,
        COMMIT,
        *ANSWER[:2],
        (3.2, "speech.started", {}),
        (3.5, "interruption", {"text": "no wait"}),
        (3.51, "turn.started", {"by": "transcript"}),
        (3.52, "agent.stopped", {}),
        (4.0, "speech.stopped", {}),
        (4.4, "turn.committed", {"by": "smart", "why": "complete", "text": "No, wait."}),
    )
    assert story.cut_ins == ()
    assert [turn.interrupted for turn in story.turns] == [True, False]
    assert story.turns[1].began == 3.2


def test_a_sentence_that_an_interruption_threw_away_is_nowhere_told() -> None:
    story = told(
        *HELLO,
        COMMIT,
        (2.9, "agent.said", {"text": "We open at eight."}),
        (3.0, "agent.started", {}),
        (3.5, "agent.stopped", {}),
        (3.55, "agent.said", {"text": "And close at five."}),
        (3.6, "interruption", {"text": "no wait"}),
        (4.0, "agent.said", {"text": "Yes?"}),
        (4.1, "agent.started", {}),
    )
    assert [said.text for said in story.agent] == ["We open at eight.", "Yes?"]


def test_failures_of_all_kinds_are_problems() -> None:
    story = told(
        (1.0, "problem", {"where": "tts", "what": "no audio came"}),
        (2.0, "detector.failed", {"by": "smart", "error": "hung"}),
        (3.0, "ladder.exhausted", {}),
    )
    assert [problem.where for problem in story.problems] == ["tts", "turn.smart", "llm"]


def test_events_without_their_details_are_told_as_well_as_can_be() -> None:
    names = re.findall(r"^\| `([a-z_.]+)` \|", (ROOT / "docs/events.md").read_text(), re.M)
    assert len(names) > 30
    for order in (names, names[::-1]):
        story = told(*((float(at), name, {}) for at, name in enumerate(order)))
        assert json.dumps(as_json(story), allow_nan=False)
        assert len(story.turns) >= 1


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([], 0.5, None), ([3.0], 0.95, 3.0), ([4.0, 1.0, 2.0, 3.0], 0.5, 2.0)],
)
def test_a_percentile_is_a_value_that_was_measured(
    values: list[float], share: float, expected: float | None
) -> None:
    assert percentile(values, share) == expected


# What the documentation says


async def test_the_example_in_the_documentation_is_what_is_written(tmp_path: Path) -> None:
    clock = Clock()
    journal = Journal(clock=clock)
    tape = Tape(tmp_path, journal, call_id="CA0123")
    call: tuple[Line, ...] = (
        (0.0, "call.began", {"call": "CA0123", "stt": "moonshine", "turn": "smart"}),
        (1.0, "speech.started", {}),
        (1.15, "turn.started", {"by": "vad", "text": ""}),
        (2.4, "speech.stopped", {}),
        (2.62, "transcript.final", {"text": "What are your hours?"}),
        (2.63, "turn.proposed", {"by": "smart", "epoch": 1, "doubt": 0.1}),
        (
            2.64,
            "turn.committed",
            {"by": "smart", "why": "complete", "text": "What are your hours?", "epoch": 1},
        ),
        (2.65, "llm.started", {}),
        (2.8, "llm.first_token", {"rung": "receptionist"}),
        (2.9, "agent.said", {"text": "Eight to five."}),
        (3.1, "agent.started", {}),
        (4.2, "agent.stopped", {}),
        (5.0, "call.ended", {"reason": "caller hung up"}),
    )
    play(journal, clock, call)
    made = await tape.close()
    assert made is not None
    written = json.loads((made / "call.json").read_text())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00", written["started"])
    blocks = re.findall(r"```json\n(.*?)```", (ROOT / "docs/record.md").read_text(), re.S)
    shown = json.loads(blocks[0])
    assert {**written, "started": shown["started"]} == shown


def test_every_field_of_the_record_is_in_the_documentation() -> None:
    text = (ROOT / "docs/record.md").read_text()
    kinds = [
        kind
        for kind in vars(conversation).values()
        if isinstance(kind, type) and dataclasses.is_dataclass(kind)
    ]
    assert len(kinds) > 10
    names = {field.name.rstrip("_") for kind in kinds for field in dataclasses.fields(kind)}
    assert [name for name in sorted(names) if f"`{name}`" not in text] == []
