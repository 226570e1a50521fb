"""What is promised of the choice: your mistake stops, a plugin's failure does not."""

from __future__ import annotations

import asyncio
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tipring.config import Config, Mistakes, load
from tipring.errors import ConfigError, PluginError
from tipring.providers import Call, TurnPlan
from tipring.selection import Selection, rehearse, select

from tests.fakedists import BUILDS, HEAD, WHOLE, Site, plugin, site

CALL = Call(id="CA1")
TUNED = """
stop_secs: float = Field(0.7, ge=0.1, le=2, description="How long.")
words: tuple[str, ...] = Field(("and",), description="Which.")
mode: str = Field(description="Which way.")
"""
KEYED = """
key: SecretStr = secret("ACME_KEY", "The Acme key.")
level: int = Field(1, ge=0, description="How loud.")
"""


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path) as made:
        made.whole()
        yield made


def configured(tmp_path: Path, text: str = "", **env: str) -> Config:
    path = tmp_path / "tipring.toml"
    path.write_text(text)
    return load(path, {**WHOLE, **env})


def chosen(installed: Site, tmp_path: Path, text: str = "", **env: str) -> Selection:
    return select(configured(tmp_path, text, **env), installed.plugins())


def names(selection: Selection) -> dict[str, list[str]]:
    kinds = ("stt", "turn", "llm", "tts")
    return {kind: [part.name for part in getattr(selection, kind)] for kind in kinds}


def test_what_is_configured_is_chosen(installed: Site, tmp_path: Path) -> None:
    selection = chosen(installed, tmp_path)
    assert names(selection) == {
        "stt": ["ears"],
        "turn": ["end"],
        "llm": ["brain"],
        "tts": ["mouth"],
    }
    assert str(selection) == "ears + end + brain + mouth"
    assert selection.problems == ()


def test_nothing_but_what_is_configured_is_imported(installed: Site, tmp_path: Path) -> None:
    module = installed.add("turn", "loud", "raise SystemExit('imported')")
    chosen(installed, tmp_path)
    assert module not in sys.modules


def test_a_broken_plugin_gives_way_to_the_next_name(installed: Site, tmp_path: Path) -> None:
    installed.add("turn", "broken", "import no_such_thing")
    selection = chosen(installed, tmp_path, TIPRING_TURN="broken,end")
    assert names(selection)["turn"] == ["end"]
    (problem,) = selection.problems
    assert problem.where == "turn.broken"
    assert "no_such_thing" in problem.what and problem.fix


def test_when_every_detector_fails_silence_decides_and_that_is_told(
    installed: Site, tmp_path: Path
) -> None:
    installed.last_resort()
    installed.add("turn", "broken", "import no_such_thing")
    selection = chosen(installed, tmp_path, TIPRING_TURN="broken")
    assert names(selection)["turn"] == ["vad"]
    assert [problem.where for problem in selection.problems] == ["turn.broken", "turn"]


@pytest.mark.parametrize("kind", ["stt", "llm", "tts"])
def test_when_nothing_is_left_the_boot_stops_and_says_why(
    installed: Site, tmp_path: Path, kind: str
) -> None:
    installed.add(kind, "broken", "import no_such_thing")
    with pytest.raises(ConfigError, match=f"no {kind} is left that works") as raised:
        chosen(installed, tmp_path, **{f"TIPRING_{kind.upper()}": "broken"})
    assert "no_such_thing" in str(raised.value)


def test_a_strict_host_takes_no_failure(installed: Site, tmp_path: Path) -> None:
    installed.add("turn", "broken", "import no_such_thing")
    with pytest.raises(ConfigError, match="no_such_thing"):
        chosen(installed, tmp_path, TIPRING_TURN="broken,end", TIPRING_STRICT="1")


def test_a_name_that_is_not_installed_stops_the_boot_even_as_a_fallback(
    installed: Site, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match='did you mean "end"') as raised:
        chosen(installed, tmp_path, TIPRING_TURN="end,ent")
    assert raised.value.where == "$TIPRING_TURN"


def test_settings_come_from_the_file_and_the_environment(installed: Site, tmp_path: Path) -> None:
    installed.add("turn", "tuned", plugin("turn", "tuned", settings=TUNED))
    selection = chosen(
        installed,
        tmp_path,
        '[turn.tuned]\nstop_secs = 0.5\nmode = "a"\nwords = "um"\n',
        TIPRING_TURN="tuned",
        TIPRING_TURN__TUNED__STOP_SECS="0.6",
    )
    settings = selection.turn[0].settings
    assert settings.model_dump() == {"stop_secs": 0.6, "words": ("um",), "mode": "a"}


