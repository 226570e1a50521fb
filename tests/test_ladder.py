"""The ladder says one answer, whole, or none."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from collections.abc import AsyncGenerator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pipecat.frames.frames import (
    Frame,
    LLMFullResponseEndFrame,
    TTSAudioRawFrame,
    TTSSpeakFrame,
)
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.settings import TTSSettings
from pipecat.services.tts_service import TTSService
from pipecat.utils.errors import ErrorCategory
from tipring.llm.breaker import Breakers
from tipring.llm.failures import RungFailed
from tipring.llm.ladder import LadderLLMService
from tipring.llm.sentences import Sentences
from tipring.providers import End, ToolCall

from tests.fast_loop import run_fast
from tests.scripted_rungs import (
    ANSWER,
    HANG,
    SENTENCES,
    Ear,
    ScriptedRung,
    Step,
    a_context,
    ladder,
    line,
    now,
    says,
)


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


def test_over_500_random_failures_nothing_is_said_twice_and_no_turn_goes_unanswered() -> None:
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

            async def exhausted(service: LadderLLMService) -> None:
                await service.push_frame(TTSSpeakFrame("I am sorry."))

            phone.ladder.add_event_handler("on_exhausted", exhausted)
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
                sorry = len(phone.below.of(TTSSpeakFrame))
                failed = len(phone.told("on_rung_failed"))
                said = await phone.ask()
                failures += len(phone.told("on_rung_failed")) - failed
                assert said == sentences[: len(said)]
                if any(able):
                    assert said
                    assert len(phone.below.of(TTSSpeakFrame)) == sorry
                else:
                    assert not said
                    assert len(phone.below.of(TTSSpeakFrame)) == sorry + 1
                answered += len(said) == 3
                cut += 0 < len(said) < 3
                silent += not said
                await asyncio.sleep(rng.choice([0.0, 5.0, 40.0]))
        assert min(answered, cut, silent) > 10

    run_fast(main())


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
