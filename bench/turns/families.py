"""The families: what callers do, each as calls of a few events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bench.turns.calls import RATE, SEGMENT, Samples, silences, spread
from bench.turns.channels import cough, floor_noise, through
from bench.turns.corpus import Corpus, Piece, Speaker

GREETING = "Hello, how can I help you?"
LONG = (
    "We are open from Monday to Friday, from nine in the morning until six in the evening. On"
    " Saturdays we close at noon, and on Sundays we do not open at all. You can find us right"
    " behind the station, next to the library."
)
MORE = "Okay, I have that. What else?"
THANKS = "Thank you, I have noted that."

FULL_STOP_IN_A_PAUSE = 0.25
FULL_STOP_AT_THE_END = 0.9
"""How often a transcriber that punctuates as it streams puts a full stop: an assumption."""


@dataclass
class Draft:
    """A call being put together."""

    id: str
    family: str
    channel: str
    random: np.random.Generator
    speaker: Speaker
    corpus: Corpus
    agent: list[str] = field(default_factory=lambda: [GREETING])
    audio: list[Samples] = field(default_factory=list)
    length: int = 0
    anchors: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    expect: dict[str, Any] = field(default_factory=dict)
    echo_db: float | None = None
    voice: int = 0

    def says(self, text: str) -> Piece:
        """Render a text in the voice of this call's caller."""
        return self.speaker.say(text, self.voice)

    def request(self) -> Piece:
        """Some whole sentence."""
        return self.corpus.requests[int(self.random.integers(len(self.corpus.requests)))]

    def clip(
        self,
        parts: Sequence[Piece | float],
        *,
        after: str = "agent_end+700",
        type: str = "turn",
        reply: str | None = None,
        gain: float = 0.0,
        tags: Sequence[str] = (),
        ends: bool = True,
    ) -> dict[str, Any]:
        """Put something on the line.

        Args:
            parts: What is said, and the seconds of silence in between.
            after: When.
            type: The event's.
            reply: What the agent answers, if this takes the floor.
            gain: dB.
            tags: For the family's own scores.
            ends: Whether a full stop may stand at the end of it.
        """
        began = self.length / RATE
        pieces: list[Samples] = []
        words: list[tuple[str, float, float]] = []
        at, first, last, text = 0, None, 0.0, []
        holds: list[tuple[float, float]] = []
        whole = [part for part in parts if isinstance(part, Piece)]
        for part in parts:
            if isinstance(part, float):
                like = whole[0].samples if whole else np.zeros(0, np.int16)
                silence = floor_noise(like, part, self.random)
                pieces.append(silence)
                if first is not None:
                    holds.append((began + at / RATE, began + at / RATE + part))
                at += len(silence)
                continue
            here = began + at / RATE
            length = len(part.samples) / RATE
            first = here if first is None else first
            last = here + length
            text.append(part.text)
            inner = spread(part.text, part.samples, 0.0, length)
            words += [(w.text, here + w.begin, here + w.end) for w in inner]
            holds += [(here + a, here + b) for a, b in silences(part.samples, 0.0, length)]
            pieces.append(part.samples)
            at += len(part.samples)
        sound = np.concatenate(pieces) if pieces else np.zeros(0, np.int16)
        if gain:
            sound = (sound * 10 ** (gain / 20)).astype(np.int16)
        # Whole frames, so that what follows begins on one.
        sound = np.pad(sound, (0, -len(sound) % 160))
        self.audio.append(sound)
        self.length += len(sound)
        self.anchors.append(
            {"clip": [round(began, 3), round(self.length / RATE, 3)], "after": after}
        )
        # Apart from the next clip, so that a place belongs to one of them.
        self.audio.append(np.zeros(800, np.int16))
        self.length += 800
        event: dict[str, Any] = {
            "type": type,
            "t0": round(began if first is None else first, 3),
            "t1": round(last or self.anchors[-1]["clip"][1], 3),
            "text": " ".join(text),
            "tags": list(tags),
        }
        if words:
            event["words"] = [
                [w, round(a, 3), round(b, 3)] for w, a, b in self._punctuated(words, ends)
            ]
        if type in ("turn", "barge_in"):
            event["gt_eot"] = event["t1"]
            self.agent.append(MORE if reply is None else reply)
            for a, b in holds:
                self.events.append({"type": "hold", "t0": round(a, 3), "t1": round(b, 3)})
        self.events.append(event)
        return event

    def _punctuated(
        self, words: list[tuple[str, float, float]], ends: bool
    ) -> list[tuple[str, float, float]]:
        out = []
        for number, (word, begin, end) in enumerate(words):
            is_last = number == len(words) - 1
            pauses = not is_last and words[number + 1][1] - end >= SEGMENT
            plain = word.rstrip(".,?!")
            if is_last:
                full = ends and self.random.random() < FULL_STOP_AT_THE_END
                word = (word if word[-1:] in ".?!" else plain + ".") if full else plain
            elif pauses:
                word = plain + "." if self.random.random() < FULL_STOP_IN_A_PAUSE else plain
            out.append((word, begin, end))
        return out

    def data(self) -> tuple[dict[str, Any], Samples]:
        """What stands in call.json, and the audio."""
        audio = np.concatenate(self.audio) if self.audio else np.zeros(160, np.int16)
        call: dict[str, Any] = {
            "id": self.id,
            "family": self.family,
            "channel": self.channel,
            "audio": "user.wav",
            "agent": self.agent,
            "anchors": self.anchors,
            "events": sorted(self.events, key=lambda event: event["t0"]),
            "expect": self.expect,
        }
        if self.echo_db is not None:
            call["echo_db"] = self.echo_db
        if self.channel == "babble15":
            call["background"] = "../babble.wav"
        return call, through(self.channel, audio, self.random)


