"""What ``tipring call`` shows of the calls it holds."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tipring.journal import Event
from tipring.tape.conversation import Conversation
from tipring.tape.timeline_text import draw
from tipring.tape.turns import tell
from tipring.testing import CallerTurn, Phone, Script
from tipring.testing.expect import Expectation, failing


@dataclass(frozen=True, kw_only=True)
class Held:
    """A call that was held.

    Attributes:
        script: What the caller did.
        turns: The caller's turns.
        wrong: What was wrong with it, a sentence each.
        phone: None when the call did not come to be.
        told: The call by the host's events; None when they are another's.
        expected: What the script expects, each with whether it held; None: nobody can know.
    """

    script: Script
    turns: Sequence[CallerTurn]
    wrong: Sequence[str]
    phone: Phone | None
    told: Conversation | None
    expected: Sequence[tuple[Expectation, bool | None]]

    @classmethod
    def judged(
        cls,
        script: Script,
        turns: Sequence[CallerTurn],
        wrong: Sequence[str],
        phone: Phone | None,
        events: Sequence[Event] | None,
    ) -> Held:
        """Look at what the script expects, and add what does not hold to what was wrong."""
        told = None if events is None else tell(events)
        expected: list[tuple[Expectation, bool | None]] = []
        sentences = list(wrong)
        for one in script.expectations if phone is not None else ():
            sentence = failing(one, turns, told)
            expected.append((one, None if sentence is None else not sentence))
            if sentence:
                sentences.append(f"{script.name} line {one.line}: {sentence}")
        return cls(
            script=script, turns=turns, wrong=sentences, phone=phone, told=told, expected=expected
        )


class Show:
    """Prints the conversation as it happens; of several at once, only what goes wrong.

    Args:
        calls: How many calls will be held.
        draw: Whether each is drawn when it is over.
    """

    def __init__(self, calls: int = 1, *, draw: bool = False) -> None:
        self._calls = calls
        self._draw = draw
        self._silent_since: float | None = None
        self._committed = False
        self._record = ""

    def starting(self) -> None:
        """Tell that nothing happens for a while."""
        self._say("", "the host is starting")

    def event(self, event: Mapping[str, Any]) -> None:
        """Tell of an event of a call."""
        if self._calls > 1 and event["event"] not in ("detector.failed", "problem"):
            return
        match event["event"]:
            case "call.began":
                parts = [event[kind] for kind in ("stt", "turn", "llm", "tts")]
                self._say("", f"the call begins: {' + '.join(parts)}")
            case "agent.said":
                self._say("agent", event["text"])
            case "speech.stopped":
                self._silent_since = event["at"]
            case "turn.held":
                self._say("", f"(waiting: {event['why']})")
            case "turn.committed":
                self._committed = True
                self._say("caller", f"{event['text']}   [{event['by']}: {event['why']}]")
            case "agent.started" if self._committed and self._silent_since is not None:
                self._committed = False
                late = event["at"] - self._silent_since
                self._say("", f"(answered after {late:.2f} s)")
            case "backchannel":
                self._say("caller", f"({event['text']} - the agent goes on)")
            case "aside":
                self._say("caller", f"({event['text']} - for somebody else)")
            case "echo":
                self._say("", f"(the agent's own words come back: {event['text']})")
            case "interruption":
                self._say("", "(the caller interrupts)")
            case "detector.failed" | "rung.failed" | "problem":
                detail = {k: v for k, v in event.items() if k not in ("call", "at", "event")}
                self._say("", f"({event['event']}: {json.dumps(detail, ensure_ascii=False)})")
            case "call.ended":
                self._say("", f"the call is over: {event['reason']}")
            case "record.saved":
                self._record = event["folder"]

    def figures(self, calls: int, figures: Mapping[str, Any]) -> None:
        """Tell how the host fared."""
        print(f"\n{calls} call{'s' * (calls > 1)} in one process")
        for name, value in figures.items():
            print(f"  {name:16} {value}")

    def summary(self, calls: Sequence[Held]) -> bool:
        """Tell how it went when all is over, and say whether it went well."""
        for call in calls:
            if self._draw:
                self._picture(call)
            elif len(calls) == 1:
                self._table(call)
        late = sum(call.phone.late_frames for call in calls if call.phone is not None)
        if late:
            print(f"\n{late} frames of the phone's were late: this machine is busy")
        if self._record:
            print(f"\nThe recording: {self._record}/timeline.html")
        wrong = [f"{_which(calls, at)}{one}" for at, call in enumerate(calls) for one in call.wrong]
        for one in wrong:
            print(f"wrong: {one}", file=sys.stderr)
        if not wrong:
            turns = sum(len(call.turns) for call in calls)
            print(f"\n{turns} turns, {len(calls)} call{'s' * (len(calls) > 1)}, nothing wrong")
        return not wrong

    def _table(self, call: Held) -> None:
        print("\nAs the caller heard it, in seconds")
        print("  turn  from    to      answered after")
        for turn, heard in zip(call.turns, _heard(call), strict=True):
            print(f"  {turn.number:4}  {turn.begin:6.2f}  {turn.end:6.2f}  {_told(turn)}{heard}")

    def _picture(self, call: Held) -> None:
        print(f"\n{call.script.name}: {call.script.summary}\n")
        if call.phone is not None:
            said = [(part.begin, part.end) for turn in call.turns for part in turn.parts]
            spoke = [(one.begin, one.end) for one in call.phone.utterances if one.end is not None]
            width = shutil.get_terminal_size((100, 24)).columns
            told = call.told or Conversation()
            print(draw(told, caller=said, agent=spoke, width=width))
        words = {True: "holds", False: "does not hold", None: "cannot be known of another's host"}
        for expectation, held in call.expected:
            print(f"  expected {expectation.text}: {words[held]}")

    def _say(self, who: str, what: str) -> None:
        print(f"{who:>7}  {what}" if who else f"         {what}", flush=True)


class Silent(Show):
    """Keeps everything, and prints it as one JSON document."""

    def __init__(self) -> None:
        super().__init__()
        self._events: list[Mapping[str, Any]] = []
        self._figures: Mapping[str, Any] = {}

    def event(self, event: Mapping[str, Any]) -> None:
        """Keep it."""
        self._events.append(event)

    def figures(self, calls: int, figures: Mapping[str, Any]) -> None:
        """Keep them."""
        self._figures = figures

    def summary(self, calls: Sequence[Held]) -> bool:
        """Print everything."""
        told = [
            {
                "script": call.script.name,
                "turns": [
                    {
                        "number": turn.number,
                        "kind": turn.kind,
                        "text": turn.text,
                        "begin": round(turn.begin, 3),
                        "end": round(turn.end, 3),
                        "latency": None if turn.latency is None else round(turn.latency, 3),
                        "cut_ins": [round(one, 3) for one in turn.cut_ins],
                    }
                    for turn in call.turns
                ],
                "expected": {one.text: held for one, held in call.expected},
                "wrong": call.wrong,
                "late_frames": call.phone.late_frames if call.phone else 0,
            }
            for call in calls
        ]
        document = {"calls": told, "events": self._events, "host": self._figures}
        print(json.dumps(document, ensure_ascii=False, indent=1))
        return not any(call.wrong for call in calls)

    def _say(self, who: str, what: str) -> None:
        return


def _told(turn: CallerTurn) -> str:
    if turn.kind == "over":
        on = f", which spoke on for {turn.agent_spoke_on:.1f} s" if turn.agent_spoke_on else ""
        return f"said over the agent{on}: {turn.text}"
    pauses = "".join(f" (paused {one:.1f} s)" for one in turn.pauses)
    after = "  -  " if turn.latency is None else f"{turn.latency:5.2f}"
    return f"{after}  {turn.text}{pauses}"


def _heard(call: Held) -> list[str]:
    """What the host heard in each turn that says a recording, whose words nobody wrote down."""
    texts = ["" for _ in call.turns]
    for turn in call.told.turns if call.told is not None else ():
        before = [at for at, one in enumerate(call.turns) if one.begin <= (turn.committed or 0.0)]
        if before and call.turns[before[-1]].text.lower().endswith((".wav", ".flac")):
            texts[before[-1]] += f"  {turn.text}"
    return texts


def _which(calls: Sequence[Held], at: int) -> str:
    return f"call {at + 1}: " if len(calls) > 1 else ""
