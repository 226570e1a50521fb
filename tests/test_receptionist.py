"""What the scripted receptionist promises."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.frames.frames import (
    EndFrame,
    Frame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMTextFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.workers.runner import WorkerRunner
from tipring.llm.ladder import LadderLLMService
from tipring.providers import Call, End, Rung, RungEvent, TextDelta, ToolCall
from tipring_llm_receptionist import ReceptionistSettings, build, register_llm
from tipring_llm_receptionist.business import read_business
from tipring_llm_receptionist.clock import heard_time, spoken_time
from tipring_llm_receptionist.days import heard_day
from tipring_llm_receptionist.hearing import hear
from tipring_llm_receptionist.state import Answer
from tipring_llm_receptionist.talk import answer
from tipring_llm_receptionist.tokens import digit_runs, tokens

CALL = Call(id="test")
RIVERSIDE = read_business(None)
GREETING = {"role": "assistant", "content": "Thanks for calling. How can I help?"}
HANG_UP = ToolsSchema(
    standard_tools=[
        FunctionSchema(name="hang_up", description="End the call.", properties={}, required=[])
    ]
)


def converse(*utterances: str) -> list[Answer]:
    """Every answer of a call in which the caller says these."""
    messages: list[dict[str, Any]] = [{"role": "system", "content": "Be brief."}, GREETING]
    answers = []
    for utterance in utterances:
        messages.append({"role": "user", "content": utterance})
        said = answer(messages, RIVERSIDE)
        messages.append({"role": "assistant", "content": said.text})
        answers.append(said)
    return answers


def last(*utterances: str) -> str:
    return converse(*utterances)[-1].text


def digits_of(text: str) -> str:
    return "".join(c for c in text if c.isdigit())


BOOKED = (
    "I'd like to book a cleaning on Tuesday at three.",
    "Maria Lopez.",
    "555 010 4477",
)
READ_BACK = (
    "I have you down for a cleaning on Tuesday at three PM, for Maria Lopez, "
    "phone 5 5 5, 0 1 0, 4 4 7 7, is that right?"
)


def test_it_says_everywhere_that_it_is_a_script() -> None:
    (offer,) = register_llm()
    assert (offer.name, offer.label) == ("receptionist", "scripted demo, not AI")
    assert "scripted demo, not AI" in offer.summary
    assert "scripted" in last("Am I talking to a robot?")


def test_it_asks_for_what_is_missing_one_thing_at_a_time() -> None:
    said = converse(
        "Hi, I'd like to make an appointment.",
        "A check-up, please.",
        "Um, Wednesday.",
        "half past two",
        "It's John McDonald.",
        "five five five",
        "zero one zero, four four seven seven",
    )
    asked = [
        "come in for",
        "What day",
        "What time",
        "name",
        "phone number",
        "rest",
        "is that right",
    ]
    assert all(words in a.text for words, a in zip(asked, said, strict=True))
    assert said[-1].text == (
        "I have you down for a check-up on Wednesday at two thirty PM, for John McDonald, "
        "phone 5 5 5, 0 1 0, 4 4 7 7, is that right?"
    )


def test_it_reads_back_what_was_said_all_at_once() -> None:
    assert last(*BOOKED) == READ_BACK
    whole = (
        "Hello, my name is Maria Lopez and I need a cleaning on Tuesday at 3 p.m., "
        "my number is 555-010-4477."
    )
    assert last(whole) == READ_BACK


@pytest.mark.parametrize(
    ("correction", "now"),
    [
        ("No, Wednesday.", "a cleaning on Wednesday at three PM, for Maria Lopez"),
        ("No, not Tuesday, Thursday.", "a cleaning on Thursday at three PM"),
        ("No, at four.", "on Tuesday at four PM"),
        ("No, four.", "on Tuesday at four PM"),
        ("Actually it's for a check-up.", "a check-up on Tuesday"),
        ("No, my name is Mary Lopez.", "for Mary Lopez, phone 5 5 5, 0 1 0, 4 4 7 7"),
        ("No, it's 555 010 4478.", "phone 5 5 5, 0 1 0, 4 4 7 8"),
        ("That's not right.", "What should I change?"),
        ("No, the phone number is wrong.", "What is the best phone number"),
        ("The name is wrong.", "May I have your name?"),
        ("No.", "What should I change?"),
        ("Can you repeat that?", READ_BACK),
    ],
)
def test_a_correction_changes_what_it_names_and_nothing_else(correction: str, now: str) -> None:
    assert now in last(*BOOKED, correction)


def test_what_should_i_change_takes_the_piece_or_the_new_value() -> None:
    assert "What time" in last(*BOOKED, "No.", "The time.")
    assert "at eleven AM" in last(*BOOKED, "No.", "Eleven.")
    assert "on Friday" in last(*BOOKED, "No.", "Friday.")


def test_a_confirmed_booking_ends_with_a_goodbye_and_a_hang_up() -> None:
    said = converse(*BOOKED, "Yes, that's right.", "No, that's all, thanks.")
    assert said[-2].text.startswith("You're all set. We'll see you on Tuesday.")
    assert said[-1] == Answer(text="Thank you for calling Riverside Dental. Goodbye.", hang_up=True)
    assert not any(a.hang_up for a in said[:-1])


def test_a_number_that_went_wrong_halfway_is_said_again_after_a_no() -> None:
    assert "phone 5 5 5, 0 1 0, 4 4 7 7," in last(*BOOKED[:2], "5555", "No, 555 010 4477")


def test_an_appointment_is_moved() -> None:
    said = converse(
        "I need to reschedule.", "Bob Jones", "Sunday", "Saturday", "3 pm", "11", "Yes."
    )
    assert "closed on Sundays" in said[2].text
    assert "open from nine AM to one PM" in said[4].text
    assert said[5].text == (
        "I'll move the appointment for Bob Jones to Saturday at eleven AM, is that right?"
    )
    assert said[6].text.startswith("Done. We'll see you on Saturday.")


def test_an_appointment_is_cancelled() -> None:
    said = converse("I have to cancel my appointment.", "Under Smith.", "Thursday.", "Yeah.")
    assert said[2].text == "I'll cancel the appointment for Smith on Thursday, is that right?"
    assert said[3].text.startswith("Done. Your appointment is cancelled.")


def test_a_caller_who_wants_a_person_is_called_back() -> None:
    said = converse("Can I talk to a real person?", "555 0104", "Correct.")
    assert said[1].text == "Somebody will call you back at 5 5 5, 0 1 0 4, is that right?"
    assert "will call you" in said[2].text


def test_hours_and_prices_are_those_of_the_file_and_the_question_stays_open() -> None:
    assert "Thursday from eight AM to seven PM" in last("When are you open?")
    assert last("How much is a cleaning?").startswith("A cleaning is 95 dollars.")
    assert last("Are you open on Saturday?").startswith(
        "On Saturdays we're open from nine AM to one PM."
    )
    assert last("Are you open on Sundays?").startswith("We're closed on Sundays.")
    in_between = last("I'd like to book a cleaning.", "How much does it cost?")
    assert "95 dollars" in in_between
    assert in_between.endswith("What day suits you?")


def test_it_asks_again_twice_and_then_offers_a_person() -> None:
    said = converse("I'd like a cleaning.", "Wibble.", "Wobble.", "Wubble.", "Yes.", "555 0104")
    assert [a.text.endswith("What day suits you?") for a in said[:4]] == [True, True, True, False]
    assert "somebody to call you back?" in said[3].text
    assert said[4].text == "Of course. What is the best phone number to reach you?"
    assert "call you back at 5 5 5, 0 1 0 4" in said[5].text
    refused = last("I'd like a cleaning.", "Wibble.", "Wobble.", "Wubble.", "No.")
    assert refused.endswith("What day suits you?")


@pytest.mark.parametrize("words", ["Goodbye.", "Bye bye.", "No, that's it, thanks, bye."])
def test_a_goodbye_ends_the_call_at_any_point(words: str) -> None:
    for before in ((), BOOKED[:1], BOOKED):
        assert converse(*before, words)[-1].hang_up


def test_thanks_alone_do_not_end_a_call() -> None:
    said = converse("How much is a cleaning?", "Thank you.")[-1]
    assert not said.hang_up
    assert said.text.endswith("?")


def test_taking_back_a_wish_is_no_problem() -> None:
    assert last(*BOOKED, "Never mind.").startswith("No problem.")
    assert last(*BOOKED, "No, cancel that.").startswith("No problem.")


def test_a_yes_to_half_a_read_back_is_not_taken_for_all_of_it() -> None:
    messages = [
        GREETING,
        {"role": "user", "content": BOOKED[0]},
        {"role": "assistant", "content": "May I have your name?"},
        {"role": "user", "content": BOOKED[1]},
        {"role": "assistant", "content": "What is the best phone number to reach you?"},
        {"role": "user", "content": BOOKED[2]},
        {"role": "assistant", "content": "I have you down for a cleaning on"},
        {"role": "user", "content": "Yeah."},
    ]
    assert answer(messages, RIVERSIDE).text == READ_BACK
    messages[-2]["content"] = READ_BACK
    assert answer(messages, RIVERSIDE).text.startswith("You're all set.")


def test_what_was_said_on_both_sides_of_an_unheard_answer_is_one() -> None:
    messages = [
        GREETING,
        {"role": "user", "content": "I'd like to book a cleaning on"},
        {"role": "user", "content": "Tuesday at three."},
    ]
    assert answer(messages, RIVERSIDE).text == "May I have your name?"


def test_it_goes_on_where_another_rung_left_off() -> None:
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "I need a cleaning on Monday"}]},
        {"role": "assistant", "content": "Sure! And what time would you like to come on Monday?"},
        {"role": "user", "content": "Ten."},
    ]
    assert answer(messages, RIVERSIDE).text == "May I have your name?"
    messages += [
        {"role": "assistant", "content": "May I have your name?"},
        {"role": "user", "content": "Ann Lee"},
        {"role": "assistant", "content": "Great, and a phone number?"},
        {"role": "user", "content": "555 0104"},
    ]
    assert "on Monday at ten AM, for Ann Lee, phone 5 5 5, 0 1 0 4" in (
        answer(messages, RIVERSIDE).text
    )


@pytest.mark.parametrize(
    "nudge",
    [
        {"role": "developer", "content": "The caller has been silent. Ask if they are there."},
        {"role": "system", "content": "Noise interrupted you."},
        {"role": "user", "content": "  "},
    ],
)
def test_without_words_of_the_caller_the_question_is_asked_again(nudge: dict[str, str]) -> None:
    messages = [
        GREETING,
        {"role": "user", "content": "I'd like a cleaning."},
        {"role": "assistant", "content": "What day suits you?"},
        nudge,
    ]
    assert answer(messages, RIVERSIDE).text == "Sorry, I didn't catch that. What day suits you?"
    assert answer([nudge], RIVERSIDE).text.endswith("How can I help you?")
    assert answer([], RIVERSIDE).text.endswith("How can I help you?")


def test_nothing_is_remembered_between_answers() -> None:
    first = converse(*BOOKED)
    converse("My name is Somebody Else", "Friday", "check-up")
    assert converse(*BOOKED) == first


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("three p m", 900), ("3pm", 900), ("3 p.m.", 900), ("at three", 900), ("3:30", 930),
        ("three thirty", 930), ("half past three", 930), ("quarter to four", 945),
        ("nine in the morning", 540), ("at nine", 540), ("noon", 720), ("at 330", 930),
        ("15:00", 900), ("ten o'clock", 600), ("four forty five", 1005), ("eleven a.m.", 660),
        ("at twelve", 720), ("ten oh five", 605), ("no, not three, four", 960),
    ],
)  # fmt: skip
def test_times_are_heard_however_they_are_written(text: str, minutes: int) -> None:
    heard = heard_time(tokens(text), expected=True, earliest=480, latest=1020)
    assert heard == minutes


def test_a_bare_number_is_only_a_time_when_one_was_asked_for() -> None:
    assert heard_time(tokens("for three people"), expected=False, earliest=480, latest=1020) is None
    assert heard_time(tokens("three"), expected=True, earliest=480, latest=1020) == 900


@given(st.integers(0, 24 * 60 - 1))
def test_a_time_read_back_is_heard_as_itself(minutes: int) -> None:
    heard = heard_time(tokens(spoken_time(minutes)), expected=False, earliest=480, latest=1020)
    assert heard == minutes


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("Tuesday", "Tuesday"), ("on tuesdays", "Tuesday"), ("teusday", "Tuesday"),
        ("wensday please", "Wednesday"), ("Tuesday the 5th", "Tuesday the 5th"),
        ("tuesday the fifth", "Tuesday the 5th"), ("next Friday", "next Friday"),
        ("tomorrow", "tomorrow"), ("the day after tomorrow", "the day after tomorrow"),
        ("the twenty second", "the 22nd"), ("March 3rd", "March 3rd"),
        ("the third of March", "March 3rd"), ("not Monday, Thursday", "Thursday"),
        ("my birthday", None), ("may I come", None), ("the first available", None),
        ("one second", None), ("yesterday", None),
    ],
)  # fmt: skip
def test_days_are_heard_however_they_are_written(text: str, day: str | None) -> None:
    assert heard_day(tokens(text)) == day


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Maria Lopez.", "Maria Lopez"), ("It's Maria Lopez", "Maria Lopez"),
        ("my name is maria lopez and I need help", "Maria Lopez"), ("Um, this is Bob.", "Bob"),
        ("M A R I A", "Maria"), ("It's under McDonald.", "McDonald"),
        ("Yes, it's O'Neil", "O'Neil"), ("I'd like to know your hours", None),
        ("What?", None), ("Quarter to four", None), ("Hold on a second", None),
        ("yes", None), ("555", None),
    ],
)  # fmt: skip
def test_names_are_heard_when_asked_for(text: str, name: str | None) -> None:
    assert hear(text, RIVERSIDE, expecting="name", dialling=False).name == name


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("five five five", "555"), ("555-010-4477", "5550104477"), ("double five oh", "550"),
        ("triple five, zero one", "55501"), ("forty four seventy seven", "4477"),
        ("eight hundred", "800"), ("five, um, five and five", "555"), ("nineteen", "19"),
        ("(555) 010 4477", "5550104477"),
    ],
)  # fmt: skip
def test_digits_are_heard_however_they_are_said(text: str, digits: str) -> None:
    assert [run for _, _, run in digit_runs(tokens(text))] == [digits]


NAMES = "zero one two three four five six seven eight nine".split()


@given(
    digits=st.text("0123456789", min_size=10, max_size=10),
    seed=st.integers(0, 2**32),
    aloud=st.booleans(),
)
def test_a_number_is_read_back_digit_for_digit(digits: str, seed: int, aloud: bool) -> None:
    # Said in pieces, in words or figures; no piece completes a local number on the way.
    chance = random.Random(seed)
    cuts = sorted(chance.sample((1, 2, 3, 4, 5, 6, 8, 9), chance.randint(0, 3)))
    pieces = [digits[a:b] for a, b in zip([0, *cuts], [*cuts, 10], strict=True)]
    says = [" ".join(NAMES[int(d)] for d in p) if aloud else p for p in pieces]
    read_back = last(*BOOKED[:2], *says)
    assert read_back.endswith("is that right?")
    assert digits_of(read_back) == digits


UTTERANCES = [
    *BOOKED, "hello?", "yes", "no", "maybe", "um", "goodbye", "thanks", "that's all", "wibble",
    "book", "move my appointment", "cancel it", "a person please", "how much", "your hours?",
    "Tuesday the 5th", "Sunday", "3pm", "midnight", "25:99", "99 99 99", "555", "zero", "oh",
    "five five five five five five five five five five five five", "my name is", "it's",
    "M A R I A", "no, the number", "the time is wrong", "what?", "never mind", "hold on",
    "are you a robot", "double", "half past", "quarter to", "the thirty second", "…", "?!", "ünï",
    "in the morning", "next", "not Tuesday", "that's right", "no problem", "pain", "call me at",
    "may", "March", "the", "a m", "1 2 3 4 5 6 7", "",
]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(UTTERANCES), min_size=1, max_size=14))
def test_whatever_is_said_the_caller_gets_a_question_or_a_goodbye(said: Sequence[str]) -> None:
    for each in converse(*said):
        assert each.text.strip()
        assert each.text.endswith("?") or (each.hang_up and each.text.endswith("Goodbye."))


@given(st.lists(st.text(max_size=60), min_size=1, max_size=5))
def test_no_text_at_all_makes_it_fail(said: Sequence[str]) -> None:
    assert all(each.text for each in converse(*said))


async def events_of(rung: Rung, context: LLMContext) -> list[RungEvent]:
    return [event async for event in rung.stream(context, system="Be brief.")]


def ended(tools: ToolsSchema | None) -> LLMContext:
    messages: list[Any] = [GREETING, {"role": "user", "content": "Goodbye."}]
    return LLMContext(messages, tools) if tools else LLMContext(messages)


async def test_it_streams_words_and_hangs_up_after_the_goodbye_where_that_is_offered() -> None:
    rung = build(ReceptionistSettings(delay=0), CALL)
    events = await events_of(rung, ended(HANG_UP))
    text = "".join(e.text for e in events if isinstance(e, TextDelta))
    assert text == "Thank you for calling Riverside Dental. Goodbye."
    assert len([e for e in events if isinstance(e, TextDelta)]) == len(text.split())
    assert isinstance(events[-2], ToolCall) and events[-2].name == "hang_up"
    assert events[-1] == End()
    await rung.aclose()


async def test_it_calls_no_tool_that_is_not_offered() -> None:
    events = await events_of(build(ReceptionistSettings(delay=0), CALL), ended(None))
    assert not any(isinstance(e, ToolCall) for e in events)
    assert events[-1] == End()


class Texts(FrameProcessor):
    """Keeps the words of an answer."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.over = asyncio.Event()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, LLMTextFrame):
            self.texts.append(frame.text)
        elif isinstance(frame, LLMFullResponseEndFrame):
            self.over.set()
        await self.push_frame(frame, direction)


