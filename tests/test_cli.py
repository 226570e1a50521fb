"""What is promised of the command: what it prints where, what it imports, and how it exits."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakedists import WHOLE, Site, plugin, site

TUNED = """
stop_secs: float = Field(0.7, ge=0.1, le=2, description="How long.")
key: SecretStr | None = secret("ACME_KEY", "The Acme key.", optional=True)
"""
BROKEN = "import no_such_thing"


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path) as made:
        made.whole()
        yield made


def tipring(
    installed: Site, *arguments: str, after: str = "", **env: str
) -> subprocess.CompletedProcess[str]:
    """Run the command in an environment of its own, next to the file that the test wrote."""
    program = f"import sys\nfrom tipring.cli import main\ntry: main()\nfinally: {after or 'pass'}"
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=installed.folder.parent,
        env={"PYTHONPATH": str(installed.folder), **WHOLE, **env},
        capture_output=True,
        text=True,
        timeout=100,
    )


def test_listing_plugins_imports_none_of_them_nor_pipecat(installed: Site) -> None:
    installed.add("turn", "loud", "raise SystemExit('imported')")
    heavy = "('pipecat', 'pydantic', 'packaging', 'pluggy', 'loguru', 'fake_', 'tipring_')"
    done = tipring(
        installed,
        "plugins",
        after=f"print([m for m in sys.modules if m.startswith({heavy})], file=sys.stderr)",
    )
    assert done.returncode == 0
    assert done.stderr == "[]\n"
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0] == ["KIND", "NAME", "FROM", "IN", "USE"]
    assert ["end", "fake-turn-end", "1.0", "yes"] in [line[-4:] for line in lines]
    assert ["loud", "fake-turn-loud", "1.0", "no"] in lines


def test_listing_tells_fallbacks_rungs_and_what_is_in_the_way(installed: Site) -> None:
    installed.add("turn", "old", requires=["tipring>=9"])
    installed.add("llm", "gate")
    done = tipring(
        installed,
        "plugins",
        "--json",
        TIPRING_TURN="end,old,gone",
        TIPRING_LLM="top,brain",
        TIPRING_LLM__TOP__PLUGIN="gate",
    )
    assert done.returncode == 0, done.stderr
    rows = {(row["kind"], row["name"]): row for row in json.loads(done.stdout)["plugins"]}
    assert rows["turn", "end"]["use"] == "yes"
    assert rows["turn", "old"]["use"] == "fallback, broken"
    assert "written for tipring>=9" in rows["turn", "old"]["problem"]["what"]
    assert rows["turn", "gone"]["dist"] == "" and rows["turn", "gone"]["problem"]["fix"]
    assert rows["llm", "gate"]["use"] == "rung 1 as top"
    assert rows["llm", "brain"]["use"] == "rung 2"


def test_one_plugin_is_shown_with_its_settings_and_no_secret(installed: Site) -> None:
    installed.add("turn", "tuned", plugin("turn", "tuned", settings=TUNED, more="transcribes=True"))
    done = tipring(installed, "plugins", "show", "turn.tuned", ACME_KEY="f00dcafe")
    assert done.returncode == 0, done.stderr
    assert "turn.tuned   fake-turn-tuned 1.0   replaces stt" in done.stdout
    words = " ".join(done.stdout.split())
    assert "stop_secs number 0.1 to 2 = 0.7 How long." in words
    assert "key secret, optional $ACME_KEY (set) The Acme key." in words
    assert re.search(r"   imported in \d+ ms\n", done.stdout)
    assert "f00dcafe" not in done.stdout + done.stderr
    done = tipring(installed, "plugins", "show", "turn.tuned", "--json")
    told = json.loads(done.stdout)
    assert (told["dist"], told["version"], told["kind"]) == ("fake-turn-tuned", "1.0", "turn")
    assert told["remarks"] == ["replaces stt"] and told["import_ms"] > 0
    number, key = told["settings"]
    assert (number["type"], number["range"], number["default"]) == ("number", "0.1 to 2", "0.7")
    assert (number["description"], number["required"]) == ("How long.", False)
    assert (key["secret_env"], key["set"], key["required"]) == ("ACME_KEY", False, False)


@pytest.mark.parametrize(
    "use, told", [('trun = "end"', '"trun" is not a setting'), ("turn = 7", "7 is not a list")]
)
def test_listing_tells_what_is_wrong_with_the_names_in_use(
    installed: Site, use: str, told: str
) -> None:
    (installed.folder.parent / "tipring.toml").write_text(f"[use]\n{use}\n")
    done = tipring(installed, "plugins", TIPRING_TURN="")
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr


def test_an_observer_is_shown_although_it_has_nothing_to_set(installed: Site) -> None:
    source = "from tipring.hookspecs import hookimpl\n@hookimpl\ndef observe_call(): return []"
    installed.add("observer", "eyes", source)
    done = tipring(installed, "plugins", "show", "observer.eyes")
    first, second = done.stdout.splitlines()
    assert first.startswith("observer.eyes   fake-observer-eyes 1.0   imported in ")
    assert second == "  nothing to set"


def test_the_configuration_is_shown_with_sources_and_without_secrets(installed: Site) -> None:
    installed.add("turn", "tuned", plugin("turn", "tuned", settings=TUNED))
    (installed.folder.parent / "tipring.toml").write_text(
        '[agent]\ngreeting = "Hi."\n[turn.tuned]\nstop_secs = 0.5\n'
        '[stt.other]\napi_key = "f00dcafe"\n'
    )
    env = {"TIPRING_TURN": "tuned", "ACME_KEY": "f00dcafe", "TWILIO_AUTH_TOKEN": "f00dcafe"}
    done = tipring(installed, "config", "--json", **env)
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert shown["agent.greeting"] == {"value": "Hi.", "source": "tipring.toml line 2"}
    assert shown["use.turn"] == {"value": ["tuned"], "source": "$TIPRING_TURN"}
    assert shown["turn.tuned.stop_secs"] == {"value": 0.5, "source": "tipring.toml line 4"}
    assert shown["turn.tuned.key"]["source"] == "$ACME_KEY"
    assert shown["turns.hold"]["source"] == "default"
    plain = tipring(installed, "config", **env)
    assert "f00dcafe" not in done.stdout + done.stderr + plain.stdout + plain.stderr
    assert "turn.tuned.stop_secs tipring.toml line 4 0.5" in " ".join(plain.stdout.split())


def test_a_check_that_finds_nothing_says_what_answers_and_exits_0(installed: Site) -> None:
    done = tipring(installed, "check")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines() == [
        "ok    stt   ears",
        "ok    turn  end",
        "ok    llm   brain",
        "ok    tts   mouth",
        "no problems; calls will be answered with: ears + end + brain + mouth",
    ]


def test_a_check_that_finds_a_failure_gives_its_fix_and_exits_1(installed: Site) -> None:
    installed.add("turn", "broken", BROKEN)
    installed.add("stt", "late", plugin("stt", "late", build="raise OSError('no model')"))
    done = tipring(installed, "check", TIPRING_TURN="broken,end", TIPRING_STT="late,ears")
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("FAIL  stt   late: its build failed: OSError: no model")
    assert lines[1].startswith("      fix:  ")
    assert lines[2] == "ok    stt   ears (will be used)"
    assert lines[3].startswith("FAIL  turn  broken: importing")
    assert lines[-1] == "2 problems; calls will be answered with: ears + end + brain + mouth"
    assert "Traceback" not in done.stderr


def test_a_check_of_a_mistake_exits_2_as_text_and_as_json(installed: Site) -> None:
    done = tipring(installed, "check", TIPRING_TURN="ent")
    assert done.returncode == 2
    assert 'FAIL  $TIPRING_TURN: no turn plugin "ent" is installed; did you mean "end"?' in (
        done.stdout
    )
    assert done.stdout.splitlines()[-1] == "1 problem; no call can be answered"
    told = json.loads(tipring(installed, "check", "--json", TIPRING_TURN="ent").stdout)
    assert (told["exit"], told["answers"]) == (2, None)
    assert told["problems"][0]["where"] == "$TIPRING_TURN"


def test_a_check_in_json_is_json_whatever_a_plugin_prints(installed: Site) -> None:
    installed.add("turn", "chatty", "print('hello')\n" + plugin("turn", "chatty"))
    done = tipring(installed, "check", "--json", TIPRING_TURN="chatty")
    told = json.loads(done.stdout)
    assert (told["exit"], told["answers"]) == (0, "ears + chatty + brain + mouth")
    assert {
        "kind": "turn",
        "name": "chatty",
        "plugin": "chatty",
        "from": "fake-turn-chatty 1.0",
    } in (told["parts"])


def test_an_online_check_asks_the_service_and_masks_its_secret(installed: Site) -> None:
    source = plugin("tts", "asked", settings=TUNED, more="online=online").replace(
        "@hookimpl",
        "def online(settings):\n"
        "    key = settings.key.get_secret_value()\n"
        "    return ['the voice of ' + key + ' is gone; choose another']\n"
        "@hookimpl",
    )
    installed.add("tts", "asked", source)
    env = {"TIPRING_TTS": "asked", "ACME_KEY": "f00dcafe"}
    assert tipring(installed, "check", **env).returncode == 0
    done = tipring(installed, "check", "--online", **env)
    assert done.returncode == 1, done.stderr
    assert "FAIL  tts   asked: the voice of *** is gone\n      fix:  choose another" in done.stdout


def test_a_mistake_is_one_message_on_stderr_and_never_a_traceback(installed: Site) -> None:
    done = tipring(installed, "config", TIPRING_TURNS__HOLD="99")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("$TIPRING_TURNS__HOLD: ")
    assert "fix:" in done.stderr and "Traceback" not in done.stderr


def test_the_file_is_chosen_by_an_option(installed: Site) -> None:
    path = installed.folder.parent / "other.toml"
    path.write_text('[agent]\ngreeting = "Other."\n')
    done = tipring(installed, "--config", "other.toml", "config", "--json")
    assert json.loads(done.stdout)["agent.greeting"]["value"] == "Other."
    gone = tipring(installed, "--config", "gone.toml", "config")
    assert gone.returncode == 2 and "gone.toml" in gone.stderr


def test_help_lists_the_commands_and_imports_none_of_them(installed: Site) -> None:
    done = tipring(
        installed,
        "--help",
        after="print([m for m in sys.modules if m.startswith('tipring.cli.')], file=sys.stderr)",
    )
    assert done.returncode == 0
    assert all(name in done.stdout for name in ("serve", "call", "check", "config", "plugins"))
    assert done.stderr == "[]\n"


@pytest.mark.parametrize("level, shown", [("", False), ("debug", True)])
def test_pipecats_own_messages_are_shown_only_when_asked_for(
    installed: Site, level: str, shown: bool
) -> None:
    said = "from loguru import logger\nlogger.warning('caller said hello')\nlogger.error('bad')\n"
    installed.add("turn", "logs", said + plugin("turn", "logs"))
    done = tipring(installed, "config", TIPRING_TURN="logs", TIPRING_LOG=level)
    assert done.returncode == 0, done.stderr
    assert "bad" in done.stderr
    assert ("caller said hello" in done.stderr) is shown
