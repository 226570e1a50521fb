"""The phone-turn bench: calls are read as they are written, and figures say what was heard."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from bench.turns import echo
from bench.turns.caller import Take, as_heard
from bench.turns.calls import RATE, Anchor, Call, Event, Samples, Word, load, load_all
from bench.turns.scores import Marks, mark
from bench.turns.stats import paired_ratio, percentile, wilson
from bench.turns.table import ROWS, figure_of, met
from bench.turns.truth import FINAL, INTERIM, Clip, Transcript, Truth, Voice, key, transcripts


def voice_of(seconds: float, rate: int = RATE) -> Samples:
    """Something that is voiced from its first sample to its last."""
    at = np.arange(round(seconds * rate)) / rate
    return np.asarray(9000 * np.cos(2 * np.pi * 220 * at), dtype=np.int16)


def quiet(seconds: float, rate: int = RATE) -> Samples:
    return np.zeros(round(seconds * rate), dtype=np.int16)


def write(folder: Path, data: dict[str, Any], audio: Samples, rate: int = RATE) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    soundfile.write(folder / "user.wav", audio, rate)
    (folder / "call.json").write_text(json.dumps(data), encoding="utf-8")
    return folder


# ---------------------------------------------------------------------- calls of one's own


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_a_recording_of_any_rate_becomes_a_call(tmp_path: Path, rate: int) -> None:
    audio = np.concatenate([quiet(0.5, rate), voice_of(1.0, rate), quiet(0.5, rate)])
    call = load(write(tmp_path / "one", {}, audio, rate))
    assert call.id == "one" and len(call.audio) == pytest.approx(2 * RATE, abs=2)
    assert call.anchors == (Anchor(begin=0.0, end=len(call.audio) / RATE),)
    assert len(call.agent) >= 2  # the agent has something to say though the call gave it nothing


def test_a_hold_that_nobody_wrote_down_is_found_in_the_sound(tmp_path: Path) -> None:
    audio = np.concatenate([voice_of(1.0), quiet(0.7), voice_of(1.0)])
    turn = {"type": "turn", "t0": 0.0, "t1": 2.7, "text": "a table for four"}
    call = load(write(tmp_path, {"events": [turn]}, audio))
    [hold] = [event for event in call.events if event.type == "hold"]
    assert (hold.begin, hold.end) == pytest.approx((1.0, 1.7), abs=0.03)


def test_holds_that_were_written_down_are_the_only_ones(tmp_path: Path) -> None:
    audio = np.concatenate([voice_of(1.0), quiet(0.7), voice_of(1.0)])
    given = [
        {"type": "turn", "t0": 0.0, "t1": 2.7, "text": "a table"},
        {"type": "hold", "t0": 1.1, "t1": 1.6},
    ]
    call = load(write(tmp_path, {"events": given}, audio))
    assert [e.begin for e in call.events if e.type == "hold"] == [1.1]


def test_the_true_end_is_gt_eot_where_there_is_one(tmp_path: Path) -> None:
    turn = {"type": "turn", "t0": 0.0, "t1": 2.0, "gt_eot": 1.4, "text": "hello"}
    call = load(write(tmp_path, {"events": [turn]}, voice_of(2.0)))
    assert call.floor[0].end == 1.4


def test_words_lie_where_there_is_a_voice(tmp_path: Path) -> None:
    audio = np.concatenate([voice_of(1.0), quiet(1.0), voice_of(1.0)])
    turn = {"type": "turn", "t0": 0.0, "t1": 3.0, "text": "four four four four"}
    call = load(write(tmp_path, {"events": [turn]}, audio))
    assert [round(w.begin, 1) for w in call.floor[0].words] == [0.0, 0.5, 2.0, 2.5]


def test_a_call_that_cannot_be_understood_says_where(tmp_path: Path) -> None:
    write(tmp_path / "one", {"anchors": [{"clip": [0, 1], "after": "dinner"}]}, voice_of(1.0))
    with pytest.raises(ValueError, match="dinner.*agent_end"):
        load(tmp_path / "one")


def test_two_calls_of_one_name_are_refused(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write(tmp_path / name, {"id": "same"}, voice_of(1.0))
    with pytest.raises(ValueError, match="same id"):
        load_all(tmp_path)


# ----------------------------------------------------------------------- the oracle transcriber


def a_call(*events: Event, agent: tuple[str, ...] = ("Hello.", "Fine."), **more: Any) -> Call:
    return Call(
        id="call",
        family="test",
        folder=Path(),
        audio=quiet(20.0),
        agent=agent,
        anchors=(),
        events=events,
        **more,
    )


def a_turn(begin: float, end: float, *, type: str = "turn", tags: tuple[str, ...] = ()) -> Event:
    words = (Word(text="yes", begin=begin, end=end),)
    return Event(type=type, begin=begin, end=end, text="yes", words=words, tags=tags)


def test_no_word_is_told_before_it_was_said_and_the_delays_are_as_stated() -> None:
    words = tuple(
        Word(text=text, begin=at, end=at + 0.3)
        for text, at in (("a", 0.0), ("table", 0.4), ("for", 2.0), ("four.", 2.4))
    )
    event = Event(type="turn", begin=0.0, end=2.7, text="a table for four.", words=words)
    told = transcripts(a_call(event), Clip(begin=0.0, end=3.0, at=100.0))
    assert [(one.text, one.final) for one in told] == [
        ("a", False),
        ("a table", False),
        ("a table", True),
        ("for", False),
        ("for four", False),
        ("for four.", True),
    ]
    ends = (100.3 + INTERIM, 100.7 + INTERIM, 100.7 + FINAL)
    assert [one.at for one in told] == pytest.approx([*ends, *(end + 2.0 for end in ends)])


@pytest.mark.parametrize("said", [0.2, 1.5, 3.4])
def test_the_words_that_the_agent_is_about_to_say_are_known_from_its_sound(
    tmp_path: Path, said: float
) -> None:
    random = np.random.default_rng(2)
    lines = ("We are open.", "On Sundays we are not.")
    for line in lines:
        np.save(tmp_path / f"{key(line)}.npy", random.normal(0, 4000, 2 * RATE).astype(np.int16))
    voice = Voice(tmp_path)
    whole = np.concatenate([quiet(1.0), voice.say(" ".join(lines))])
    heard = as_heard(whole[: round((1.0 + said) * RATE)])
    words = list(echo.coming(" ".join(lines), heard, voice))
    assert [word.text for word in words] == " ".join(lines).split()[-len(words) :]
    assert words[0].begin == pytest.approx(0.0, abs=0.7)
    assert words[-1].end == pytest.approx(4.0 - said, abs=0.05)
    assert list(echo.coming("Something else is said.", heard, voice)) == []
    assert list(echo.coming(" ".join(lines), quiet(1.0), voice)) == []


async def test_what_comes_back_is_told_like_anybodys_words() -> None:
    truth = Truth(a_call())
    told: list[Transcript] = []

    async def listen() -> None:
        async for one in truth.transcripts():
            told.append(one)
            if one.final:
                return

    listening = asyncio.create_task(listen())
    began = time.monotonic()
    for number, word in enumerate(("We", "are", "open.")):
        await truth.came_back(word, began + 0.1 * number)
    async with asyncio.timeout(30):
        await listening
    assert [(one.text, one.final) for one in told] == [
        ("We", False),
        ("We are", False),
        ("We are open", False),
        ("We are open.", True),
    ]
    assert told[-1].at == pytest.approx(began + 0.2 + FINAL)


# -------------------------------------------------------------------------------- the figures


LINE = "We are open from nine to six."


@pytest.fixture
def voice(tmp_path: Path) -> Voice:
    """The agent's line takes four seconds; its end sounds like nothing else."""
    random = np.random.default_rng(1)
    sound = np.concatenate([voice_of(3.0), random.normal(0, 6000, RATE).astype(np.int16)])
    np.save(tmp_path / f"{key(LINE)}.npy", sound)
    return Voice(tmp_path)


