"""The ladder says one answer, whole, or none; and it knows which rung to ask."""

from __future__ import annotations

import asyncio
import logging
import random
import re
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any

import pytest
import sentry_sdk
from hypothesis import given
from hypothesis import strategies as st
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.frames.frames import (
    EagerEndOfTurnCancelFrame,
    Frame,
    InterruptionFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    MetricsFrame,
    TTSAudioRawFrame,
    TTSSpeakFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from pipecat.metrics.metrics import LLMUsageMetricsData, TTFBMetricsData
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.llm_service import FunctionCallParams
from pipecat.services.settings import TTSSettings
from pipecat.services.tts_service import TTSService
from pipecat.utils.errors import ErrorCategory
from tipring.llm.breaker import Breakers
from tipring.llm.failures import RungFailed, sentence_of
from tipring.llm.ladder import LadderLLMService
from tipring.llm.sentences import Sentences
from tipring.providers import End, Rung, RungEvent, TextDelta, ToolCall, Usage

from tests.fast_loop import run_fast
from tests.scripted_rungs import HANG, Ear, ScriptedRung, Step, a_context, line, says

ANSWER = "We open at nine. Shall I book a table? I can do that now."
SENTENCES = ["We open at nine.", "Shall I book a table?", "I can do that now."]


def ladder(*rungs: ScriptedRung, **kwargs: Any) -> LadderLLMService:
    named = [(chr(ord("a") + i), rung) for i, rung in enumerate(rungs)]
    return LadderLLMService(named, system="Be brief.", **kwargs)


def now() -> float:
    return asyncio.get_running_loop().time()


# One answer


def test_an_answer_leaves_the_ladder_in_whole_sentences() -> None:
    async def main() -> None:
        rung = ScriptedRung([says("Dr. Lee is in at 3.30 on Friday.  Is that all right? Fine")])
        async with line(ladder(rung)) as phone:
            assert await phone.ask() == [
                "Dr. Lee is in at 3.30 on Friday.",
                "Is that all right?",
                "Fine",
            ]
            assert rung.systems == ["Be brief."]
            assert phone.events == [("on_first_token", "a"), ("on_rung_used", "a")]

    run_fast(main())


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "Sure, Dr. Lee is in.  Is 3.30 all right? Bye"),
        ("es-MX", "¿Qué tal? Muy bien. Adiós."),
        ("zh", "你好。我能帮你吗？再见"),
        ("xx", "One. Two."),
        ("en", "  \n One.\n\nTwo."),
    ],
)
@pytest.mark.parametrize("size", [1, 3, 100])
def test_sentences_lose_no_character(language: str, text: str, size: int) -> None:
    async def main() -> None:
        sentences = Sentences(language)
        found = []
        for at in range(0, len(text), size):
            found += await sentences.feed(text[at : at + size])
        found.append(await sentences.flush())
        assert "".join(found) == text
        assert len(found) > 1

    run_fast(main())


@given(st.lists(st.text("ab .,!?…。\n\"'0A", max_size=8), max_size=12))
def test_no_cut_of_any_text_loses_a_character(tokens: list[str]) -> None:
    async def main() -> None:
        sentences = Sentences()
        found = [sentence for token in tokens for sentence in await sentences.feed(token)]
        left = await sentences.flush()
        text = "".join(tokens)
        assert ("".join(found) + left).rstrip() == text.rstrip()
        assert all(sentence.strip() for sentence in found)

    asyncio.run(main())


class Voice(TTSService):
    """Speaks at once, and notes when it was asked for what."""

    def __init__(self) -> None:
        super().__init__(
            push_start_frame=True,
            push_stop_frames=True,
            sample_rate=8000,
            settings=TTSSettings(model=None, voice=None, language=None),
        )
        self.asked: list[tuple[str, float]] = []

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame, None]:
        self.asked.append((text, now()))
        yield TTSAudioRawFrame(bytes(1600), 8000, 1, context_id=context_id)