@pytest.mark.parametrize("value", ["um, er", '["um", "er"]'])
def test_a_list_may_be_given_in_a_variable(installed: Site, tmp_path: Path, value: str) -> None:
    installed.add("turn", "tuned", plugin("turn", "tuned", settings=TUNED))
    env = {"TIPRING_TURN": "tuned", "TIPRING_TURN__TUNED__MODE": "a"}
    selection = chosen(installed, tmp_path, **env, TIPRING_TURN__TUNED__WORDS=value)
    assert getattr(selection.turn[0].settings, "words", None) == ("um", "er")


@pytest.mark.parametrize(
    "text, expected",
    [
        ("mode = 1\n", r"line 2, \[turn\.tuned\] mode: 1 is not text"),
        (
            'mode = "a"\nstop_secs = 9\n',
            r"9 is too big.*\n.*number, 0\.1 to 2; its default is 0\.7",
        ),
        ('mode = "a"\nstop_sec = 1\n', r'did you mean "stop_secs"'),
        ("stop_secs = 1\n", r"\[turn\.tuned\] mode: it is missing"),
    ],
)
def test_a_setting_that_cannot_be_stops_the_boot(
    installed: Site, tmp_path: Path, text: str, expected: str
) -> None:
    installed.add("turn", "tuned", plugin("turn", "tuned", settings=TUNED))
    with pytest.raises(ConfigError, match=expected):
        chosen(installed, tmp_path, "[turn.tuned]\n" + text, TIPRING_TURN="tuned,end")


def test_mistakes_in_several_plugins_are_told_at_once(installed: Site, tmp_path: Path) -> None:
    with pytest.raises(Mistakes) as raised:
        chosen(installed, tmp_path, "[turn.end]\nx = 1\n[stt.ears]\ny = 1\n", TIPRING_TTS="moth")
    assert len(raised.value.errors) == 3


def test_a_secret_that_is_not_set_is_the_plugins_failure_and_names_its_variable(
    installed: Site, tmp_path: Path
) -> None:
    installed.add("stt", "keyed", plugin("stt", "keyed", settings=KEYED))
    selection = chosen(installed, tmp_path, TIPRING_STT="keyed,ears")
    (problem,) = selection.problems
    assert (problem.where, problem.what) == ("stt.keyed", "$ACME_KEY is not set")
    assert "export ACME_KEY" in problem.fix
    given = chosen(installed, tmp_path, TIPRING_STT="keyed,ears", ACME_KEY="f00dcafe")
    assert names(given)["stt"] == ["keyed", "ears"]
    assert "f00dcafe" not in repr(given)


def test_a_missing_secret_hides_no_other_mistake(installed: Site, tmp_path: Path) -> None:
    installed.add("stt", "keyed", plugin("stt", "keyed", settings=KEYED))
    with pytest.raises(ConfigError, match="too small"):
        chosen(installed, tmp_path, "[stt.keyed]\nlevel = -1\n", TIPRING_STT="keyed")


@pytest.mark.parametrize("place", ["file", "environment"])
def test_a_plugins_secret_is_refused_anywhere_but_in_its_variable(
    installed: Site, tmp_path: Path, place: str
) -> None:
    installed.add("stt", "keyed", plugin("stt", "keyed", settings=KEYED))
    text = '[stt.keyed]\nkey = "f00dcafe"\n' if place == "file" else ""
    env = {"TIPRING_STT__KEYED__KEY": "f00dcafe"} if place == "environment" else {}
    with pytest.raises(ConfigError, match="set ACME_KEY") as raised:
        chosen(installed, tmp_path, text, TIPRING_STT="keyed", **env)
    assert "f00dcafe" not in str(raised.value)


def test_a_rung_is_a_named_use_of_a_plugin(installed: Site, tmp_path: Path) -> None:
    settings = 'model: str = Field("m", description="Which.")'
    installed.add("llm", "gate", plugin("llm", "gate", settings=settings))
    selection = chosen(
        installed,
        tmp_path,
        '[llm.top]\nplugin = "gate"\nmodel = "big"\n[llm.low]\nplugin = "gate"\nmodel = "small"\n',
        TIPRING_LLM="top,low,brain",
    )
    assert str(selection) == "ears + end + top>low>brain + mouth"
    models = [getattr(part.settings, "model", "") for part in selection.llm]
    assert models == ["big", "small", ""]
    assert [part.provider.name for part in selection.llm] == ["gate", "gate", "brain"]


