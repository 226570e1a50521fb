"""What one utterance says: wishes, and the pieces of an appointment."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tipring_llm_receptionist.business import Business
from tipring_llm_receptionist.clock import heard_time, part_of_day
from tipring_llm_receptionist.days import heard_day
from tipring_llm_receptionist.tokens import contains, digit_runs, find, number, tokens

_WISHES = {
    "cancel": ("cancel", "call off"),
    "move": ("reschedule", "move", "postpone", "change my appointment", "change the appointment",
             "change an appointment", "different appointment", "another time for my"),
    "human": ("human", "real person", "a person", "talk to someone", "talk to somebody",
              "speak to someone", "speak with someone", "talk with someone", "speak to somebody",
              "representative", "operator", "front desk", "call me back", "speak to a",
              "talk to a", "speak with a", "the dentist call"),
    "book": ("book", "booking", "appointment", "schedule", "come in", "make a reservation",
             "be seen", "see the dentist", "see a dentist"),
}  # fmt: skip
"""In order: "cancel my appointment" is no booking."""

_HOURS = ("hours", "are you open", "you open", "do you close", "open on", "open until", "closed")
_PRICE = ("how much", "price", "prices", "cost", "costs", "charge", "fee", "fees")
_ROBOT = ("robot", "are you a machine", "are you real", "are you human", "an ai", "who are you",
          "who is this", "a computer", "a bot")  # fmt: skip
_AGAIN = ("repeat that", "say that again", "say it again", "come again", "pardon", "repeat it",
          "what did you say", "what was that", "could you repeat", "can you repeat")  # fmt: skip
_GOODBYE = ("bye", "goodbye", "good bye", "bye bye", "hang up", "have a good day",
            "have a nice day", "have a good one", "talk to you later", "see you")  # fmt: skip
_ENOUGH = ("that's all", "that is all", "that'll be all", "that will be all", "that's it",
           "that is it", "nothing else", "all set", "i'm done", "i am done", "nothing more",
           "i'm good", "that's everything")  # fmt: skip
_NEVER_MIND = ("never mind", "nevermind", "forget it", "forget about it")
_WAIT = ("wait", "hold on", "hang on", "one moment", "one second", "just a moment", "just a second",
         "just a minute", "one sec", "let me check", "let me see", "let me think")  # fmt: skip
_THANKS = ("thanks", "thank you", "cheers")
_HELLO = ("hello", "hi", "hey", "good morning", "good afternoon", "good evening")
_WRONG = ("not right", "not correct", "that's wrong", "is wrong", "incorrect", "isn't right",
          "nope", "nah", "not quite", "no")  # fmt: skip
_RIGHT = ("yes", "yeah", "yep", "yup", "yah", "correct", "right", "sure", "ok", "okay", "perfect",
          "exactly", "sounds good", "please do", "great", "fine", "absolutely", "of course",
          "mhm", "uh huh", "mm hmm", "that works", "go ahead", "please")  # fmt: skip

_FILLERS = frozenset(
    "um uh er ah oh well so yes yeah yep sure ok okay please hi hello hey no sorry and the a "
    "it's its it is that that's would be actually thanks thank you".split()
)
_NAME_STOPS = frozenset(
    "and i i'm my phone number on at for calling but because to with please thanks thank is "
    "the a from you your can could would want need have here speaking so um uh at in this "
    "actually sorry not me it it's that".split()
)
_NAME_LEADS = ("my name is", "my name's", "the name is", "the name's", "name is", "this is",
               "it's under", "under the name", "under", "first name", "last name is",
               "it's for", "i am called", "call me")  # fmt: skip
_NUMBER_LEADS = ("number is", "number's", "phone is", "call me at", "reach me at", "call me on")
_NO_NAMES = frozenset(
    "yes no not appointment book cancel move hours price person help what when where how why who "
    "cleaning calling good great fine late early wrong right correct number day time dentist "
    "monday tuesday wednesday thursday friday saturday sunday today tomorrow don't know name "
    "maybe i'd i'll i've like to do does did was were are be been will if of so just about then "
    "them they we us let let's can't wait hold hang one second moment minute say again what's "
    "there's repeat sorry pardon open close much cost thing else nothing anything something bye "
    "goodbye hello checkup check filling whitening emergency human agent never mind forget "
    "double triple half quarter morning afternoon evening noon".split()
)


@dataclass(frozen=True, kw_only=True)
class Heard:
    """One utterance, understood as far as the rules go. None and empty mean: not said."""

    words: tuple[str, ...]
    wish: str = ""
    service: str | None = None
    day: str | None = None
    time: int | None = None
    part: str = ""
    name: str | None = None
    digits: str = ""
    yes: bool = False
    no: bool = False
    asks_hours: bool = False
    asks_price: bool = False
    asks_robot: bool = False
    again: bool = False
    goodbye: bool = False
    enough: bool = False
    never_mind: bool = False
    wait: bool = False
    thanks: bool = False
    hello: bool = False

    @property
    def asks(self) -> bool:
        """Whether hours or prices were asked for."""
        return self.asks_hours or self.asks_price

    @property
    def facts(self) -> bool:
        """Whether some piece of an appointment was said."""
        return bool(self.service or self.day or self.time is not None or self.name or self.digits)


def hear(text: str, business: Business, *, expecting: str, dialling: bool) -> Heard:
    """Understand an utterance.

    Args:
        text: What the transcriber wrote.
        business: Whose services and hours are spoken of.
        expecting: What was asked last: ``phone``, ``name``, ``time``, ``day``, ``service``,
            ``confirm`` or something else. A bare number means what was asked for.
        dialling: Whether a phone number was begun or asked for, so that digits go on with it.
    """
    words = tokens(text)
    digits, rest = _digits(words, expecting, dialling=dialling)
    name, rest = _name(text, rest, expecting)
    wrong, right = _any(rest, _WRONG), _any(rest, _RIGHT)
    if contains(rest, "no problem") or contains(rest, "no worries"):
        wrong, right = False, True
    return Heard(
        words=tuple(words),
        wish=next((wish for wish, says in _WISHES.items() if _any(rest, says)), ""),
        service=_service(rest, business),
        day=heard_day(rest),
        time=heard_time(
            rest,
            # "No, four" to what was read back: the only short number in it is the time.
            expected=expecting in ("time", "change") or (expecting == "confirm" and wrong),
            earliest=business.earliest(),
            latest=business.latest(),
        ),
        part=part_of_day(rest),
        name=name,
        digits=digits,
        yes=right and not wrong,
        no=wrong,
        asks_hours=_any(rest, _HOURS),
        asks_price=_any(rest, _PRICE),
        asks_robot=_any(rest, _ROBOT),
        again=_any(rest, _AGAIN),
        goodbye=_any(rest, _GOODBYE),
        enough=_any(rest, _ENOUGH),
        never_mind=_any(rest, _NEVER_MIND),
        wait=_any(rest, _WAIT),
        thanks=_any(rest, _THANKS),
        hello=_any(rest, _HELLO),
    )


def _any(words: Sequence[str], phrases: Sequence[str]) -> bool:
    return any(contains(words, phrase) for phrase in phrases)


def _service(words: Sequence[str], business: Business) -> str | None:
    for service in business.services:
        if _any(words, (service.name, *service.words)):
            return service.name
    return None


def _digits(words: Sequence[str], expecting: str, *, dialling: bool) -> tuple[str, list[str]]:
    """The digits of a phone number, and the words without them."""
    runs = digit_runs(words)
    # A number asked for may come in small pieces; one that was not is known by its length.
    wanted = (
        expecting == "phone"
        or _any(words, _NUMBER_LEADS)
        or ((dialling or expecting == "confirm") and _only_digits(words, runs))
    )
    long = sum(len(digits) for _, _, digits in runs) >= 7 and any(
        len(digits) >= 3 for _, _, digits in runs
    )
    taken = [
        run
        for run in runs
        if (wanted and not _is_time(words, run)) or (long and len(run[2]) >= 3) or len(run[2]) >= 7
    ]
    rest = list(words)
    for start, stop, _ in reversed(taken):
        rest[start:stop] = ["…"]
    return "".join(digits for _, _, digits in taken), rest


def _only_digits(words: Sequence[str], runs: Sequence[tuple[int, int, str]]) -> bool:
    covered = sum(stop - start for start, stop, _ in runs)
    loose = [w for w in words if w in _FILLERS or w in ("number", "phone", "my")]
    return bool(runs) and covered + len(loose) >= len(words) and len(runs[-1][2]) >= 3


def _is_time(words: Sequence[str], run: tuple[int, int, str]) -> bool:
    after = words[run[1]] if run[1] < len(words) else ""
    return after in ("am", "pm", "oclock") and len(run[2]) <= 4


def _name(text: str, words: list[str], expecting: str) -> tuple[str | None, list[str]]:
    """A name, and the words without it, so that April and Will are nobody's month or wish."""
    for lead in _NAME_LEADS:
        at = find(words, lead)
        if at is None:
            continue
        stop = at + len(tokens(lead))
        picked = _run_of_names(words, stop)
        if picked:
            return _as_written(text, picked), words[:at] + words[stop + len(picked) :]
    if expecting != "name":
        return None, words
    start = 0
    while start < len(words) and words[start] in _FILLERS:
        start += 1
    picked = _run_of_names(words, start)
    # A name is most of what somebody says who was asked for it.
    loose = [w for w in words[start + len(picked) :] if w not in _FILLERS and len(w) > 1]
    if not picked or len(loose) > 3 + len(picked):
        return None, words
    return _as_written(text, picked), words[:start] + words[start + len(picked) :]


def _run_of_names(words: Sequence[str], at: int) -> list[str]:
    """Up to four words from here that may be a name; letters spelled one by one are one word."""
    picked: list[str] = []
    for word in words[at:]:
        if word in _NAME_STOPS and not (len(word) == 1 and picked and len(picked[-1]) == 1):
            break
        if word in _NO_NAMES or number(word) is not None or not word[0].isalpha():
            break
        picked.append(word)
    if picked and all(len(word) == 1 for word in picked):
        return picked if len(picked) > 1 else []
    return picked[:4]


def _as_written(text: str, picked: Sequence[str]) -> str:
    if all(len(word) == 1 for word in picked):
        return "".join(picked).title()
    whole = [word for word in picked if len(word) > 1 or word == picked[0]]
    said = []
    for word in whole:
        match = re.search(rf"\b{re.escape(word)}\b", text.replace("’", "'"), re.IGNORECASE)
        written = match[0] if match else word
        # "McDonald" stays; "MARIA" and "maria" are Maria.
        mixed = not written.islower() and not written.isupper()
        said.append(written if mixed else written[0].upper() + written[1:].lower())
    return " ".join(said)