def test_a_sentence_is_spoken_at_once_and_does_not_wait_for_the_next_one() -> None:
    async def main() -> None:
        rung = ScriptedRung([["We open at nine. ", "Shall I", 5.0, " book?", End()]])
        voice = Voice()
        context = a_context()
        pair = LLMContextAggregatorPair(context)
        behind = Ear(FrameDirection.DOWNSTREAM)
        async with line(ladder(rung), voice, pair.assistant(), behind) as phone:
            began = now()
            await phone.ask(context)
            await behind.until(lambda: len(context.get_messages()) == 2)
            assert [(text, round(at - began)) for text, at in voice.asked] == [
                ("We open at nine.", 0),
                ("Shall I book?", 5),
            ]
        # What was spoken is what the model remembers.
        assert context.get_messages()[-1] == {
            "role": "assistant",
            "content": "We open at nine. Shall I book?",
        }

    run_fast(main())


FAULTS: dict[str, Sequence[Step]] = {
    "raises at once": [OSError("no route")],
    "raises after a token": ["We ", OSError("reset")],
    "hangs before the first token": [HANG],
    "hangs inside the first sentence": ["We open", HANG],
    "dribbles": ["We", *(step for _ in range(40) for step in (0.5, " really"))],
    "ends early and silent": [],
    "ends early inside a sentence": ["We open at"],
    "is empty": [End()],
    "is white space": [" ", "\n", End()],
    "is cut short inside a sentence": ["We open at", End(reason="length")],
    "is cut short before a word": [End(reason="max_tokens")],
    "is refused": ["I will not", End(reason="refusal")],
    "pauses for a tool we do not have": ["One mo", End(reason="pause_turn")],
    "dies inside a tool call": [ToolCall(id="1", name="book"), OSError("reset")],
    "is cut short inside a tool call": [ToolCall(id="1", name="book"), End(reason="length")],
    "raises a timeout of its own": [TimeoutError()],
}


@pytest.mark.parametrize("fault", FAULTS)
def test_before_the_first_sentence_any_failure_is_the_next_rungs_turn(fault: str) -> None:
    async def main() -> None:
        first, second = ScriptedRung([FAULTS[fault]]), ScriptedRung([says(ANSWER)])
        async with line(ladder(first, second)) as phone:
            began = now()
            assert await phone.ask() == SENTENCES
            assert now() - began <= 8.1
            assert phone.told("on_rung_used") == [("b",)]
            assert [told[0] for told in phone.told("on_rung_failed")] == ["a"]
            assert phone.responses == 1
            assert first.closed == 1
            assert not phone.errors

    run_fast(main())


AFTER: dict[str, Sequence[Step]] = {
    "raises": ["We open at nine. ", "Shall I book", OSError("reset")],
    "hangs": ["We open at nine. ", "Shall I book", HANG],
    "dribbles": ["We open at nine. ", "Shall", *(s for _ in range(40) for s in (0.5, " we"))],
    "ends early": ["We open at nine. ", "Shall I book"],
    "is refused": ["We open at nine. ", "Shall I book", End(reason="refusal")],
    "is cut short with a tool call": [
        "We open at nine. Let",
        ToolCall(id="1", name="book"),
        End(reason="length"),
    ],
}


@pytest.mark.parametrize("fault", AFTER)
def test_after_the_first_sentence_nobody_else_answers_and_no_half_sentence_is_said(
    fault: str,
) -> None:
    async def main() -> None:
        first, second = ScriptedRung([AFTER[fault], says(ANSWER)]), ScriptedRung([says(ANSWER)])
        async with line(ladder(first, second)) as phone:
            assert await phone.ask() == ["We open at nine."]
            assert second.asked == 0
            assert [t[::2] for t in phone.told("on_rung_failed")] == [
                ("a", "after the first sentence")
            ]
            assert [e.category for e in phone.errors] == [ErrorCategory.UNKNOWN]
            assert phone.told("on_exhausted") == []
            # The service is as usable as before.
            assert await phone.ask() == SENTENCES

    run_fast(main())