def scored(
    voice: Voice,
    call: Call,
    *heard: tuple[float, Samples],
    used: Any = (),
    cleared: float | None = None,
) -> Marks:
    """A take in which the whole audio was on the line from the begin."""
    sound = quiet(20.0)
    for at, samples in heard:
        sound[round(at * RATE) : round(at * RATE) + len(samples)] = samples
    take = Take(
        call=call,
        system="test",
        clips=[Clip(begin=0.0, end=20.0, at=0.0)],
        heard=sound,
        sent=quiet(20.0),
        used=list(used),
        clears=[] if cleared is None else [(cleared, 1.0)],
    )
    return mark(take, voice)


def test_the_latency_is_from_the_true_end_to_the_first_sound(voice: Voice) -> None:
    marks = scored(voice, a_call(a_turn(1.0, 2.0)), (2.8, voice_of(1.0)))
    assert marks.values("latency") == pytest.approx([0.8], abs=0.011)
    assert marks.values("missed") == [0.0] and marks.values("cut-in per turn") == [0.0]


def test_an_answer_after_three_seconds_is_missed_and_none_at_all_counts_seven(
    voice: Voice,
) -> None:
    late = scored(voice, a_call(a_turn(1.0, 2.0)), (5.1, voice_of(1.0)))
    never = scored(voice, a_call(a_turn(1.0, 2.0)))
    assert late.values("missed") == never.values("missed") == [1.0]
    assert late.values("latency") == pytest.approx([3.1], abs=0.011)
    assert never.values("latency") == [7.0]


@pytest.mark.parametrize(
    ("begins", "lasts", "cut"),
    [(2.2, 0.4, 1.0), (2.2, 0.1, 0.0), (3.95, 0.5, 0.0), (4.5, 1.0, 0.0), (0.5, 4.0, 0.0)],
)
def test_a_cut_in_begins_inside_the_turn_and_is_heard_there(
    voice: Voice, begins: float, lasts: float, cut: float
) -> None:
    hold = Event(type="hold", begin=2.0, end=3.0)
    marks = scored(voice, a_call(a_turn(1.0, 4.0), hold), (begins, voice_of(lasts)))
    assert marks.values("cut-in per turn") == [cut]
    assert marks.values("cut-in per hold") == [cut]


