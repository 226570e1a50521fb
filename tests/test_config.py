"""What is promised of the configuration: every value has a source, every mistake a fix."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from tipring.config import SECTIONS, Config, Mistakes, load
from tipring.errors import ConfigError
from tipring.written import TABLES


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "tipring.toml"
    path.write_text(text, encoding="utf-8")
    return path


def sources(config: Config) -> dict[str, str]:
    return {name: value.source for name, value in config.values()}


def test_without_a_file_everything_has_its_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = load(None, {})
    assert config.path is None
    assert config.use.turn == ("smart",)
    assert set(sources(config).values()) == {"default"}


def test_the_file_in_the_working_directory_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path, '[agent]\ngreeting = "Hi."\n')
    config = load(None, {})
    assert config.agent.greeting == "Hi."
    assert sources(config)["agent.greeting"] == "tipring.toml line 2"


def test_the_environment_names_another_file(tmp_path: Path) -> None:
    path = written(tmp_path, "[limits]\nmax_calls = 3\n")
    assert load(None, {"TIPRING_CONFIG": str(path)}).limits.max_calls == 3


@pytest.mark.parametrize("by", ["argument", "environment"])
def test_a_file_that_is_not_there_is_a_mistake(tmp_path: Path, by: str) -> None:
    path = tmp_path / "nowhere.toml"
    with pytest.raises(ConfigError, match=r"nowhere\.toml"):
        load(path, {}) if by == "argument" else load(None, {"TIPRING_CONFIG": str(path)})


def test_the_environment_wins_over_the_file_and_the_file_over_the_default(tmp_path: Path) -> None:
    path = written(tmp_path, '[use]\nturn = "a"\nstt = "b"\n[turn.a]\nstop = 1\nkeep = 2\n')
    config = load(path, {"TIPRING_TURN": "c", "TIPRING_TURN__A__STOP": "0.6"})
    assert (config.use.turn, config.use.stt, config.use.tts) == (("c",), ("b",), ("hibari",))
    assert config.provider("turn", "a") == {"stop": "0.6", "keep": 2}
    assert config.table("turn", "a")["stop"].source == "$TIPRING_TURN__A__STOP"
    assert config.table("turn", "a")["keep"].source.endswith("line 6")
    told = sources(config)
    assert told["use.turn"] == "$TIPRING_TURN"
    assert told["use.stt"].endswith("tipring.toml line 3")
    assert told["use.tts"] == "default"


def test_one_name_may_stand_for_a_list(tmp_path: Path) -> None:
    path = written(tmp_path, '[use]\nturn = "a"\nllm = ["b", "c"]\n')
    config = load(path, {"TIPRING_TTS": " x , y "})
    assert (config.use.turn, config.use.llm, config.use.tts) == (("a",), ("b", "c"), ("x", "y"))


def test_an_empty_variable_is_as_if_it_were_not_set(tmp_path: Path) -> None:
    path = written(tmp_path, '[use]\nturn = "a"\n')
    assert load(path, {"TIPRING_TURN": " "}).use.turn == ("a",)


def test_a_section_is_set_from_the_environment() -> None:
    config = load(None, {"TIPRING_AGENT__GREETING": "", "TIPRING_TURNS__SPECULATE": "never"})
    assert config.agent.greeting == ""
    assert config.turns.speculate == "never"


def test_lines_inside_a_long_text_are_not_taken_for_keys(tmp_path: Path) -> None:
    path = written(tmp_path, '[agent]\nprompt = """\ngoodbye = "x"\n[turns]\n"""\ngoodbye = "y"\n')
    assert sources(load(path, {}))["agent.goodbye"].endswith("line 6")


MISTAKES = {
    "unknown table": ("[agnt]\n", r"line 1: there is no table \[agnt\].*\"agent\""),
    "unknown key": ("[turns]\nhodl = 1\n", r"line 2, \[turns\] hodl: .*did you mean \"hold\""),
    "unknown value at the top": ("sst = 1\n", r'"sst" is unknown; did you mean "stt"'),
    "kind as a value": ('turn = "smart"\n', r'write \[use\] and under it turn = "NAME"'),
    "section as a value": ("agent = 1\n", r"write \[agent\] on a line of its own"),
    "rule in the wrong table": ("[turn]\nhold = 1\n", r"write it under \[turns\]"),
    "setting without a name": ("[stt]\nmodel = 1\n", r"write it under \[stt\.NAME\]"),
    "too big": ("[turns]\nhold = 11\n", r"11 is too big: it must be at most 10.*\n.*0 to 10"),
    "too small": ("[limits]\nmax_calls = 0\n", r"0 is too small: it must be at least 1"),
    "not a number": ('[turns]\nhold = "x"\n', r'"x" is not a number'),
    "not whole": ("[server]\nport = 1.5\n", r"1\.5 is not a whole number"),
    "not text": ("[agent]\ngreeting = 1\n", r"1 is not text"),
    "not one of them": ('[turns]\nspeculate = "no"\n', r"silence.*proposal.*never"),
    "empty list": ("[use]\nstt = []\n", r"it is empty: it needs at least 1"),
    "name that cannot be": ('[use]\nstt = "Deep-Gram"\n', r'"Deep-Gram" cannot be a name'),
    "table name that cannot be": ("[stt.Deep]\nx = 1\n", r'"Deep" cannot be a name'),
    "name twice": ('[use]\nturn = ["a", "a"]\n', r'"a" is named twice'),
    "no TOML": ("[use\n", r"it is not TOML: .*line 1"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_the_file_is_told_with_its_place_and_fix(tmp_path: Path, mistake: str) -> None:
    text, expected = MISTAKES[mistake]
    path = written(tmp_path, text)
    with pytest.raises(ConfigError, match=expected) as raised:
        load(path, {})
    assert raised.value.where.startswith(str(path))
    assert raised.value.fix


VARIABLES = {
    "near miss": ("TIPRING_TRUN", "smart", r'did you mean "TIPRING_TURN"'),
    "unknown table": ("TIPRING_AGNET__GREETING", "x", r'did you mean "agent"'),
    "unknown key": ("TIPRING_AGENT__GREETNG", "x", r'did you mean "greeting"'),
    "too short": ("TIPRING_TURN__SMART", "x", r"TIPRING_TURN__NAME__KEY"),
    "too long": ("TIPRING_AGENT__A__B", "x", r"TIPRING_AGENT__KEY"),
    "bad value": ("TIPRING_SERVER__PORT", "http", r'"http" is not a whole number'),
}


@pytest.mark.parametrize("mistake", VARIABLES)
def test_a_mistake_in_the_environment_is_told_by_its_variable(mistake: str) -> None:
    variable, value, expected = VARIABLES[mistake]
    with pytest.raises(ConfigError, match=expected) as raised:
        load(None, {variable: value})
    assert raised.value.where == f"${variable}"


def test_variables_that_an_orchestrator_invents_are_left_alone() -> None:
    load(None, {"TIPRING_PORT": "tcp://10.0.0.1:80", "TIPRING_SERVICE_HOST": "10.0.0.1"})


@pytest.mark.parametrize("language", ["es", "es-MX", "ES_us"])
def test_phrases_that_nobody_wrote_are_in_the_agents_language(language: str) -> None:
    english, agent = load(None, {}).agent, load(None, {"TIPRING_AGENT__LANGUAGE": language}).agent
    phrases = [name for name in type(agent).model_fields if name != "language"]
    same = [name for name in phrases if getattr(agent, name) == getattr(english, name)]
    assert same == []
    assert agent.warning == "Nos queda más o menos un minuto de llamada."


def test_a_phrase_that_was_written_stays_whatever_the_language(tmp_path: Path) -> None:
    path = written(tmp_path, '[agent]\nlanguage = "es"\nwarning = ""\ngoodbye = "Chau."\n')
    agent = load(path, {}).agent
    assert (agent.warning, agent.goodbye, agent.nudge) == ("", "Chau.", "¿Sigue ahí?")


@pytest.mark.parametrize("language", ["en", "en-GB", "de", "../turns"])
def test_a_language_without_phrases_has_the_english_ones(language: str) -> None:
    agent = load(None, {"TIPRING_AGENT__LANGUAGE": language}).agent
    assert agent == load(None, {}).agent.model_copy(update={"language": language})


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    path = written(tmp_path, "[turns]\nhold = 99\nhodl = 1\n[agnt]\n")
    with pytest.raises(Mistakes) as raised:
        load(path, {"TIPRING_SERVER__PORT": "x"})
    assert len(raised.value.errors) == 4
    assert all(one.where in str(raised.value) for one in raised.value.errors)


@pytest.mark.parametrize("place", ["file", "environment"])
def test_a_secret_has_one_place_only_and_is_not_repeated(tmp_path: Path, place: str) -> None:
    text = '[twilio]\nauth_token = "f00dcafe"\n' if place == "file" else ""
    env = {"TIPRING_TWILIO__AUTH_TOKEN": "f00dcafe"} if place == "environment" else {}
    with pytest.raises(ConfigError, match="set TWILIO_AUTH_TOKEN") as raised:
        load(written(tmp_path, text), env)
    assert "f00dcafe" not in str(raised.value)


def test_a_secret_is_masked_wherever_the_configuration_is_shown() -> None:
    config = load(None, {"TWILIO_AUTH_TOKEN": "f00dcafe"})
    assert config.twilio.auth_token == SecretStr("f00dcafe")
    values = dict(config.values())
    assert values["twilio.auth_token"].source == "$TWILIO_AUTH_TOKEN"
    assert "f00dcafe" not in repr(config) + repr(values) + str(list(config.values()))


text = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=30)


@given(
    greeting=text,
    hold=st.floats(0, 10),
    calls=st.integers(1, 1000),
    speculate=st.sampled_from(["silence", "proposal", "never"]),
    llm=st.lists(st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True), min_size=1, unique=True),
)
def test_what_is_set_by_the_environment_is_what_is_read(
    greeting: str, hold: float, calls: int, speculate: str, llm: list[str]
) -> None:
    config = load(
        None,
        {
            "TIPRING_AGENT__GREETING": greeting,
            "TIPRING_TURNS__HOLD": repr(hold),
            "TIPRING_LIMITS__MAX_CALLS": str(calls),
            "TIPRING_TURNS__SPECULATE": speculate,
            "TIPRING_LLM": ",".join(llm),
        },
    )
    assert config.agent.greeting == greeting
    assert (config.turns.hold, config.turns.speculate) == (hold, speculate)
    assert (config.limits.max_calls, config.use.llm) == (calls, tuple(llm))


@given(document=st.binary(max_size=80) | text.map(str.encode))
def test_no_file_whatever_is_in_it_ends_in_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, document: bytes
) -> None:
    path = tmp_path_factory.mktemp("any") / "tipring.toml"
    path.write_bytes(document)
    try:
        load(path, {})
    except ConfigError as error:
        assert error.fix


def test_every_section_is_a_table_that_may_be_written() -> None:
    assert TABLES == tuple(SECTIONS)