def test_an_answer_cut_short_after_a_sentence_drops_the_fragment_and_stands() -> None:
    async def main() -> None:
        rung = ScriptedRung([["We open at nine. Shall I", End(reason="length")]])
        async with line(ladder(rung)) as phone:
            assert await phone.ask() == ["We open at nine."]
            assert phone.told("on_rung_failed") == []
            assert not phone.errors

    run_fast(main())


def test_when_every_rung_is_down_nothing_is_said_and_the_host_is_told_after_the_response() -> None:
    async def main() -> None:
        rungs = [ScriptedRung([[OSError("down")]]) for _ in range(3)]
        service = ladder(*rungs)
        async with line(service) as phone:

            async def exhausted(service: LadderLLMService) -> None:
                await service.push_frame(TTSSpeakFrame("I am sorry."))

            service.add_event_handler("on_exhausted", exhausted)
            assert await phone.ask() == []
            assert phone.told("on_exhausted") == [()]
            assert [rung.asked for rung in rungs] == [1, 1, 1]
            kinds = [type(frame) for frame in phone.below.frames]
            assert kinds.index(LLMFullResponseEndFrame) < kinds.index(TTSSpeakFrame)

    run_fast(main())


def test_over_500_random_failures_nothing_is_said_twice_and_no_turn_is_lost() -> None:
    """Each rung of each turn fails at a random token in a random way, or not at all."""

    def fail(rng: random.Random, tokens: list[Step]) -> list[Step]:
        at = rng.randrange(len(tokens))
        kind = rng.choice(["raise", "hang", "early end", "dribble", "refusal", "length"])
        head: list[Step] = list(tokens[:at])
        if kind == "raise":
            head.append(OSError("random"))
        elif kind == "hang":
            head.append(HANG)
        elif kind == "dribble":
            head += [step for _ in range(99) for step in (1.0, " And")]
        elif kind != "early end":
            head.append(End(reason=kind))
        return head

    async def main() -> None:
        rng = random.Random(20261122)
        rungs = [ScriptedRung([]) for _ in range(3)]
        breakers = Breakers(clock=now)
        failures = answered = cut = silent = turn = 0
        async with line(ladder(*rungs, breakers=breakers)) as phone:
            while failures < 500:
                turn += 1
                words = [f"Turn{turn}", "word", "word.", "Second", "one?", "Third", "one!"]
                tokens: list[Step] = [w if i == 0 else f" {w}" for i, w in enumerate(words)]
                sentences = [f"Turn{turn} word word.", "Second one?", "Third one!"]
                able = []
                for rung in rungs:
                    script = [*tokens, End()] if rng.random() < 0.35 else fail(rng, tokens)
                    rung.scripts = [script]
                    # The first sentence is believed once something follows it.
                    text = "".join(step for step in script if isinstance(step, str))
                    able.append(len(text) > len(sentences[0]) and text.startswith(sentences[0]))
                exhausted = len(phone.told("on_exhausted"))
                failed = len(phone.told("on_rung_failed"))
                said = await phone.ask()
                failures += len(phone.told("on_rung_failed")) - failed
                assert said == sentences[: len(said)]
                if any(able):
                    assert said
                    assert len(phone.told("on_exhausted")) == exhausted
                else:
                    assert not said
                    assert len(phone.told("on_exhausted")) == exhausted + 1
                answered += len(said) == 3
                cut += 0 < len(said) < 3
                silent += not said
                await asyncio.sleep(rng.choice([0.0, 5.0, 40.0]))
        assert min(answered, cut, silent) > 10

    run_fast(main())


# Tools


def booking(handler: Any) -> ToolsSchema:
    return ToolsSchema(
        standard_tools=[
            FunctionSchema(
                name="book",
                description="Book a table.",
                properties={"people": {"type": "integer"}},
                required=["people"],
                handler=handler,
            )
        ]
    )


