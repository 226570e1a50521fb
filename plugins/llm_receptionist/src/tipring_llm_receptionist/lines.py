"""Everything the receptionist can say."""

from __future__ import annotations

from tipring_llm_receptionist.business import Business
from tipring_llm_receptionist.clock import spoken_time
from tipring_llm_receptionist.days import on_day, weekday_of
from tipring_llm_receptionist.hearing import Heard
from tipring_llm_receptionist.state import State

OFFER = "Would you like somebody to call you back?"
CHANGE = "What should I change?"
CAN = "I can book, move or cancel an appointment, or tell you our hours and prices."
ROBOT = "I'm a scripted demonstration, neither a person nor an AI."


def hello(business: Business) -> str:
    """The first words, and the answer to a hello."""
    return f"Hello, this is {business.name}. How can I help you?"


def goodbye(business: Business) -> str:
    """The last words."""
    return f"Thank you for calling {business.name}. Goodbye."


def question(state: State, business: Business) -> str:
    """The question that is open. Every answer that does not end the call ends with it."""
    if state.expecting == "offer":
        return OFFER
    if state.expecting == "change":
        return CHANGE
    asked = state.next_question
    if asked == "confirm":
        return read_back(state)
    if asked == "phone" and state.phone:
        return f"I have {by_digit(state.phone)} so far. What is the rest of the number?"
    new = "new " if state.task == "move" else ""
    return {
        "else": "Is there anything else I can help you with?",
        "open": "How can I help you?",
        "service": f"What would you like to come in for: {business.services_aloud()}?",
        "day": "What day is it on?" if state.task == "cancel" else f"What {new}day suits you?",
        "time": f"What {new}time suits you?",
        "name": "May I have your name?" if state.task == "book" else "What name is it under?",
        "phone": "What is the best phone number to reach you?",
    }[asked]


def read_back(state: State) -> str:
    """What was understood, all of it, for the caller to confirm or correct."""
    when, at = on_day(state.day or ""), spoken_time(state.time or 0)
    if state.task == "book":
        visit = f"{a(state.service or '')} {when} at {at}"
        phone = by_digit(state.phone)
        return f"I have you down for {visit}, for {state.name}, phone {phone}, is that right?"
    return {
        "move": f"I'll move the appointment for {state.name} to {state.day} at {at}, "
        "is that right?",
        "cancel": f"I'll cancel the appointment for {state.name} {when}, is that right?",
        "human": f"Somebody will call you back at {by_digit(state.phone)}, is that right?",
    }[state.task]


def done(state: State, business: Business) -> str:
    """What was done."""
    when = on_day(state.day or "")
    return {
        "book": f"You're all set. We'll see you {when}.",
        "move": f"Done. We'll see you {when}.",
        "cancel": "Done. Your appointment is cancelled.",
        "human": f"Thank you. Somebody from {business.name} will call you.",
    }[state.task]


def hint(asked: str) -> str:
    """An example of what would be understood."""
    return {
        "service": "",
        "day": "You could say Tuesday, or tomorrow.",
        "time": "You could say three thirty.",
        "name": "You could spell it.",
        "phone": "You can say it digit by digit, with pauses.",
        "confirm": "You can say yes, or tell me what to change.",
    }.get(asked, CAN)


def information(heard: Heard, state: State, business: Business) -> str:
    """Opening hours and prices, as far as they were asked for: of the day or service meant."""
    said = []
    if heard.asks_hours:
        said.append(_hours(weekday_of(heard.day or ""), business))
    if heard.asks_price:
        meant = heard.service or state.service
        priced = [s for s in business.services if s.name == meant] or business.services
        prices = ", ".join(f"{a(s.name)} is {s.price}" for s in priced)
        said.append(f"{prices[0].upper()}{prices[1:]}.")
    return " ".join(said)


def _hours(weekday: str | None, business: Business) -> str:
    if weekday is None:
        return f"We're open {business.hours_aloud()}."
    hours = business.opening(weekday)
    if hours is None:
        return f"We're closed on {weekday.title()}s."
    opens, closes = map(spoken_time, hours)
    return f"On {weekday.title()}s we're open from {opens} to {closes}."


def a(noun: str) -> str:
    """A noun with its article."""
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"


def by_digit(phone: str) -> str:
    """A phone number one digit at a time, with the pauses of somebody who reads one out."""
    head = phone[:-10] if len(phone) > 10 else ""
    body = phone[len(head) :]
    groups = [head, body[:3], body[3:6], body[6:]] if len(body) > 7 else [body[:3], body[3:]]
    return ", ".join(" ".join(group) for group in groups if group)
