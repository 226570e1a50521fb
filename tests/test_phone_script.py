"""The caller's script: what its lines mean, and what is measured when it is played."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tipring.testing import CallerTurn, Clip, Phone, Script, ScriptError, ScriptFailed, run
from tipring.testing import script as lines

from tests import loopback_loop
from tests.emulators.agent import Agent, Behaviour, answering, tone, until_gone

DOCS = Path(__file__).parent.parent / "docs" / "emulated-phone.md"


def voice(text: str) -> Clip:
    """A tenth of a second a word, with silence around it as voices have it."""
    words = tone(0.1 * len(text.split())).samples
    quiet = Clip.silence(0.05).samples
    return Clip.from_samples(np.concatenate([quiet, words, quiet]), 8000)


# The language


def test_every_line_of_the_example_in_the_docs_is_understood() -> None:
    (example,) = re.findall(r"```script\n(.*?)```", DOCS.read_text(), flags=re.S)
    script = Script.parse(example)
    assert [type(action).__name__ for action in script.actions] == [
        "Wait",
        "Say",
        "Pause",
        "Say",
        "Over",
        "Wait",
        "Over",
        "Wait",
        "Press",
        "Wait",
        "Say",
        "UntilHungUp",
    ]


def test_every_line_of_the_table_in_the_docs_is_understood(tmp_path: Path) -> None:
    (tmp_path / "hello.wav").touch()
    table = DOCS.read_text().split("## What must hold")[0]
    forms = re.findall(r"^\| `([^`]+)` \|", table, flags=re.M)
    assert len(forms) == 15
    for form in forms:
        Script.parse(f"{form}\nwait" if form.startswith("expect") else form, folder=tmp_path)


def test_lines_become_what_they_say(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "my file.wav", tone(0.3).samples, 8000)
    text = """
        # a comment
        wait 0.8 within 20
        say "he said "now", twice"
        pause 1
        over 1.5 say my file.wav
        interrupt 2 say "no"
        press 12*#
        noise 0.4
        over 1 noise 2 6 dB quieter
        say "softly" 20 dB quieter
        say my file.wav 3.5 dB quieter
        until  hung  up
    """
    script = Script.parse(text, name="x", folder=tmp_path)
    assert script.actions == (
        lines.Wait(line=3, silence=0.8, within=20.0),
        lines.Say(line=4, text='he said "now", twice'),
        lines.Pause(line=5, seconds=1.0),
        lines.Over(
            line=6,
            word="over",
            after=1.5,
            say=lines.Say(line=6, text="my file.wav", file=tmp_path / "my file.wav"),
        ),
        lines.Over(line=7, word="interrupt", after=2.0, say=lines.Say(line=7, text="no")),
        lines.Press(line=8, digits="12*#"),
        lines.Say(line=9, text="(noise)", noise=0.4),
        lines.Over(
            line=10,
            word="over",
            after=1.0,
            say=lines.Say(line=10, text="(noise)", noise=2.0, quieter=6.0),
        ),
        lines.Say(line=11, text="softly", quieter=20.0),
        lines.Say(line=12, text="my file.wav", file=tmp_path / "my file.wav", quieter=3.5),
        lines.UntilHungUp(line=13, within=60.0),
    )
    assert script.summary == "a comment"
    sounds = [say.clip for say in script.render(voice).says]
    lengths = [round(clip.seconds, 2) for clip in sounds if clip]
    assert lengths == [0.5, 0.3, 0.2, 0.4, 2.0, 0.2, 0.3]


@pytest.mark.parametrize(
    ("text", "where", "sentence"),
    [
        ("wait\nsya hello", "line 2", "'sya hello' is not understood"),
        ("pause", "line 1", "write it like this: pause 0.6"),
        ("wait -1", "line 1", "write it like this: wait | wait 0.8 within 20"),
        ('over say "mhm"', "line 1", 'over 1.0 say "mhm"'),
        ("press A", "line 1", "press 5"),
        ("until", "line 1", "until hung up"),
        ('say "hello', "line 1", "no closing quote"),
        ('say "', "line 1", "no closing quote"),
        ('say " "', "line 1", "nothing between the quotes"),
        ("say", "line 1", "what is to be said is missing"),
        ("over 1 say", "line 1", "what is to be said is missing"),
        ("say hello there", "line 1", 'say "hello there"'),
        ("say none.wav", "line 1", "there is no file none.wav"),
        ("hang up\nwait", "line 2", "nothing can follow line 1"),
        ("# nothing\n", "greet", "has no lines"),
    ],
)
def test_a_line_that_cannot_be_is_told_with_its_number_and_how_to_write_it(
    text: str, where: str, sentence: str
) -> None:
    with pytest.raises(ScriptError) as caught:
        Script.parse(text, name="greet")
    assert str(caught.value).startswith("greet")
    assert where in str(caught.value)
    assert sentence in str(caught.value)


def test_a_script_that_is_not_there_is_told() -> None:
    with pytest.raises(ScriptError, match="cannot be read"):
        Script.load("/nowhere/greet.txt")


def test_a_text_is_rendered_once_however_often_it_is_said() -> None:
    asked: list[str] = []

    def counting(text: str) -> Clip:
        asked.append(text)
        return voice(text)

    script = Script.parse('say "yes"\nwait\nsay "yes"\nover 1 say "mhm"').render(counting)
    assert asked == ["yes", "mhm"]
    assert script.rendered


def test_quieter_is_so_many_decibels_softer_and_noise_is_always_the_same() -> None:
    script = Script.parse('say "a"\nsay "a" 20 dB quieter\nnoise 1\nnoise 1 6 dB quieter')
    loud, soft, noise, fainter = (clip_of(say) for say in script.render(voice).says)
    assert decibels(loud) - decibels(soft) == pytest.approx(20, abs=0.1)
    assert decibels(noise) - decibels(fainter) == pytest.approx(6, abs=0.1)
    assert np.array_equal(noise.samples, Clip.noise(1.0).samples)
    assert not np.array_equal(noise.samples, Clip.noise(1.0, seed=2).samples)
    # As loud as speech, and it dies away.
    assert np.abs(noise.samples[:4000]).mean() > 4 * np.abs(noise.samples[-800:]).mean() > 0
    assert -30 < decibels(noise) < -20


def clip_of(say: lines.Say) -> Clip:
    assert say.clip is not None
    return say.clip


def decibels(clip: Clip) -> float:
    """Of its root mean square, under full scale."""
    return float(20 * np.log10(np.sqrt(np.mean((clip.samples / 32768) ** 2))))


def test_a_text_without_a_voice_is_told() -> None:
    with pytest.raises(ScriptError, match="no voice"):
        Script.parse('say "yes"').render()


# Playing it


class Hearing:
    """When the agent double heard the caller fall silent, by the bytes that came."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent

    def _loud(self) -> list[bool]:
        import base64

        frames = (base64.b64decode(m["media"]["payload"]) for m in self.agent.of("media"))
        return [frame != b"\xff" * 160 for frame in frames]

    async def end_of_turn(self, *, frames: int) -> None:
        """Wait until the caller has spoken since now and been silent for so many frames."""
        begin = len(self.agent.of("media"))

        def over() -> bool:
            loud = self._loud()[begin:]
            return any(loud) and not any(loud[-frames:])

        await self.agent.hears(over)

    async def speech(self) -> None:
        """Wait until the caller speaks."""
        begin = len(self.agent.of("media"))
        await self.agent.hears(lambda: any(self._loud()[begin:]))