def test_a_tool_runs_once_though_two_rungs_asked_for_it_and_the_next_rung_reads_the_call() -> None:
    async def main() -> None:
        ran: list[dict[str, Any]] = []

        async def book(params: FunctionCallParams) -> None:
            ran.append(dict(params.arguments))
            await params.result_callback({"table": 7})

        call = ToolCall(id="call id: 0", name="book", arguments={"people": 2})
        first = ScriptedRung([[call, OSError("reset")], [OSError("still down")]])
        second = ScriptedRung(
            [["One moment.", call, call, End(reason="tool_calls")], says("Done!")]
        )
        context = LLMContext(
            messages=[{"role": "user", "content": "For two."}], tools=booking(book)
        )
        pair = LLMContextAggregatorPair(context)
        async with line(ladder(first, second), pair.assistant(), before=[pair.user()]) as phone:
            await phone.send(LLMContextFrame(context=context))
            await phone.below.until(lambda: "Done!" in phone.said)
            assert ran == [{"people": 2}, {"people": 2}]
            assert phone.said == ["One moment.", "Done!"]
            messages: list[Any] = second.contexts[1].get_messages()
            calls = [c for m in messages for c in m.get("tool_calls") or ()]
            assert [c["function"]["name"] for c in calls] == ["book", "book"]
            assert len({c["id"] for c in calls}) == 2
            assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,40}", c["id"]) for c in calls)
            results = {m["tool_call_id"] for m in messages if m["role"] == "tool"}
            assert results == {c["id"] for c in calls}

    run_fast(main())


def test_a_tool_call_behind_an_unconfirmed_turn_is_withdrawn_and_not_run() -> None:
    async def main() -> None:
        ran: list[str] = []

        async def book(params: FunctionCallParams) -> None:
            ran.append(params.tool_call_id)
            await params.result_callback({})

        rung = ScriptedRung([["One moment.", ToolCall(id="1", name="book"), End()]])
        context = LLMContext(messages=[{"role": "user", "content": "Book"}], tools=booking(book))
        async with line(ladder(rung)) as phone:
            await phone.send(UserStartedSpeakingFrame())
            await phone.send(LLMContextFrame(context=context, speculation=True))
            await phone.above.until(lambda: bool(phone.above.of(EagerEndOfTurnCancelFrame)))
            await phone.send(UserStoppedSpeakingFrame())
            await phone.below.until(lambda: bool(phone.below.of(UserStoppedSpeakingFrame)))
            assert phone.said == []
            assert ran == []
            # Committed, it is asked again, and now the call runs.
            assert await phone.ask(context) == ["One moment."]
            await phone.below.until(lambda: ran == ["1"])

    run_fast(main())


# Speculation and interruption


def test_an_answer_to_an_unconfirmed_turn_is_held_until_the_turn_is_committed() -> None:
    async def main() -> None:
        rung = ScriptedRung([says(ANSWER)])
        async with line(ladder(rung)) as phone:
            await phone.send(UserStartedSpeakingFrame())
            await phone.send(LLMContextFrame(context=a_context(), speculation=True))
            await asyncio.sleep(1)
            assert phone.said == []
            assert phone.told("on_rung_used") == [("a",)]
            await phone.send(UserStoppedSpeakingFrame())
            await phone.below.until(lambda: phone.said == SENTENCES)

    run_fast(main())


def test_no_apology_is_owed_for_a_turn_that_is_not_committed() -> None:
    async def main() -> None:
        rung = ScriptedRung([[OSError("down")], says(ANSWER)])
        async with line(ladder(rung)) as phone:
            await phone.send(UserStartedSpeakingFrame())
            await phone.send(LLMContextFrame(context=a_context(), speculation=True))
            await phone.above.until(lambda: bool(phone.above.of(EagerEndOfTurnCancelFrame)))
            await phone.send(UserStoppedSpeakingFrame())
            assert await phone.ask() == SENTENCES
            assert phone.told("on_exhausted") == []

    run_fast(main())