def test_a_barge_in_is_yielded_to_when_the_agent_is_silent_within_a_second(voice: Voice) -> None:
    call = a_call(a_turn(3.0, 4.0, type="barge_in"))
    quick = scored(voice, call, (1.0, voice_of(2.4)))
    slow = scored(voice, call, (1.0, voice_of(4.5)))
    assert quick.values("barge-in stop") == pytest.approx([0.4], abs=0.02)
    assert (quick.values("yield"), slow.values("yield")) == ([1.0], [0.0])


def test_a_murmur_that_ends_the_agents_line_early_is_a_false_stop(voice: Voice) -> None:
    murmur = a_turn(2.0, 2.4, type="backchannel")
    call = a_call(murmur, agent=(LINE,))
    whole = voice.say(LINE)
    figure = "false stop: backchannel"
    assert scored(voice, call, (1.0, whole)).values(figure) == [0.0]
    stopped = scored(voice, call, (1.0, whole[: round(1.5 * RATE)]))
    assert stopped.values(figure) == [1.0]
    assert stopped.values("resume after a false stop") == [0.0]


def test_an_agent_that_comes_back_to_the_end_of_its_line_has_resumed(voice: Voice) -> None:
    murmur = a_turn(2.0, 2.4, type="backchannel")
    call = a_call(murmur, agent=(LINE,))
    whole, stop = voice.say(LINE), round(1.5 * RATE)
    back = scored(voice, call, (1.0, whole[:stop]), (3.4, whole[stop:]), cleared=2.5)
    assert back.values("resume after a false stop") == [1.0]
    other = scored(voice, call, (1.0, whole[:stop]), (3.4, voice_of(2.0)), cleared=2.5)
    assert other.values("resume after a false stop") == [0.0]
    late = scored(voice, call, (1.0, whole[:stop]), (5.5, whole[stop:]))
    assert late.values("resume after a false stop") == [0.0]


def test_a_gap_that_the_agent_did_not_ask_for_is_no_stop(voice: Voice) -> None:
    murmur = a_turn(2.0, 2.4, type="backchannel")
    call = a_call(murmur, agent=(LINE,))
    whole, gap = voice.say(LINE), round(1.5 * RATE)
    stuttered = scored(voice, call, (1.0, whole[:gap]), (3.1, whole[gap:]))
    paused = scored(voice, call, (1.0, whole[:gap]), (3.6, whole[gap:]))
    assert stuttered.values("false stop: backchannel") == [0.0]
    assert paused.values("false stop: backchannel") == [1.0]


def test_a_line_that_was_over_when_the_murmur_came_is_not_scored(voice: Voice) -> None:
    murmur = a_turn(8.0, 8.4, type="backchannel")
    marks = scored(voice, a_call(murmur, agent=(LINE,)), (1.0, voice.say(LINE)))
    assert marks.values("false stop: backchannel") == []


def test_dictation_is_captured_when_one_question_held_all_of_it(voice: Voice) -> None:
    call = a_call(a_turn(1.0, 2.0, tags=("dictation",)))
    heard = (2.8, voice_of(1.0))
    whole = scored(voice, call, heard, used=[{"tokens": 1, "heard": "It is Yes."}])
    part = scored(voice, call, heard, used=[{"tokens": 1, "heard": "it is"}])
    assert whole.values("dictation captured") == [1.0]
    assert part.values("dictation captured") == [0.0]


# --------------------------------------------------------------------------- how sure it is


def test_wilsons_interval_is_wilsons() -> None:
    assert wilson(20, 20) == pytest.approx((0.8389, 1.0), abs=1e-3)
    assert wilson(13, 23) == pytest.approx((0.3681, 0.7437), abs=1e-3)
    assert wilson(0, 0) == (0.0, 1.0)


def test_a_ratio_is_taken_on_the_same_calls() -> None:
    pairs = [([1.0, 2.0], [2.0, 4.0]), ([3.0], [6.0]), ([0.5], [1.0])]
    told = paired_ratio(pairs, lambda values: percentile(values, 50))
    assert told == pytest.approx((0.5, 0.5, 0.5))


def test_a_target_is_met_by_must_and_by_its_part_of_plain_pipecat() -> None:
    row = next(row for row in ROWS if row.name == "response latency p95")
    plain = {"value": 3.0, "n": 10}
    assert met(row, {"value": 1.4, "n": 10}, plain) == "aim"
    assert met(row, {"value": 1.5001, "n": 10}, plain) == "no"  # over half of plain Pipecat's
    assert met(row, {"value": 1.9, "n": 10}, {"value": 4.0, "n": 10}) == "must"
    assert met(row, {"value": 2.1, "n": 10}, {"value": 9.0, "n": 10}) == "no"


def test_a_figure_of_nothing_is_nothing(voice: Voice) -> None:
    marks = scored(voice, a_call(a_turn(1.0, 2.0)))
    row = next(row for row in ROWS if row.name == "barge-in yield")
    assert figure_of(row, [marks])["value"] is None