Family = Callable[[Draft, int], None]


def _halves(piece: Piece, random: np.random.Generator) -> tuple[Piece, Piece] | None:
    """Cut a sentence between two words, at the quietest place near its middle."""
    words = list(spread(piece.text, piece.samples, 0.0, piece.seconds))
    if len(words) < 4 or piece.seconds < 1.2:
        return None
    at = (
        int(random.integers(1, len(words) - 1))
        if len(words) < 6
        else int(random.integers(2, len(words) - 2))
    )
    guess = round(words[at].end * RATE)
    near = range(max(80, guess - 1200), min(len(piece.samples) - 80, guess + 1200), 40)
    energy = [float(np.sum(piece.samples[n : n + 160].astype(np.float64) ** 2)) for n in near]
    cut = list(near)[int(np.argmin(energy))] + 80
    fade = np.linspace(1, 0, 80)
    left, right = piece.samples[:cut].copy(), piece.samples[cut:].copy()
    left[-80:] = (left[-80:] * fade).astype(np.int16)
    right[:80] = (right[:80] * fade[::-1]).astype(np.int16)
    texts = piece.text.split()
    return (
        Piece(samples=left, text=" ".join(texts[: at + 1])),
        Piece(samples=right, text=" ".join(texts[at + 1 :])),
    )


PAUSES = (0.3, 0.5, 0.7, 0.9, 1.2, 1.6, 2.2, 3.0)


def clean(draft: Draft, number: int) -> None:
    """Three whole sentences, one after the other."""
    for _ in range(3):
        draft.clip([draft.request()])


def pauses(draft: Draft, number: int) -> None:
    """A pause in the middle of a sentence."""
    for turn in range(3):
        halves = None
        while halves is None:
            halves = _halves(draft.request(), draft.random)
        draft.clip([halves[0], PAUSES[(3 * number + turn) % len(PAUSES)], halves[1]])


TRAILING = (
    ("I would like to book a table for Tuesday, and", "if possible by the window."),
    ("I am looking for something with, um,", "two bedrooms and a balcony."),
    ("So I wanted to ask if you could", "send me the invoice again."),
    ("We need a room for", "about twelve people."),
    ("I bought a heater from you last month, but", "it makes a strange noise."),
    ("My problem is that, uh,", "I cannot log in any more."),
    ("Could you tell me whether the", "doctor is in on Thursday?"),
    ("I can come on Monday or", "on Wednesday after four."),
)


def trailing(draft: Draft, number: int) -> None:
    """A pause behind "and", "um" or another word that ends no sentence."""
    for turn in range(3):
        left, right = TRAILING[(3 * number + turn) % len(TRAILING)]
        pause = (0.5, 0.9, 1.4, 2.2)[(number + turn) % 4]
        draft.clip([draft.says(left), pause, draft.says(right)])


DIGITS = "zero one two three four five six seven eight nine".split()
NAMES = ("Miller", "Kowalski", "Okafor", "Jensen", "Baxter", "Nguyen")
ADDRESSES = (
    ("It is", "forty two", "Maple Avenue,", "apartment six."),
    ("One", "seventeen", "Station Road,", "in Springfield."),
    ("Eight hundred and five", "Lincoln Street,", "second floor."),
    ("I live at", "twenty three", "Church Lane."),
)