@pytest.mark.parametrize("script", [[HANG], ["We open", HANG], ["We open at nine. Sh", HANG]])
def test_an_interruption_closes_the_request_and_the_next_turn_is_answered(
    script: Sequence[Step],
) -> None:
    async def main() -> None:
        rung = ScriptedRung([script, says("Yes?")])
        async with line(ladder(rung)) as phone:
            await phone.send(LLMContextFrame(context=a_context()))
            await phone.below.until(lambda: rung.asked == 1 or bool(phone.said))
            if len(script) == 2 and "nine" in str(script[0]):
                await phone.below.until(lambda: phone.said == ["We open at nine."])
            began = now()
            await phone.send(InterruptionFrame())
            await phone.below.until(lambda: bool(phone.below.of(InterruptionFrame)))
            assert rung.closed == 1
            assert now() - began < 0.1
            assert await phone.ask() == ["Yes?"]
            assert phone.told("on_rung_failed") == []

    run_fast(main())


class DeafRung:
    """Swallows its cancellation, before or after a first sentence."""

    def __init__(self, first: str = "") -> None:
        self.first = first
        self.asked = 0

    async def stream(self, context: LLMContext, *, system: str) -> AsyncIterator[RungEvent]:
        self.asked += 1
        if self.asked > 1:
            yield TextDelta(text="Yes?")
            yield End()
            return
        until = now() + 60
        if self.first:
            yield TextDelta(text=self.first)
        while now() < until:
            try:
                await asyncio.sleep(until - now())
            except asyncio.CancelledError:
                continue

    async def aclose(self) -> None: ...


@pytest.mark.parametrize("first", ["", "We open at nine. Sh"])
def test_a_rung_that_does_not_let_go_holds_no_interruption_up(first: str) -> None:
    async def main() -> None:
        rung = DeafRung(first)
        async with line(LadderLLMService([("deaf", rung)], system="")) as phone:
            await phone.send(LLMContextFrame(context=a_context()))
            await asyncio.sleep(1)
            assert phone.said == ([first[:16]] if first else [])
            began = now()
            await phone.send(InterruptionFrame())
            assert await phone.ask() == ["Yes?"]
            assert now() - began < 0.5

    run_fast(main())


def test_a_deadline_holds_for_a_rung_that_does_not_listen_to_it() -> None:
    async def main() -> None:
        good: Rung = ScriptedRung([says(ANSWER)])
        rungs: list[tuple[str, Rung]] = [("deaf", DeafRung()), ("good", good)]
        async with line(LadderLLMService(rungs, system="")) as phone:
            began = now()
            assert await phone.ask() == SENTENCES
            assert now() - began < 8.5

    run_fast(main())


class BrokenRung:
    """Not what a rung should be: its stream cannot even be had."""

    def stream(self, context: LLMContext, *, system: str) -> AsyncIterator[RungEvent]:
        raise TypeError("not today")

    async def aclose(self) -> None:
        raise OSError("nor tomorrow")


class SelfCancellingRung(ScriptedRung):
    """Cancels itself, as a library with a cancel scope of its own may."""

    async def stream(self, context: LLMContext, *, system: str) -> AsyncIterator[RungEvent]:
        yield TextDelta(text="We ")
        raise asyncio.CancelledError


@pytest.mark.parametrize("broken", [BrokenRung(), SelfCancellingRung([])])
def test_a_rung_that_is_broken_in_itself_is_no_more_than_a_failure(broken: Rung) -> None:
    async def main() -> None:
        rungs = [("broken", broken), ("good", ScriptedRung([says(ANSWER)]))]
        async with line(LadderLLMService(rungs, system="")) as phone:
            assert await phone.ask() == SENTENCES
            assert [told[0] for told in phone.told("on_rung_failed")] == ["broken"]

    run_fast(main())


# The hedge


def test_a_silent_rung_gets_company_and_the_first_to_a_sentence_answers() -> None:
    async def main() -> None:
        slow, quick = ScriptedRung([[HANG]]), ScriptedRung([says(ANSWER)])
        async with line(ladder(slow, quick, hedge_after=0.9)) as phone:
            began = now()
            assert await phone.ask() == SENTENCES
            assert 0.9 <= now() - began < 1.0
            assert slow.closed == 1
            assert phone.told("on_rung_used") == [("b",)]
            assert phone.told("on_rung_failed") == []

    run_fast(main())


