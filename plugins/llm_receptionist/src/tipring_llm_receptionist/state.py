"""What is known of the caller's wish, and what is missing."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

NEEDS = {
    "book": ("service", "day", "time", "name", "phone"),
    "move": ("name", "day", "time"),
    "cancel": ("name", "day"),
    "human": ("phone",),
}
"""The tasks, and what each must know, in the order in which it is asked for."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the receptionist says, and whether the call is then over."""

    text: str
    hang_up: bool = False


@dataclass(frozen=True, kw_only=True)
class State:
    """How far the conversation has come.

    Attributes:
        task: What is being done, one of ``NEEDS``; empty while there is nothing to do.
        service: What the caller comes in for.
        day: The day as it is said back.
        time: Minutes of the day.
        name: Who calls.
        phone: The digits of the phone number so far.
        phone_done: Whether that is all of it.
        expecting: What was asked last.
        misses: How often in a row nothing was understood.
        served: Whether something was done already, so that one asks what else there is.
        reply: What is said to the last words.
    """

    task: str = ""
    service: str | None = None
    day: str | None = None
    time: int | None = None
    name: str | None = None
    phone: str = ""
    phone_done: bool = False
    expecting: str = "open"
    misses: int = 0
    served: bool = False
    reply: Answer = field(default_factory=lambda: Answer(text=""))

    @property
    def missing(self) -> str:
        """What must be asked for next; empty when all is known."""
        for need in NEEDS.get(self.task, ()):
            if need == "phone" and not self.phone_done:
                return need
            if need != "phone" and getattr(self, need) is None:
                return need
        return ""

    @property
    def next_question(self) -> str:
        """What there is to ask: what is missing, or whether all is right, or what else."""
        if not self.task:
            return "else" if self.served else "open"
        return self.missing or "confirm"

    def begin(self, task: str) -> State:
        """Start on a wish. Who calls does not change with it, nor what they just asked about."""
        service = None if self.task else self.service
        return replace(
            self, task=task, service=service, day=None, time=None, misses=0, expecting="open"
        )

    def clear(self) -> State:
        """Be done with the task."""
        done = self.begin("")
        return replace(done, service=None, expecting="else", served=True)

    def dial(self, digits: str, *, anew: bool) -> State:
        """Add digits to the phone number, or begin it anew.

        Args:
            digits: What was said now.
            anew: Whether they stand instead of what was said before.
        """
        phone = digits if anew else self.phone + digits
        # Seven digits, at a breath or as three and four, are a local number; ten any American
        # one; more is abroad.
        whole = len(phone) >= 10 or (len(phone) == 7 and len(digits) in (4, 7))
        return replace(self, phone=phone, phone_done=whole)

    def without(self, piece: str) -> State:
        """Forget one piece, so that it is asked for again."""
        match piece:
            case "phone":
                return replace(self, phone="", phone_done=False, misses=0)
            case "service":
                return replace(self, service=None, misses=0)
            case "day":
                return replace(self, day=None, misses=0)
            case "time":
                return replace(self, time=None, misses=0)
            case _:
                return replace(self, name=None, misses=0)