def _digits(draft: Draft, groups: Sequence[str], gaps: Sequence[float]) -> list[Piece | float]:
    """Digits in groups, by a recorded speaker where there is one."""
    parts: list[Piece | float] = []
    speakers = sorted(name for name, own in draft.corpus.digits.items() if len(own) == len(DIGITS))
    own = draft.corpus.digits.get(speakers[draft.voice % len(speakers)]) if speakers else None
    for index, group in enumerate(groups):
        if index:
            parts.append(gaps[(index - 1) % len(gaps)])
        if own:
            for place, digit in enumerate(group):
                if place:
                    parts.append(round(float(draft.random.uniform(0.04, 0.12)), 2))
                takes = own[digit]
                take = takes[int(draft.random.integers(len(takes)))]
                parts.append(Piece(samples=take.samples, text=DIGITS[int(digit)]))
        else:
            parts.append(draft.says(" ".join(DIGITS[int(digit)] for digit in group)))
    return parts


def dictation(draft: Draft, number: int) -> None:
    """A telephone number, a spelling, an address or a code, asked for and dictated."""
    kinds = ("phone", "spelling", "phone", "address", "code")
    first, second = kinds[(2 * number) % 5], kinds[(2 * number + 1) % 5]
    asks = {
        "phone": "Of course. What is your phone number?",
        "spelling": "Thank you. Could you spell your last name for me?",
        "address": "Thank you. What is your address?",
        "code": "Thank you. What is your six digit code?",
    }
    draft.clip([draft.says("I would like to change my details.")], reply=asks[first])
    for kind, reply in ((first, asks[second]), (second, THANKS)):
        gaps = [float(draft.random.choice([0.4, 0.6, 0.8, 1.0, 1.4, 2.0])) for _ in range(6)]
        figures = "".join(str(d) for d in draft.random.integers(0, 10, 10))
        if kind == "phone":
            figures = str(draft.random.integers(2, 10)) + figures[1:]  # none begins with 0 or 1
            parts = _digits(draft, (figures[:3], figures[3:6], figures[6:]), gaps)
        elif kind == "code":
            parts = _digits(draft, (figures[:3], figures[3:6]), gaps)
        elif kind == "spelling":
            name = NAMES[int(draft.random.integers(len(NAMES)))].upper()
            cut = int(draft.random.integers(2, len(name) - 1))
            left, right = (" ".join(half) for half in (name[:cut], name[cut:]))
            parts = [draft.says(left), gaps[0], draft.says(right)]
        else:
            said = ADDRESSES[int(draft.random.integers(len(ADDRESSES)))]
            parts = []
            for index, text in enumerate(said):
                if index:
                    parts.append(min(gaps[index], 1.4))
                parts.append(draft.says(text))
        draft.clip(parts, reply=reply, tags=["dictation", kind], after="agent_end+600")


ANSWERS = (
    ("Would you like to come in the morning?", "Yes."),
    ("Is that for two people?", "Four."),
    ("Have you been here before?", "No."),
    ("Shall I send you a text message?", "Sure."),
    ("Which day suits you?", "Tuesday."),
    ("Is that correct?", "Yeah."),
    ("Do you want me to read it again?", "No thanks."),
    ("How many nights will you stay?", "Three."),
)


def short(draft: Draft, number: int) -> None:
    """Questions that are answered in a word."""
    asked = [ANSWERS[(3 * number + turn) % len(ANSWERS)] for turn in range(3)]
    draft.clip([draft.request()], reply=asked[0][0])
    for turn, (_, answer) in enumerate(asked):
        reply = asked[turn + 1][0] if turn < 2 else THANKS
        draft.clip([draft.says(answer)], reply=reply, tags=["short"], after="agent_end+500")


MURMURS = ("Mhm.", "Yeah.", "Okay.", "Right.", "Uh-huh.", "I see.", "Yes.", "Got it.")


def backchannel(draft: Draft, number: int) -> None:
    """Three murmurs over a long reply."""
    draft.clip([draft.request()], reply=LONG)
    for turn, at in enumerate((1100, 4200, 7300)):
        text = MURMURS[(3 * number + turn) % len(MURMURS)]
        draft.clip([draft.says(text)], type="backchannel", after=f"agent_start+{at}")


INTERRUPTIONS = (
    "No, wait, I meant Thursday.",
    "Sorry, can I stop you there?",
    "Actually, I need something else.",
    "Stop, that is not what I asked.",
    "Hold on, what about Sunday?",
    "Excuse me, how do I get there?",
)


def barge_in(draft: Draft, number: int) -> None:
    """Two interruptions of long replies, at 0.3, 0.9 or 2 s."""
    draft.clip([draft.request()], reply=LONG)
    for turn in range(2):
        at = (300, 900, 2000)[(number + turn) % 3]
        text = INTERRUPTIONS[(2 * number + turn) % len(INTERRUPTIONS)]
        reply = LONG if turn == 0 else THANKS
        draft.clip([draft.says(text)], type="barge_in", reply=reply, after=f"agent_start+{at}")


