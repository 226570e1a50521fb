"""A call of six turns, as data: what the parts of a host note, and how it sounds.

The caller pauses in mid-sentence, hums along, stops the agent, falls silent, dictates a number and
says goodbye.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from tipring.journal import Journal
from tipring.tape import Tape

RATE = 8000

# A voice detector is sure only after a while, and sets its time back by that.
LAG = {"speech.started": 0.1, "speech.stopped": 0.2}

Line = tuple[float, str, dict[str, Any]]

CALL: tuple[Line, ...] = (
    (
        0.0,
        "call.began",
        {
            "call": "CA5ad0",
            "stt": "moonshine",
            "turn": ["smart", "vad"],
            "llm": "receptionist",
            "tts": "hibari",
        },
    ),
    (0.3, "agent.said", {"text": "Elm Street Dental, good morning."}),
    (0.5, "agent.started", {}),
    (0.6, "agent.said", {"text": "How can I help?"}),
    (3.4, "mark.played", {"name": "s1"}),
    (3.45, "agent.stopped", {}),
    # 1: a pause after "and", held; the answer begun meanwhile is dropped unheard.
    (4.2, "speech.started", {}),
    (4.31, "turn.started", {"by": "vad", "text": ""}),
    (5.1, "transcript.interim", {"text": "hi I'd like"}),
    (5.6, "speech.stopped", {}),
    (5.7, "transcript.final", {"text": "Hi, I'd like to book an appointment and"}),
    (5.85, "turn.proposed", {"by": "smart", "epoch": 1}),
    (5.86, "turn.held", {"why": "trailing word", "until": 7.66}),
    (5.87, "turn.speculated", {}),
    (5.88, "llm.started", {}),
    (6.25, "speech.started", {}),
    (6.36, "turn.resumed", {}),
    (6.37, "turn.withdrawn", {"why": "the caller went on", "wasted": 0.5, "tokens": 7}),
    (8.4, "speech.stopped", {}),
    (8.61, "transcript.final", {"text": "um, could it be next week?"}),
    (8.62, "turn.proposed", {"by": "smart", "epoch": 2}),
    (8.63, "turn.speculated", {}),
    (8.64, "llm.started", {}),
    (
        8.66,
        "turn.committed",
        {
            "by": "smart",
            "why": "complete",
            "text": "Hi, I'd like to book an appointment and um, could it be next week?",
            "epoch": 2,
        },
    ),
    (8.86, "llm.first_token", {"rung": "receptionist"}),
    (8.87, "rung.used", {"rung": "receptionist"}),
    (8.95, "agent.said", {"text": "Of course, next week is fine."}),
    (9.2, "agent.started", {}),
    (9.3, "agent.said", {"text": "Which day would suit you, and morning or afternoon?"}),
    (9.9, "echo", {"text": "Of course."}),
    (10.6, "speech.started", {}),
    (10.95, "speech.stopped", {}),
    (11.1, "backchannel", {"text": "mhm"}),
    (12.1, "aside", {"text": "Put it there."}),
    (13.0, "agent.stopped", {}),
    # 2: an answer that is stopped.
    (13.5, "speech.started", {}),
    (13.62, "turn.started", {"by": "vad", "text": ""}),
    (14.7, "speech.stopped", {}),
    (14.85, "transcript.final", {"text": "Tuesday morning, please."}),
    (14.92, "turn.proposed", {"by": "smart", "epoch": 3}),
    (
        14.93,
        "turn.committed",
        {"by": "smart", "why": "complete", "text": "Tuesday morning, please.", "epoch": 3},
    ),
    (14.94, "llm.started", {}),
    (15.1, "llm.first_token", {"rung": "receptionist"}),
    (15.2, "agent.said", {"text": "Tuesday morning I have nine fifteen, ten, or eleven thirty."}),
    (15.43, "agent.started", {}),
    (16.9, "speech.started", {}),
    (17.3, "transcript.interim", {"text": "actually wednesday"}),
    (17.301, "interruption", {"text": "actually wednesday"}),
    (17.304, "clear", {}),
    (17.32, "mark.cleared", {"name": "s4"}),
    (17.33, "agent.stopped", {}),
    # 3
    (17.331, "turn.started", {"by": "transcript", "text": "actually wednesday"}),
    (18.5, "speech.stopped", {}),
    (18.68, "transcript.final", {"text": "Actually, Wednesday is better."}),
    (18.72, "turn.proposed", {"by": "smart", "epoch": 4}),
    (
        18.73,
        "turn.committed",
        {"by": "smart", "why": "complete", "text": "Actually, Wednesday is better.", "epoch": 4},
    ),
    (18.74, "llm.started", {}),
    (18.95, "llm.first_token", {"rung": "receptionist"}),
    (19.05, "agent.said", {"text": "Wednesday then: at ten, or at half past two?"}),
    (19.3, "agent.started", {}),
    (22.4, "agent.stopped", {}),
    # A silence that the caller owes.
    (28.4, "nudge", {"count": 1}),
    (28.41, "agent.said", {"text": "Are you still there?"}),
    (28.5, "agent.started", {}),
    (29.6, "agent.stopped", {}),
    # 4: the first rung fails and nobody hears of it.
    (30.4, "speech.started", {}),
    (30.52, "turn.started", {"by": "vad", "text": ""}),
    (32.0, "speech.stopped", {}),
    (32.15, "transcript.final", {"text": "Sorry, yes. Half past two."}),
    (32.2, "turn.proposed", {"by": "smart", "epoch": 5}),
    (
        32.21,
        "turn.committed",
        {"by": "smart", "why": "complete", "text": "Sorry, yes. Half past two.", "epoch": 5},
    ),
    (32.22, "llm.started", {}),
    (32.5, "rung.failed", {"rung": "claude", "error": "overloaded", "moment": "before a token"}),
    (32.75, "llm.first_token", {"rung": "receptionist"}),
    (32.76, "rung.used", {"rung": "receptionist"}),
    (32.85, "agent.said", {"text": "Half past two it is. Which number can we call you on?"}),
    (33.2, "agent.started", {}),
    (36.1, "agent.stopped", {}),
    # 5: a number in three groups is one turn.
    (36.9, "speech.started", {}),
    (37.01, "turn.started", {"by": "vad", "text": ""}),
    (38.1, "speech.stopped", {}),
    (38.28, "transcript.final", {"text": "Five five five,"}),
    (38.3, "turn.proposed", {"by": "smart", "epoch": 6}),
    (38.31, "turn.held", {"why": "expecting phone number", "until": 41.3}),
    (39.2, "speech.started", {}),
    (39.31, "turn.resumed", {}),
    (40.3, "speech.stopped", {}),
    (40.48, "transcript.final", {"text": "oh one"}),
    (40.5, "turn.proposed", {"by": "smart", "epoch": 7}),
    (40.51, "turn.held", {"why": "expecting phone number", "until": 43.5}),
    (41.6, "speech.started", {}),
    (41.72, "turn.resumed", {}),
    (42.9, "speech.stopped", {}),
    (43.08, "transcript.final", {"text": "nine nine."}),
    (43.12, "turn.proposed", {"by": "smart", "epoch": 8}),
    (
        43.13,
        "turn.committed",
        {
            "by": "smart",
            "why": "the number is whole",
            "text": "Five five five, oh one nine nine.",
            "epoch": 8,
        },
    ),
    (43.14, "llm.started", {}),
    (43.3, "llm.first_token", {"rung": "receptionist"}),
    (43.35, "tool.called", {"name": "book"}),
    (43.41, "tool.done", {"name": "book"}),
    (43.5, "agent.said", {"text": "Booked: a check-up on Wednesday at half past two."}),
    (43.8, "agent.started", {}),
    (
        44.0,
        "agent.said",
        {"text": "We call you on five five five, oh one nine nine. Right?"},
    ),
    (49.2, "mark.played", {"name": "s9"}),
    (49.25, "agent.stopped", {}),
    (49.6, "key", {"digit": "5"}),
    # 6
    (50.1, "speech.started", {}),
    (50.22, "turn.started", {"by": "vad", "text": ""}),
    (52.0, "speech.stopped", {}),
    (52.14, "transcript.final", {"text": "Yes, that's right. Thank you, bye!"}),
    (52.2, "turn.proposed", {"by": "smart", "epoch": 9}),
    (
        52.21,
        "turn.committed",
        {
            "by": "smart",
            "why": "complete",
            "text": "Yes, that's right. Thank you, bye!",
            "epoch": 9,
        },
    ),
    (52.22, "llm.started", {}),
    (52.4, "llm.first_token", {"rung": "receptionist"}),
    (52.5, "agent.said", {"text": "Thanks for calling. Goodbye."}),
    (52.7, "agent.started", {}),
    (54.3, "agent.stopped", {}),
    (54.4, "hang_up", {"by": "agent"}),
    (54.6, "call.ended", {"reason": "agent hung up"}),
)


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


def play(journal: Journal, clock: Clock, call: tuple[Line, ...] = CALL) -> None:
    """Note a call, each event when a part would have noted it."""
    for at, name, detail in sorted(call, key=lambda line: line[0] + LAG.get(line[1], 0.0)):
        clock.time = at + LAG.get(name, 0.0)
        journal.note(name, ago=clock.time - at, **detail)


def spans(start: str, stop: str, call: tuple[Line, ...] = CALL) -> list[tuple[float, float]]:
    """The stretches between two kinds of event."""
    begins = [at for at, name, _ in call if name == start]
    ends = [at for at, name, _ in call if name == stop]
    return list(zip(begins, ends, strict=True))


def voice(stretches: list[tuple[float, float]], length: float, pitch: float) -> bytes:
    """PCM16 at 8 kHz that is loud in the stretches, in syllables, and silent between them."""
    time = np.arange(round(length * RATE)) / RATE
    sound = np.zeros_like(time)
    noise = np.random.default_rng(round(pitch)).normal(0, 0.25, len(time))
    for begin, end in stretches:
        here = (time >= begin) & (time < end)
        now = time[here] - begin
        syllables = 0.25 + 0.75 * np.abs(np.sin(now * 9.1) * np.sin(now * 3.3 + 0.6))
        tone = np.sin(2 * np.pi * pitch * now) + 0.4 * np.sin(6 * np.pi * pitch * now)
        sound[here] = 0.3 * syllables * (tone + noise[here])
    return (np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes()


def pieces(pcm: bytes, seconds: float) -> Iterator[tuple[float, bytes]]:
    """The audio in pieces of that length, each with its time."""
    size = round(seconds * RATE) * 2
    for start in range(0, len(pcm), size):
        yield start / 2 / RATE, pcm[start : start + size]


def sound(tape: Tape, length: float = 54.6) -> None:
    """Give a tape the sound of the call: the caller's all the time, the agent's when it speaks."""
    jitter = np.random.default_rng(3).uniform(0, 0.03, 10_000)
    heard = voice(spans("speech.started", "speech.stopped"), length, 210)
    for number, (at, pcm) in enumerate(pieces(heard, 0.02)):
        tape.caller(pcm, at + jitter[number])
    talking = spans("agent.started", "agent.stopped")
    said = voice(talking, length, 120)
    for at, pcm in pieces(said, 0.04):
        if any(begin - 0.03 <= at < end for begin, end in talking):
            tape.agent(pcm, at)