def test_a_silent_rung_that_wakes_first_still_answers_and_its_company_is_cancelled() -> None:
    async def main() -> None:
        late = ScriptedRung([[1.5, *says(ANSWER)]])
        company = ScriptedRung([["We ", HANG]])
        async with line(ladder(late, company, hedge_after=0.9)) as phone:
            assert await phone.ask() == SENTENCES
            assert phone.told("on_rung_used") == [("a",)]
            assert (company.asked, company.closed) == (1, 1)

    run_fast(main())


def test_a_rung_that_has_begun_to_speak_gets_no_company() -> None:
    async def main() -> None:
        speaking = ScriptedRung([[0.5, "We ", 2.0, "open at nine.", End()]])
        company = ScriptedRung([says(ANSWER)])
        async with line(ladder(speaking, company, hedge_after=0.9)) as phone:
            assert await phone.ask() == ["We open at nine."]
            assert company.asked == 0

    run_fast(main())


def test_when_rung_and_company_both_fail_the_rung_after_them_is_asked() -> None:
    async def main() -> None:
        rungs = [
            ScriptedRung([[1.0, OSError("down")]]),
            ScriptedRung([[0.2, OSError("down")]]),
            ScriptedRung([says(ANSWER)]),
        ]
        async with line(ladder(*rungs, hedge_after=0.9)) as phone:
            assert await phone.ask() == SENTENCES
            assert sorted(t[0] for t in phone.told("on_rung_failed")) == ["a", "b"]

    run_fast(main())


# The breaker


def test_a_rung_that_failed_three_times_running_is_skipped_for_30_seconds() -> None:
    async def main() -> None:
        bad = ScriptedRung([[HANG], [HANG], [HANG], [OSError("probe")], says(ANSWER)])
        good = ScriptedRung([says(ANSWER)])
        breakers = Breakers(clock=now)
        async with line(ladder(bad, good, breakers=breakers)) as phone:
            for _ in range(3):
                assert await phone.ask() == SENTENCES
            assert bad.asked == 3
            assert breakers.open() == ("a",)
            began = now()
            assert await phone.ask() == SENTENCES
            assert bad.asked == 3
            assert now() == began
            await asyncio.sleep(31)
            # One request tries it, and its failure leaves it alone for as long again.
            assert await phone.ask() == SENTENCES
            assert bad.asked == 4
            assert await phone.ask() == SENTENCES
            assert bad.asked == 4
            await asyncio.sleep(31)
            assert await phone.ask() == SENTENCES
            assert bad.asked == 5
            assert phone.told("on_rung_used")[-1] == ("a",)
            assert breakers.open() == ()

    run_fast(main())


def test_rungs_that_are_left_alone_are_asked_all_the_same_before_nothing_is_said() -> None:
    async def main() -> None:
        first = ScriptedRung([[OSError("down")]] * 3 + [says(ANSWER)])
        second = ScriptedRung([[OSError("down")]])
        async with line(ladder(first, second, breakers=Breakers(clock=now))) as phone:
            for _ in range(3):
                assert await phone.ask() == []
            assert await phone.ask() == SENTENCES

    run_fast(main())


def test_a_half_open_breaker_lets_one_request_through_at_a_time() -> None:
    time = 0.0
    breaker = Breakers(trips=1, rest=30, clock=lambda: time).of("a")
    breaker.failed()
    assert not breaker.admit()
    time = 30.0
    assert breaker.admit()
    assert not breaker.admit()
    breaker.released()
    assert breaker.admit()
    breaker.succeeded()
    assert breaker.admit() and breaker.admit()


def test_one_success_between_failures_keeps_the_breaker_closed() -> None:
    breaker = Breakers(trips=2).of("a")
    breaker.failed()
    breaker.succeeded()
    breaker.failed()
    assert not breaker.open


# What is told, and what is not