def play(
    behaviour: Behaviour, text: str, *, on_turn: Callable[[CallerTurn], None] | None = None
) -> tuple[list[CallerTurn], Phone, Agent]:
    async def main() -> tuple[list[CallerTurn], Phone, Agent]:
        async with answering(behaviour) as (url, agents):
            script = Script.parse(text).render(voice)
            async with await Phone.connect(url) as phone:
                turns = await run(phone, script, on_turn=on_turn)
            return turns, phone, agents[0]

    return loopback_loop.run(main())


async def greets_and_answers(agent: Agent) -> None:
    """Greets for a second; answers each turn for two seconds after 0.7 s of silence."""
    hearing = Hearing(agent)
    await agent.play(tone(1.0))
    while True:
        await hearing.end_of_turn(frames=35)
        await agent.play(tone(2.0))


def test_a_turn_with_a_pause_is_one_turn_whose_times_are_exact() -> None:
    text = 'wait\nsay "one two three"\npause 0.6\nsay "four five"\nwait\nsay "bye"\nwait'
    turns, phone, _ = play(greets_and_answers, text)
    assert [(turn.text, turn.kind) for turn in turns] == [
        ("one two three four five", "turn"),
        ("bye", "turn"),
    ]
    first = turns[0]
    assert list(first.pauses) == pytest.approx([0.6], abs=0.0005)
    assert first.end - first.begin == pytest.approx(0.3 + 0.6 + 0.2, abs=0.001)
    # The greeting ended at about 1.0; the caller let 0.6 s pass.
    assert first.begin == pytest.approx(1.65, abs=0.05)
    sent = phone.sent
    begin, end = round(first.begin * 8000), round(first.end * 8000)
    assert sent[begin : begin + 20].any()
    assert sent[end - 20 : end].any()
    assert not sent[begin - 400 : begin].any()
    assert not sent[end : end + 400].any()