@pytest.mark.parametrize("value, expected", [('"gat"', 'did you mean "gate"'), ("3", "not a plug")])
def test_a_rung_of_no_plugin_is_told_at_its_line(
    installed: Site, tmp_path: Path, value: str, expected: str
) -> None:
    installed.add("llm", "gate")
    with pytest.raises(ConfigError, match=expected) as raised:
        chosen(installed, tmp_path, f"[llm.top]\nplugin = {value}\n", TIPRING_LLM="top")
    assert raised.value.where.endswith("line 2, [llm.top] plugin")


def test_a_detector_that_transcribes_makes_stt_unused_and_that_is_noted(
    installed: Site, tmp_path: Path
) -> None:
    installed.add("turn", "flow", plugin("turn", "flow", more="transcribes=True"))
    selection = chosen(installed, tmp_path, TIPRING_TURN="flow,end")
    assert selection.transcribes
    assert str(selection) == "flow + brain + mouth"
    assert selection.notes == ('stt = "ears" is not used while turn = "flow": flow transcribes',)


def test_a_default_that_is_not_used_need_not_be_installed(installed: Site, tmp_path: Path) -> None:
    installed.add("turn", "flow", plugin("turn", "flow", more="transcribes=True"))
    env = {key: value for key, value in WHOLE.items() if key != "TIPRING_STT"}
    selection = select(load(None, {**env, "TIPRING_TURN": "flow"}), installed.plugins())
    assert names(selection)["stt"] == []
    with pytest.raises(ConfigError, match="pip install tipring-stt-moonshine"):
        select(load(None, env), installed.plugins())


def test_observers_are_chosen_by_name_and_a_broken_one_is_passed_over(
    installed: Site, tmp_path: Path
) -> None:
    good = HEAD + "@hookimpl\ndef observe_call(call): return []\n"
    installed.add("observer", "good", good)
    installed.add("observer", "bad", good.replace("call)", "caller)"))
    selection = chosen(installed, tmp_path, TIPRING_OBSERVERS="bad,good")
    assert selection.observers == ("good",)
    assert [problem.where for problem in selection.problems] == ["observer.bad"]
    with pytest.raises(ConfigError, match='did you mean "good"'):
        chosen(installed, tmp_path, TIPRING_OBSERVERS="goood")


def test_a_part_builds_with_its_settings_for_the_call(installed: Site, tmp_path: Path) -> None:
    build = "return TurnPlan(stop=(settings.mode, call.id))"
    installed.add("turn", "tuned", plugin("turn", "tuned", settings=TUNED, build=build))
    env = {"TIPRING_TURN": "tuned", "TIPRING_TURN__TUNED__MODE": "a"}
    built = chosen(installed, tmp_path, **env).turn[0].build(CALL)
    assert isinstance(built, TurnPlan)
    assert built.stop == ("a", "CA1")  # type: ignore[comparison-overlap]  # a stand-in


def test_what_a_build_raises_is_told_without_its_secret(installed: Site, tmp_path: Path) -> None:
    build = "raise ValueError('refused: ' + settings.key.get_secret_value())"
    installed.add("stt", "keyed", plugin("stt", "keyed", settings=KEYED, build=build))
    selection = chosen(installed, tmp_path, TIPRING_STT="keyed", ACME_KEY="f00dcafe")
    with pytest.raises(PluginError, match=r"its build failed: ValueError: refused: \*\*\*") as told:
        selection.stt[0].build(CALL)
    assert "f00dcafe" not in str(told.value)
    assert told.value.__suppress_context__


def test_a_sentence_of_the_plugins_own_is_passed_on_with_its_fix(
    installed: Site, tmp_path: Path
) -> None:
    build = (
        "from tipring.errors import PluginError\n"
        "raise PluginError('x', settings.key.get_secret_value() + ' is old', 'renew it')"
    )
    installed.add("stt", "keyed", plugin("stt", "keyed", settings=KEYED, build=build))
    selection = chosen(installed, tmp_path, TIPRING_STT="keyed", ACME_KEY="f00dcafe")
    with pytest.raises(PluginError) as told:
        selection.stt[0].build(CALL)
    assert (told.value.where, told.value.what, told.value.fix) == (
        "stt.keyed",
        "*** is old",
        "renew it",
    )


def test_a_distribution_that_cannot_be_read_is_noted_and_degrades_nothing(
    installed: Site, tmp_path: Path
) -> None:
    installed.points("odd", {"tipring.trun": {"x": "m"}})
    selection = chosen(installed, tmp_path, TIPRING_STRICT="1")
    assert selection.problems == ()
    assert len(selection.notes) == 1 and "tipring.trun" in selection.notes[0]