def test_sentry_learns_which_rung_failed_and_nothing_of_what_was_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    events: list[Any] = []

    class Kept(sentry_sdk.Transport):
        def capture_envelope(self, envelope: sentry_sdk.envelope.Envelope) -> None:
            events.append(envelope.get_event())

    async def main() -> None:
        secret = "my number is 555 0199"
        rung = ScriptedRung([["My secret, ", ValueError(f"cannot answer {secret!r}")]])
        context = LLMContext(messages=[{"role": "user", "content": secret}])
        async with line(ladder(rung)) as phone:
            assert await phone.ask(context) == []
        told = repr(events) + caplog.text + repr(phone.events)
        assert "555" not in told and "My secret" not in told
        (event,) = events
        assert event["message"] == "no rung could answer"
        assert event["contexts"]["ladder"] == {"rungs": ["a"]}
        (crumb,) = [c for c in event["breadcrumbs"]["values"] if c["category"] == "llm"]
        assert crumb["data"]["rung"] == "a"
        assert crumb["data"]["moment"] == "before the first sentence"

    with sentry_sdk.isolation_scope(), caplog.at_level(logging.DEBUG, logger="tipring"):
        sentry_sdk.init(dsn="http://key@localhost/1", transport=Kept, default_integrations=False)
        try:
            run_fast(main())
        finally:
            sentry_sdk.get_global_scope().set_client(None)


def test_an_error_is_told_by_kind_status_and_place_and_never_by_its_text() -> None:
    class Refused(Exception):
        status_code = 529

    assert sentence_of(Refused("secret")) == "HTTP 529 (Refused)"
    assert sentence_of(RungFailed("the stream ended early")) == "the stream ended early"
    assert sentence_of(ValueError("secret")) == "ValueError"
    try:
        raise ValueError("secret")
    except ValueError as error:
        assert re.fullmatch(r"ValueError at test_ladder\.py:\d+", sentence_of(error))


def test_tokens_and_times_are_reported_under_the_name_of_the_rung_that_answered() -> None:
    async def main() -> None:
        usage = Usage(prompt=100, completion=12, cached=80)
        rung = ScriptedRung([["Fine. ", usage, End()]])
        service = ladder(ScriptedRung([[OSError("down")]]), rung)
        async with line(service, metrics=True) as phone:
            await phone.ask()
            data = [d for f in phone.below.frames if isinstance(f, MetricsFrame) for d in f.data]
            (usage_data,) = [d for d in data if isinstance(d, LLMUsageMetricsData)]
            tokens = usage_data.value
            assert (tokens.prompt_tokens, tokens.completion_tokens) == (100, 12)
            assert (tokens.total_tokens, tokens.cache_read_input_tokens) == (112, 80)
            assert usage_data.model == "b"
            assert any(isinstance(d, TTFBMetricsData) for d in data)

    run_fast(main())


# One-shot use, and the ends of life


def test_a_question_outside_the_conversation_goes_down_the_ladder_too() -> None:
    async def main() -> None:
        first, second = ScriptedRung([["A sum", OSError("down")]]), ScriptedRung([says(ANSWER)])
        service = ladder(first, second)
        assert await service.run_inference(a_context(), system_instruction="Sum up.") == ANSWER
        assert second.systems == ["Sum up."]
        alone = ladder(ScriptedRung([["A sum", HANG]]))
        with pytest.raises(RungFailed, match="no rung could answer"):
            await alone.run_inference(a_context())

    run_fast(main())


def test_at_the_end_of_the_call_every_rung_is_let_go() -> None:
    async def main() -> None:
        rungs = [ScriptedRung([says(ANSWER)]), ScriptedRung([says(ANSWER)])]
        async with line(ladder(*rungs)) as phone:
            await phone.ask()
        assert all(rung.let_go for rung in rungs)

    run_fast(main())


def test_a_ladder_loads_no_providers_sdk() -> None:
    program = (
        "import sys; from tipring.llm.ladder import LadderLLMService;"
        "LadderLLMService([('a', None)], system='Be brief.');"
        "print(sorted({'anthropic', 'openai', 'sentry_sdk'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_ladder_without_rungs_or_with_two_of_one_name_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one rung"):
        LadderLLMService([], system="")
    rung = ScriptedRung([])
    with pytest.raises(ValueError, match="same name"):
        LadderLLMService([("a", rung), ("a", rung)], system="")