def test_latency_is_from_the_last_sound_of_the_caller_to_the_first_of_the_agent() -> None:
    turns, phone, _ = play(greets_and_answers, 'wait\nsay "one two"\nwait')
    (turn,) = turns
    assert turn.latency == pytest.approx(0.72, abs=0.03)
    assert turn.answer is not None
    assert turn.answer == phone.utterances[1].begin
    assert (turn.cut_ins, turn.agent_audible, turn.agent_spoke_on) == ((), 0.0, None)


def test_an_agent_that_takes_a_pause_for_the_end_has_cut_in() -> None:
    async def behaviour(agent: Agent) -> None:
        hearing = Hearing(agent)
        await hearing.end_of_turn(frames=20)
        await agent.play(tone(1.0))
        await until_gone(agent)

    turns, _, _ = play(behaviour, 'say "one"\npause 0.8\nsay "two three four"\nwait')
    (turn,) = turns
    assert len(turn.cut_ins) == 1
    assert turn.begin < turn.cut_ins[0] < turn.end
    assert turn.answer == turn.cut_ins[0]
    assert turn.latency is not None and turn.latency < 0
    assert turn.agent_audible == pytest.approx(turn.end - turn.cut_ins[0], abs=0.02)


def test_an_mhm_over_an_agent_that_goes_on() -> None:
    async def behaviour(agent: Agent) -> None:
        hearing = Hearing(agent)
        await hearing.end_of_turn(frames=35)
        await agent.play(tone(3.0))
        await until_gone(agent)

    text = 'say "hello"\nover 1.0 say "mhm"\nwait\nsay "bye"'
    turns, _, _ = play(behaviour, text)
    hello, mhm, bye = turns
    assert hello.answer is not None
    assert mhm.kind == "over"
    assert mhm.begin == pytest.approx(hello.answer + 1.0 + 0.05, abs=0.03)
    assert mhm.agent_spoke_on == pytest.approx(2.0 - 0.05, abs=0.03)
    assert mhm.agent_audible == pytest.approx(0.1, abs=0.001)
    assert (mhm.answer, mhm.cleared) == (None, None)
    # The caller waited for the end of the same answer.
    assert bye.begin == pytest.approx(hello.answer + 3.0 + 0.6 + 0.05, abs=0.05)


def test_an_interrupted_agent_stops_and_the_caller_waits_for_another_answer() -> None:
    async def behaviour(agent: Agent) -> None:
        hearing = Hearing(agent)
        await agent.play(tone(10.0))
        await hearing.speech()
        await agent.clear()
        await hearing.end_of_turn(frames=50)
        await agent.play(tone(0.5))
        await until_gone(agent)

    turns, phone, _ = play(behaviour, 'interrupt 1.0 say "no wait please stop"\nwait\nsay "bye"')
    no, bye = turns
    assert no.kind == "interrupt"
    assert no.begin == pytest.approx(1.05, abs=0.05)
    assert no.cleared == pytest.approx(no.begin, abs=0.04)
    assert no.cleared is not None
    assert no.agent_spoke_on == pytest.approx(no.cleared - no.begin, abs=0.011)
    assert no.latency == pytest.approx(1.02, abs=0.03)
    assert bye.begin > phone.utterances[1].begin + 0.5 + 0.6