def noises(draft: Draft, number: int) -> None:
    """A cough, an "um" and a burst of voices over a long reply."""
    draft.clip([draft.request()], reply=LONG)
    burst = draft.corpus.room[int(draft.random.integers(len(draft.corpus.room)))]
    at = int(draft.random.integers(0, max(1, len(burst) - RATE)))
    kinds: list[tuple[str, Piece]] = [
        ("cough", Piece(samples=cough(draft.random), text="")),
        ("um", draft.says("Um.")),
        ("noise", Piece(samples=burst[at : at + RATE], text="")),
    ]
    for turn, (kind, piece) in enumerate(kinds[number % 3 :] + kinds[: number % 3]):
        gain = -12.0 if kind == "noise" else 0.0
        after = f"agent_start+{1100 + 3100 * turn}"
        draft.clip([piece], type=kind, gain=gain, after=after)


ASIDES = (
    "Honey, can you close the door please?",
    "Not now, I am on the phone.",
    "Put it on the table over there.",
    "Just a second, I will be right with you.",
)


def side_talk(draft: Draft, number: int) -> None:
    """The caller says something to somebody else over a long reply."""
    draft.clip([draft.request()], reply=LONG)
    for turn, at in enumerate((1500, 6000)):
        text = ASIDES[(2 * number + turn) % len(ASIDES)]
        draft.clip([draft.says(text)], type="side_talk", gain=-8.0, after=f"agent_start+{at}")


def hello(draft: Draft, number: int) -> None:
    """A "hello?" over the greeting, and what the caller wants behind it."""
    draft.agent[0] = "Hello, thanks for calling Riverside Clinic. How can I help you today?"
    text = ("Hello?", "Hello.", "Hi, hello?")[number % 3]
    at = (300, 700, 1400)[number % 3]
    draft.clip([draft.says(text)], type="hello", after=f"agent_start+{at}")
    draft.clip([draft.request()])


def silence(draft: Draft, number: int) -> None:
    """Nothing for nine seconds, and then a sentence."""
    draft.clip([9.0], type="silence", after="agent_end+0")
    draft.clip([draft.request()], after="agent_end+700")


def dtmf(draft: Draft, number: int) -> None:
    """Keys over the agent and in the middle of a sentence."""
    draft.clip([draft.request()], reply=LONG)
    draft.clip([0.6], type="dtmf", after="agent_start+1500")
    draft.events[-1]["text"] = "5"
    halves = None
    while halves is None:
        halves = _halves(draft.request(), draft.random)
    event = draft.clip([halves[0], 0.3, halves[1]])
    place = event["t0"] + halves[0].seconds
    draft.events.append({"type": "dtmf", "t0": place, "t1": place + 0.3, "text": "42"})


RESUMED = (
    ("I would like to make an appointment.", "For Tuesday afternoon."),
    ("Can you tell me the price?", "For the large one, I mean."),
    ("I need to cancel my booking.", "The one on Friday."),
    ("My heater is broken.", "It makes a loud noise."),
)


def resume(draft: Draft, number: int) -> None:
    """The caller goes on just after the agent has decided that they were done."""
    for turn in range(3):
        left, right = RESUMED[(3 * number + turn) % len(RESUMED)]
        after = (0, 100, 200, 300, 450, 600)[(3 * number + turn) % 6]
        event = draft.clip([draft.says(left)], tags=["resume", f"{after} ms"])
        first = event["t1"]
        agent = draft.agent.pop()
        more = draft.clip([draft.says(right)], after=f"asked+{after}")
        draft.agent[-1] = agent
        # One turn over two clips.
        draft.events.remove(more)
        event["words"] += more["words"]
        event["text"] += " " + more["text"]
        event["t1"] = event["gt_eot"] = more["t1"]
        draft.events.append({"type": "hold", "t0": first, "t1": more["t0"], "tags": ["resumed"]})


def echo(draft: Draft, number: int) -> None:
    """The agent hears itself, 20 dB down."""
    draft.echo_db = -20.0
    draft.clip([draft.request()], reply=LONG)
    draft.clip([5.0], type="echo", after="agent_start+200")
    draft.clip([draft.request()])


FAMILIES: dict[str, tuple[Family, int]] = {
    "clean": (clean, 3),
    "pauses": (pauses, 3),
    "trailing": (trailing, 3),
    "dictation": (dictation, 2),
    "short": (short, 3),
    "backchannel": (backchannel, 3),
    "barge_in": (barge_in, 2),
    "noises": (noises, 3),
    "side_talk": (side_talk, 2),
    "hello": (hello, 2),
    "silence": (silence, 2),
    "dtmf": (dtmf, 2),
    "resume": (resume, 3),
    "echo": (echo, 2),
}
"""Each family, and how many events of one call it is scored by."""