async def test_a_transcriber_that_nobody_will_ask_for_is_not_built(
    installed: Site, tmp_path: Path
) -> None:
    flow = plugin("turn", "flow", more="transcribes=True")
    installed.add("turn", "flow", flow)
    installed.add("stt", "never", plugin("stt", "never", build="raise OSError('built')"))
    alone = chosen(installed, tmp_path, TIPRING_TURN="flow", TIPRING_STT="never")
    assert (await rehearse(alone)).problems == ()
    fallback = chosen(installed, tmp_path, TIPRING_TURN="flow,end", TIPRING_STT="never")
    assert [one.where for one in (await rehearse(fallback)).problems] == ["stt.never"]


async def test_a_rehearsal_builds_everything_once_off_the_loop_and_closes_it(
    installed: Site, tmp_path: Path
) -> None:
    build = (
        BUILDS["llm"]
        .replace("        pass", "        seen.append('closed')")
        .replace(
            "class Answers",
            "import threading\nseen.append((call.id, threading.get_ident()))\nclass Answers",
        )
    )
    module = installed.add("llm", "seen", plugin("llm", "seen", build=build) + "\nseen = []\n")
    selection = chosen(installed, tmp_path, TIPRING_LLM="seen")
    rehearsed = await rehearse(selection)
    assert names(rehearsed) == names(selection)
    assert rehearsed.problems == ()
    (called, thread), closed = sys.modules[module].seen
    assert (called, closed) == ("rehearsal", "closed")
    assert thread != threading.get_ident()


async def test_a_rehearsal_tells_who_can_speak_before_it_builds_the_rest(
    installed: Site, tmp_path: Path
) -> None:
    build = BUILDS["llm"].replace("class Answers", "seen.append('built')\nclass Answers")
    module = installed.add("llm", "seen", plugin("llm", "seen", build=build) + "\nseen = []\n")
    selection = chosen(installed, tmp_path, TIPRING_LLM="seen")
    seen = sys.modules[module].seen
    await rehearse(selection, voices=seen.append)
    assert seen == [selection.tts, "built"]


FAILING = {
    "raises": ("raise OSError('no model')", r"its build failed: OSError: no model"),
    "exits": ("raise SystemExit(1)", r"its build failed: SystemExit: 1"),
    "gives something else": ("return 3", r"gave an? int, which is not a TurnPlan"),
    "gives nothing": ("pass", r"NoneType"),
    "hangs": ("import threading; threading.Event().wait()", r"did not end in 2 s"),
}


@pytest.mark.parametrize("how", FAILING)
async def test_a_build_that_fails_its_rehearsal_gives_way(
    installed: Site, tmp_path: Path, how: str
) -> None:
    build, expected = FAILING[how]
    installed.add("turn", "broken", plugin("turn", "broken", build=build))
    selection = chosen(installed, tmp_path, TIPRING_TURN="broken,end")
    for part in (*selection.stt, *selection.tts):
        # So that the time Pipecat takes to be imported does not count as a build's.
        await asyncio.to_thread(part.build, CALL)
    rehearsed = await rehearse(selection, timeout=2 if how == "hangs" else 60)
    assert names(rehearsed)["turn"] == ["end"]
    (problem,) = rehearsed.problems
    assert problem.where == "turn.broken" and problem.fix
    assert re.search(expected, problem.what)


async def test_when_no_detector_can_be_built_silence_decides(
    installed: Site, tmp_path: Path
) -> None:
    installed.last_resort()
    installed.add("turn", "broken", plugin("turn", "broken", build="1 / 0"))
    rehearsed = await rehearse(chosen(installed, tmp_path, TIPRING_TURN="broken"))
    assert names(rehearsed)["turn"] == ["vad"]
    assert [problem.where for problem in rehearsed.problems] == ["turn.broken", "turn"]


async def test_a_rehearsal_that_leaves_nothing_to_speak_with_stops_the_boot(
    installed: Site, tmp_path: Path
) -> None:
    installed.add("tts", "broken", plugin("tts", "broken", build="1 / 0"))
    with pytest.raises(ConfigError, match="no tts is left that works"):
        await rehearse(chosen(installed, tmp_path, TIPRING_TTS="broken"))


@pytest.mark.parametrize("kind", ["stt", "llm", "tts"])
async def test_a_build_that_gives_something_else_is_told(
    installed: Site, tmp_path: Path, kind: str
) -> None:
    installed.add(kind, "odd", plugin(kind, "odd", build="return object()"))
    working = WHOLE[f"TIPRING_{kind.upper()}"]
    env = {f"TIPRING_{kind.upper()}": f"odd,{working}"}
    rehearsed = await rehearse(chosen(installed, tmp_path, **env))
    assert names(rehearsed)[kind] == [working]
    assert "gave an object" in rehearsed.problems[0].what