def test_keys_are_pressed_and_what_comes_after_them_is_the_answer() -> None:
    async def behaviour(agent: Agent) -> None:
        await agent.play(tone(0.5))
        await agent.hears(lambda: len(agent.of("dtmf")) == 3)
        await agent.play(tone(0.5))
        await until_gone(agent)

    turns, phone, agent = play(behaviour, 'wait\npress 12#\nwait\nsay "bye"')
    assert [message["dtmf"]["digit"] for message in agent.of("dtmf")] == ["1", "2", "#"]
    keys = [event.at for event in phone.timeline if event.name == "key"]
    assert keys[1] - keys[0] == pytest.approx(0.25, abs=0.025)
    assert turns[0].begin > keys[-1] + 0.5 + 0.6


def test_a_noise_is_no_turn_and_leaves_the_turn_around_it_whole() -> None:
    turns, phone, _ = play(
        greets_and_answers,
        """
        wait
        noise 0.1
        say "one two three"
        pause 0.2
        noise 0.1
        pause 0.3
        say "four five"
        wait
        """,
    )
    (turn,) = turns
    assert turn.text == "one two three four five"
    assert turn.pauses == pytest.approx((0.5,), abs=0.011)
    assert turn.answer is not None and not turn.cut_ins
    noise = Clip.noise(0.1).samples.astype(np.float64)
    begin, end = turn.parts[0].end, turn.parts[1].begin
    between = phone.sent[round((begin + 0.2) * 8000) - 80 : round(end * 8000)].astype(np.float64)
    found = float(np.max(np.correlate(between, noise, "valid")))
    assert found == pytest.approx(float(np.dot(noise, noise)), rel=0.05)


def test_turns_are_told_as_they_are_complete() -> None:
    told: list[CallerTurn] = []
    turns, _, _ = play(
        greets_and_answers, 'wait\nsay "one"\nwait\nsay "two"\nhang up', on_turn=told.append
    )
    assert told == turns
    assert [turn.number for turn in turns] == [1, 2]
    assert turns[1].answer is None  # the caller did not stay for it


async def test_a_script_that_was_not_rendered_is_rendered_when_it_is_played() -> None:
    async with answering() as (url, _), await Phone.connect(url) as phone:
        (turn,) = await run(phone, Script.parse('say "one two"'), voice)
    assert turn.end - turn.begin == pytest.approx(0.2, abs=0.001)


def test_a_pause_at_the_end_of_the_script_is_waited_for() -> None:
    (turn,), phone, _ = play(greets_and_answers, 'wait\nsay "one two three"\npause 4')
    assert phone.ending is not None
    assert phone.ending.at - turn.end >= 4 and turn.answer is not None


def test_the_end_of_the_script_hangs_up() -> None:
    _, phone, agent = play(greets_and_answers, "wait")
    assert agent.of("stop")
    assert phone.ending is not None
    assert phone.ending.by == "caller"


def test_the_caller_can_stay_until_the_agent_hangs_up() -> None:
    async def behaviour(agent: Agent) -> None:
        await Hearing(agent).end_of_turn(frames=20)
        await agent.play(tone(0.5))
        await agent.mark("end")
        await agent.hears(lambda: bool(agent.marks))

    turns, phone, _ = play(behaviour, 'say "bye"\nuntil hung up')
    assert phone.ending is not None
    assert phone.ending.by == "agent"
    assert turns[0].answer is not None


def test_an_agent_that_never_answers_fails_the_line_that_waits() -> None:
    with pytest.raises(ScriptFailed, match=r"script line 2: the agent did not speak") as caught:
        play(until_gone, 'say "hello"\nwait 0.6 within 5')
    assert [turn.text for turn in caught.value.turns] == ["hello"]


def test_an_agent_that_hangs_up_too_early_fails_the_line_it_hung_up_on() -> None:
    async def behaviour(agent: Agent) -> None:
        await Hearing(agent).speech()

    with pytest.raises(ScriptFailed, match=r"script line 1: .* left to say") as caught:
        play(behaviour, 'say "hello there how are you"\nwait\nsay "bye"')
    (turn,) = caught.value.turns
    assert turn.end - turn.begin < 0.2


def test_an_agent_that_never_hangs_up_fails_the_line() -> None:
    with pytest.raises(ScriptFailed, match="did not hang up within 5 s"):
        play(until_gone, 'say "bye"\nuntil hung up within 5')


def test_over_an_agent_that_stays_silent_fails_the_line() -> None:
    with pytest.raises(ScriptFailed, match="was not heard for 1 s"):
        play(until_gone, 'over 1 say "mhm"')
