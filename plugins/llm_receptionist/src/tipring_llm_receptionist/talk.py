"""The conversation: from everything that was said to what is said next.

Nothing is remembered between answers. Each one reads the whole conversation again, so any answer
can be given by another rung and the script goes on from there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tipring_llm_receptionist import lines
from tipring_llm_receptionist.business import Business
from tipring_llm_receptionist.clock import spoken_time
from tipring_llm_receptionist.days import weekday_of
from tipring_llm_receptionist.hearing import Heard, hear
from tipring_llm_receptionist.state import NEEDS, Answer, State

# How a question is known again in what was heard of it: only the end of it matters.
_ASKED = (
    ("confirm", r"is that (right|correct)"),
    ("offer", r"somebody to call you back"),
    ("else", r"anything else"),
    ("change", r"should i change"),
    ("phone", r"phone number|rest of the number"),
    ("name", r"\bname\b"),
    ("day", r"\b(what|which)( new)? day"),
    ("time", r"\bwhat( new)? time"),
    ("service", r"come in for"),
)


def answer(messages: Iterable[Any], business: Business) -> Answer:
    """Answer a conversation.

    Args:
        messages: As in Pipecat's universal context. A conversation that does not end with words
            of the caller's (an instruction, noise, nothing) gets its last question again.
        business: Whose phone this is.
    """
    turns, owed = _turns(messages)
    state = State()
    for heard_before, said in turns:
        state = _step(state, heard_before, said, business)
    if owed:
        return state.reply
    if not turns:
        return Answer(text=lines.hello(business))
    if state.reply.hang_up:
        return Answer(text="Goodbye.", hang_up=True)
    return Answer(text=f"Sorry, I didn't catch that. {lines.question(state, business)}")


def _turns(messages: Iterable[Any]) -> tuple[list[tuple[str, str]], bool]:
    """What the caller said, each with what they heard before it; and whether it is unanswered.

    An answer that was never heard left no trace, so what was said on both sides of it is one.
    """
    turns: list[tuple[str, str]] = []
    heard, owed = "", False
    for message in messages:
        if not isinstance(message, Mapping):
            continue
        text = _text(message.get("content"))
        role = message.get("role")
        if role == "assistant" and text:
            heard, owed = f"{heard} {text}".strip(), False
        elif role == "user" and text:
            if turns and not heard:
                turns[-1] = (turns[-1][0], f"{turns[-1][1]} {text}")
            else:
                turns.append((heard, text))
            heard, owed = "", True
        elif role in ("user", "developer", "system"):
            owed = False
    return turns, owed


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content.strip()
    if isinstance(content, Sequence):
        parts = (part.get("text") for part in content if isinstance(part, Mapping))
        return " ".join(part.strip() for part in parts if isinstance(part, str)).strip()
    return ""


def _step(state: State, heard_before: str, said: str, business: Business) -> State:
    asked = _asked(heard_before)
    # Asked to confirm what they only heard half of, a caller's yes is not yet a yes.
    unheard = state.expecting == "confirm" and asked is None and bool(heard_before)
    expecting = asked or state.expecting
    dialling = expecting == "phone" or (bool(state.phone) and not state.phone_done)
    heard = hear(said, business, expecting=expecting, dialling=dialling)
    state = replace(state, expecting=expecting)

    over = _over(state, heard, expecting, business) or _aside(state, heard, business)
    if over is not None:
        return over
    if expecting == "offer" and not heard.wish and (heard.yes or heard.no):
        if heard.yes:
            return _say(state.begin("human"), "Of course.", business)
        return _say(_settled(state), "All right.", business)

    before = state
    state, remark = _take(state, heard, expecting, business)
    if told := lines.information(heard, state, business):
        return _say(replace(_settled(state), served=True), told, business)
    if expecting == "confirm" and before.task and not before.missing and not remark:
        if state == before and not unheard:
            return _confirm(state, heard, business)
    elif expecting == "change" and state == before:
        if piece := _wrong_piece(state, heard):
            return _say(_settled(state.without(piece)), "All right.", business)
    if remark or state != before or unheard:
        return _say(_settled(state), remark, business)
    return _small(state, heard, expecting, business)


def _asked(heard: str) -> str | None:
    """Which question the caller heard last, by its words; a cut-off one may be unknown."""
    questions = re.findall(r"[^.?!]*\?", heard.lower())
    last = questions[-1] if questions else heard.lower()[-60:]
    return next((what for what, words in _ASKED if re.search(words, last)), None)


def _settled(state: State) -> State:
    """The same, with nothing misunderstood and no question of its own open."""
    return replace(state, misses=0, expecting="open")


def _over(state: State, heard: Heard, expecting: str, business: Business) -> State | None:
    """The goodbye, when the caller has no more wishes."""
    whole = expecting == "phone" and len(state.phone) >= 7
    done = (
        heard.goodbye
        or (heard.enough and not whole and not (expecting == "confirm" and heard.yes))
        or (expecting == "else" and heard.no)
    )
    if not done or heard.facts or heard.wish or heard.asks:
        return None
    reply = Answer(text=lines.goodbye(business), hang_up=True)
    return replace(state.clear(), reply=reply)


def _aside(state: State, heard: Heard, business: Business) -> State | None:
    """What has nothing to do with appointments. The open question is asked again after it."""
    calmed = replace(state, misses=0)
    dropped = heard.wish == "cancel" and state.task in ("book", "human")
    if (heard.never_mind or (dropped and "appointment" not in heard.words)) and not heard.facts:
        return _say(state.clear(), "No problem.", business)
    if heard.asks_robot:
        return _say(calmed, f"{lines.ROBOT} {lines.CAN}", business)
    if heard.again and not heard.facts:
        return _say(calmed, "Of course.", business)
    if heard.wait and not heard.facts:
        return _say(calmed, "Take your time.", business)
    return None


def _take(state: State, heard: Heard, expecting: str, business: Business) -> tuple[State, str]:
    """Write down what was said. Gives a remark where it cannot be."""
    remark = ""
    correcting = expecting == "confirm" and bool(state.task) and not state.missing
    facts = heard.service or heard.day or heard.time is not None
    if heard.wish and heard.wish != state.task and not (heard.wish == "book" and state.task):
        state = state.begin(heard.wish)
    elif not state.task and facts and not heard.asks:
        state = state.begin("book")
    if heard.name:
        state = replace(state, name=heard.name)
    if heard.service:
        state = replace(state, service=heard.service)
    if heard.digits:
        # A few digits more may complete a number that was read back; a whole one replaces it, as
        # whatever follows a "no" does while the number is being said.
        again = len(heard.digits) >= 7 if correcting else state.phone_done or heard.no
        state = state.dial(heard.digits, anew=again)
    elif expecting == "phone" and len(state.phone) >= 7 and (heard.enough or heard.yes or heard.no):
        # "That's it": the number has no more digits than these.
        state = replace(state, phone_done=True)
    if not state.task or heard.asks:
        return state, remark
    if heard.day:
        state = replace(state, day=heard.day)
        weekday = weekday_of(heard.day)
        if weekday and business.opening(weekday) is None and state.task != "cancel":
            return replace(state, day=None), f"We're closed on {weekday.title()}s."
    if heard.time is not None:
        state = replace(state, time=heard.time)
    elif heard.part and expecting == "time":
        remark = f"The {heard.part} is fine."
    state, closed = _when_open(state, business)
    return state, closed or remark


def _when_open(state: State, business: Business) -> tuple[State, str]:
    """Take back a time at which nobody is there."""
    if state.time is None or state.task not in ("book", "move"):
        return state, ""
    weekday = weekday_of(state.day or "")
    hours = business.opening(weekday) if weekday else None
    opens, closes = hours or (business.earliest(), business.latest())
    if opens <= state.time < closes:
        return state, ""
    aloud = f"open from {spoken_time(opens)} to {spoken_time(closes)}"
    remark = f"On {weekday.title()}s we're {aloud}." if weekday else f"We're {aloud}."
    return replace(state, time=None), remark


def _confirm(state: State, heard: Heard, business: Business) -> State:
    """The answer to "is that right?" that changed nothing by itself."""
    if heard.yes or (heard.thanks and not heard.no):
        return _say(state.clear(), lines.done(state, business), business)
    if piece := _wrong_piece(state, heard):
        return _say(_settled(state.without(piece)), "All right.", business)
    if heard.no:
        return _say(replace(state, expecting="change", misses=0), "I'm sorry.", business)
    return _small(state, heard, "confirm", business)


def _wrong_piece(state: State, heard: Heard) -> str:
    """The piece that the caller calls wrong without saying what is right."""
    words = {
        "phone": {"phone", "number", "digits", "digit"},
        "name": {"name"},
        "time": {"time", "hour"},
        "day": {"day", "date"},
        "service": {"service", "visit", "reason"},
    }
    needed = NEEDS.get(state.task, ())
    return next((p for p, w in words.items() if p in needed and w & set(heard.words)), "")


def _small(state: State, heard: Heard, expecting: str, business: Business) -> State:
    """Answer what moved nothing on: thanks, hello, a yes too many, or something unknown."""
    if heard.thanks:
        return _say(replace(state, misses=0), "You're welcome.", business)
    idle = not state.task and expecting in ("else", "open")
    if idle and (heard.yes or heard.no):
        fresh = replace(state, expecting="open", misses=0, served=False)
        return _say(fresh, "All right.", business)
    if idle and heard.hello:
        return replace(state, misses=0, reply=Answer(text=lines.hello(business)))
    misses = state.misses + 1
    if misses > 2:
        offering = replace(state, misses=0, expecting="offer")
        return _say(offering, "I'm sorry, I'm not getting this.", business)
    sorry = "Sorry, I didn't catch that." if misses == 1 else "I'm sorry, I still didn't get that."
    helpful = misses == 2 or not state.task
    hint = lines.hint(state.next_question) if helpful and expecting != "offer" else ""
    return _say(replace(state, misses=misses), f"{sorry} {hint}".strip(), business)


def _say(state: State, remark: str, business: Business) -> State:
    """Say something, and then ask: the caller always knows that it is their turn."""
    text = f"{remark} {lines.question(state, business)}".strip()
    asked = state.expecting if state.expecting in ("offer", "change") else state.next_question
    return replace(state, expecting=asked, reply=Answer(text=text))