async def test_it_is_a_rung_of_the_ladder_like_any_other() -> None:
    rung = build(ReceptionistSettings(delay=0), CALL)
    ladder, texts = LadderLLMService([("receptionist", rung)], system="Be brief."), Texts()
    worker = PipelineWorker(Pipeline([ladder, texts]), enable_rtvi=False, idle_timeout_secs=None)
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    running = asyncio.create_task(runner.run())
    said = {"role": "user", "content": "How much is a cleaning?"}
    await worker.queue_frames([LLMContextFrame(LLMContext([GREETING, said]))])  # type: ignore[list-item]
    await asyncio.wait_for(texts.over.wait(), 30)
    await worker.queue_frames([EndFrame()])
    await asyncio.wait_for(running, 30)
    words = " ".join(" ".join(texts.texts).split())
    assert words == "A cleaning is 95 dollars. Is there anything else I can help you with?"


def test_your_own_business_is_a_file(tmp_path: Path) -> None:
    file = tmp_path / "garage.toml"
    file.write_text(
        'name = "Hill Garage"\n[hours]\nmonday = ["07:00", "15:00"]\n'
        '[[services]]\nname = "oil change"\nprice = "40 dollars"\nwords = ["oil"]\n'
    )
    garage = read_business(file)
    told = answer([{"role": "user", "content": "How much is new oil, and your hours?"}], garage)
    assert told.text.startswith(
        "We're open Monday from seven AM to three PM. An oil change is 40 dollars."
    )
    assert build(ReceptionistSettings(business=file), CALL)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("name = ", "is not TOML"),
        ('name = "X"\n[hours]\nmonday = ["8", "17:00"]\n', "not a time such as 08:30"),
        ('name = "X"\n[hours]\nMontag = ["08:00", "17:00"]\n', "not a weekday"),
        ('name = "X"\n[hours]\nmonday = ["08:00", "17:00"]\n', "services"),
    ],
)
def test_a_wrong_business_file_is_refused_with_a_sentence(
    tmp_path: Path, text: str, complaint: str
) -> None:
    file = tmp_path / "business.toml"
    file.write_text(text)
    with pytest.raises(ValueError, match=re.escape(complaint)):
        build(ReceptionistSettings(business=file), CALL)
    with pytest.raises(ValueError, match="cannot be read"):
        build(ReceptionistSettings(business=tmp_path / "none.toml"), CALL)


def test_only_english_is_promised() -> None:
    with pytest.raises(ValueError, match="English only"):
        build(ReceptionistSettings(), Call(id="test", language="de"))
