"""Which rung the ladder asks, when, and what it tells of that."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import Any

import pytest
import sentry_sdk
from pipecat.frames.frames import (
    MetricsFrame,
)
from pipecat.metrics.metrics import LLMUsageMetricsData, TTFBMetricsData
from pipecat.processors.aggregators.llm_context import LLMContext
from tipring.llm.breaker import Breakers
from tipring.llm.failures import RungFailed, sentence_of
from tipring.providers import End, Usage

from tests.fast_loop import run_fast
from tests.scripted_rungs import (
    ANSWER,
    HANG,
    SENTENCES,
    ScriptedRung,
    ladder,
    line,
    now,
    says,
)


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
        assert re.fullmatch(r"ValueError at test_ladder_choice\.py:\d+", sentence_of(error))


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
