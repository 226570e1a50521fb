"""The contract catches plugins that are wrong, each by the rule that it breaks.

Every wrong plugin is one that ``tipring plugins new`` wrote, which keeps the whole contract, with
one thing in it changed.
"""

from __future__ import annotations

import sys
import unittest
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tipring.template import write
from tipring.testing import (
    ContractBroken,
    LlmContract,
    ObserverContract,
    PluginContract,
    SttContract,
    TtsContract,
    TurnContract,
    examine,
)
from tipring.testing.contract import name_of, rules

from tests.installed import install
from tests.patient_loop import patient

pytestmark = pytest.mark.slow

CONTRACTS: dict[str, type[PluginContract]] = {
    "stt": SttContract,
    "turn": TurnContract,
    "llm": LlmContract,
    "tts": TtsContract,
    "observer": ObserverContract,
}
BODY = {
    "stt": "service",
    "turn": "strategy",
    "llm": "rung",
    "tts": "service",
    "observer": "observer",
}
KEY = 'api_key: SecretStr = secret("WRONG_API_KEY", "The key.")\n    '
SECRET = "from pydantic import Field, SecretStr\nfrom tipring.providers import secret"


@dataclass(frozen=True, kw_only=True)
class Wrong:
    """One thing that is wrong with a plugin.

    Attributes:
        kind: The kind of plugin.
        breaks: The rule, as its method is called.
        says: What the message has to name.
        fix: What the mend has to name.
        declares: Changes to ``__init__.py``: what stood there, and what stands there instead.
        does: Changes to the other module.
        project: Changes to ``pyproject.toml``.
        knows: Attributes of the contract's class.
    """

    kind: str
    breaks: str
    says: str
    fix: str
    declares: dict[str, str] = field(default_factory=dict)
    does: dict[str, str] = field(default_factory=dict)
    project: dict[str, str] = field(default_factory=dict)
    knows: dict[str, Any] = field(default_factory=dict)


ALL = {
    "imports_numpy_at_the_top": Wrong(
        kind="turn",
        breaks="test_declares_quickly_and_imports_nothing_heavy",
        says="imports numpy",
        fix="build()",
        declares={"from pydantic": "import numpy\nfrom pydantic"},
    ),
    "computes_while_it_declares": Wrong(
        kind="llm",
        breaks="test_declares_quickly_and_imports_nothing_heavy",
        says="ms of CPU",
        fix="build()",
        declares={"from pydantic": "sum(n * n for n in range(4_000_000))\nfrom pydantic"},
    ),
    "goes_with_any_host": Wrong(
        kind="tts",
        breaks="test_says_for_which_tipring_it_was_written",
        says="up to which tipring",
        fix="tipring>=0.1,<0.2",
        project={"tipring>=0.1,<0.2": "tipring>=0.1"},
    ),
    "does_not_describe_a_setting": Wrong(
        kind="stt",
        breaks="test_every_setting_is_described",
        says='"interim_every" has no description',
        fix="description=",
        declares={', description="Seconds of speech between two guesses at the words."': ""},
    ),
    "takes_any_setting": Wrong(
        kind="turn",
        breaks="test_unknown_settings_are_refused",
        says="a setting that it does not know",
        fix="forbid",
        declares={
            "    silence: float": '    model_config = {"extra": "ignore"}\n    silence: float'
        },
    ),
    "lets_settings_change": Wrong(
        kind="turn",
        breaks="test_settings_cannot_be_changed_afterwards",
        says="silence can be set",
        fix="frozen=True",
        declares={"    silence: float": '    model_config = {"frozen": False}\n    silence: float'},
    ),
    "has_its_key_in_plain_text": Wrong(
        kind="llm",
        breaks="test_secrets_never_appear_in_repr_log_or_error",
        says='"api_key" seems to be a secret',
        fix="SecretStr = secret(",
        declares={"pace: float": 'api_key: str = Field("", description="A key.")\n    pace: float'},
    ),
    "logs_its_key": Wrong(
        kind="llm",
        breaks="test_secrets_never_appear_in_repr_log_or_error",
        says="prints or logs",
        fix="get_secret_value()",
        declares={
            "from pydantic import Field": SECRET,
            "pace: float": KEY + "pace: float",
            "    return WrongRung": "    import logging\n    logging.getLogger(__name__).info("
            '"key %s", settings.api_key.get_secret_value())\n    return WrongRung',
        },
    ),
    "raises_with_its_key": Wrong(
        kind="tts",
        breaks="test_secrets_never_appear_in_repr_log_or_error",
        says="a secret stands in what build()",
        fix="get_secret_value()",
        declares={
            "from pydantic import Field": SECRET,
            "pitch: float": KEY + "pitch: float",
            "    return WrongService": '    if call.language != "en":\n        raise ValueError('
            'f"no {call.language} for {settings.api_key.get_secret_value()}")\n'
            "    return WrongService",
        },
    ),
    "shows_its_key_in_its_repr": Wrong(
        kind="llm",
        breaks="test_secrets_never_appear_in_repr_log_or_error",
        says="gives back, in its repr()",
        fix="keep the SecretStr elsewhere",
        declares={"from pydantic import Field": SECRET, "pace: float": KEY + "pace: float"},
        does={
            "    async def aclose": "    def __repr__(self) -> str:\n"
            "        return self._wants.api_key.get_secret_value()\n\n    async def aclose"
        },
    ),
    "connects_when_it_is_built": Wrong(
        kind="stt",
        breaks="test_build_opens_no_socket",
        says="connects to ('127.0.0.1', 9)",
        fix="when the pipeline starts",
        declares={
            "    return WrongService": "    import socket\n    with socket.socket() as s:\n"
            '        s.connect_ex(("127.0.0.1", 9))\n    return WrongService'
        },
    ),
    "starts_a_thread_in_each_build": Wrong(
        kind="tts",
        breaks="test_builds_again_and_again_without_leaking",
        says="4 more threads open",
        fix="share one executor",
        declares={
            "    return WrongService": "    import threading\n    threading.Thread("
            "target=threading.Event().wait, daemon=True).start()\n    return WrongService"
        },
    ),
    "opens_a_file_in_each_build": Wrong(
        kind="stt",
        breaks="test_builds_again_and_again_without_leaking",
        says="4 more files open",
        fix="open in the process once",
        declares={
            "    return WrongService": "    import os\n    os.open(__file__, os.O_RDONLY)\n"
            "    return WrongService"
        },
    ),
    "shares_one_object_between_calls": Wrong(
        kind="llm",
        breaks="test_builds_again_and_again_without_leaking",
        says="two calls would share it",
        fix="a new one in build()",
        declares={
            "    return WrongRung(settings)": "    return one(settings)",
            "def build(": "import functools\n\n@functools.cache\ndef one(settings):\n"
            "    from tipring_llm_wrong.rung import WrongRung\n    return WrongRung(settings)\n\n"
            "def build(",
        },
    ),
    "never_proposes": Wrong(
        kind="turn",
        breaks="test_proposes_when_the_caller_is_done",
        says="had proposed nothing",
        fix="trigger_user_turn_stopped()",
        does={"        self._words = False\n        self._quiet": "        self._quiet"}
        | {"self._words = True": "self._words = False"},
    ),
    "does_not_take_back_what_it_began": Wrong(
        kind="turn",
        breaks="test_takes_it_back_when_the_caller_goes_on",
        says="was speaking",
        fix="VADUserStartedSpeakingFrame",
        does={
            "                self._speaking = True\n"
            "                await self._forget_silence()": "                self._speaking = True",
            "                self._words = True\n": "                self._words = True\n"
            "                return ProcessFrameResult.CONTINUE\n",
            "        if self._words:\n": "        if True:\n",
        },
        knows={"settings": {"silence": 1.2}},
    ),
    "holds_less_than_it_claims": Wrong(
        kind="turn",
        breaks="test_takes_it_back_when_the_caller_goes_on",
        says="which it claims to sit out",
        fix="lower holds",
        does={"        if self._words:\n": "        if True:\n"},
        knows={"holds": 1.6},
    ),
    "proposes_without_a_caller": Wrong(
        kind="turn",
        breaks="test_survives_silence_noise_and_no_audio_at_all",
        says="before anybody had spoken",
        fix="only after",
        does={
            "        match frame:": "        if type(frame).__name__ == 'InputAudioRawFrame':\n"
            "            await self.trigger_user_turn_stopped()\n        match frame:"
        },
    ),
    "raises_on_audio": Wrong(
        kind="turn",
        breaks="test_survives_silence_noise_and_no_audio_at_all",
        says="it failed in the pipeline",
        fix="handle it in the plugin",
        does={
            "        match frame:": "        if type(frame).__name__ == 'InputAudioRawFrame':\n"
            "            raise ValueError('no tensor')\n        match frame:"
        },
    ),
    "computes_on_the_loop": Wrong(
        kind="turn",
        breaks="test_never_blocks_the_loop_over_20_ms",
        says="held the event loop for",
        fix="asyncio.to_thread()",
        does={
            "        self._quiet = True\n": "        import time\n        time.sleep(0.06)\n"
            "        self._quiet = True\n"
        },
    ),
    "leaves_its_timer_running": Wrong(
        kind="turn",
        breaks="test_close_leaves_no_task_thread_or_socket",
        says="tasks are left open",
        fix="cancel tasks",
        does={
            "        self._timer: asyncio": "        self._kept: list[object] = []\n"
            "        self._timer: asyncio",
            "        match frame:": "        if not self._kept:\n            self._kept.append("
            "asyncio.get_running_loop().create_task(asyncio.sleep(60)))\n        match frame:",
        },
    ),
    "leaves_its_connection_open": Wrong(
        kind="llm",
        breaks="test_close_leaves_no_task_thread_or_socket",
        says="sockets are left open",
        fix="close connections",
        does={
            "        heard: Any": "        import socket\n        for end in socket.socketpair():\n"
            "            end.detach()\n        heard: Any"
        },
    ),
    "leaves_a_thread_waiting": Wrong(
        kind="tts",
        breaks="test_close_leaves_no_task_thread_or_socket",
        says="threads are left open",
        fix="join threads",
        does={
            "        audio = speak(": "        import threading\n        threading.Thread("
            "target=threading.Event().wait, daemon=True).start()\n        audio = speak("
        },
    ),
    "answers_in_one_piece": Wrong(
        kind="llm",
        breaks="test_streams_and_ends_with_end",
        says="in one piece",
        fix="stream",
        does={'f"You said: {heard}".split()': '[f"You said: {heard}"]'},
    ),
    "never_says_that_it_is_over": Wrong(
        kind="llm",
        breaks="test_streams_and_ends_with_end",
        says="no End",
        fix="yield End()",
        does={"        yield End()\n": ""},
    ),
    "goes_on_when_cancelled": Wrong(
        kind="llm",
        breaks="test_stops_within_100_ms_of_cancel",
        says="when it was closed it went on",
        fix="GeneratorExit",
        does={
            "        for word in": "        try:\n            yield TextDelta(text='Well, ')\n"
            "        finally:\n            await asyncio.sleep(0.3)\n        for word in"
        },
    ),
    "ends_half_an_answer_as_a_whole_one": Wrong(
        kind="llm",
        breaks="test_surfaces_an_answer_that_ends_early",
        says="as if it were whole",
        fix="never otherwise",
        knows={"breaks": {}},
    ),
    "does_not_call_the_tool": Wrong(
        kind="llm",
        breaks="test_a_tool_call_makes_the_round_trip",
        says="it called no tool",
        fix="context.tools",
        knows={"asks_for_tool": "When are you open on Friday?"},
    ),
    "chokes_on_anothers_tool_call": Wrong(
        kind="llm",
        breaks="test_understands_a_context_that_another_rung_made",
        says="KeyError: 'content'",
        fix="raise it where the host expects it",
        does={'            if isinstance(message, dict) and message.get("role") == "user"\n': ""},
    ),
    "changes_the_conversation": Wrong(
        kind="llm",
        breaks="test_understands_a_context_that_another_rung_made",
        says="it changed the context",
        fix="copy the messages",
        does={
            "        heard: Any": "        context.add_message({'role': 'system',"
            " 'content': system})\n        heard: Any"
        },
    ),
    "says_nothing": Wrong(
        kind="tts",
        breaks="test_speaks_the_first_audio_soon_and_all_of_it",
        says="no audio came",
        fix="TTSAudioRawFrame",
        does={"range(0, len(audio), size)": "range(0)"},
        knows={"within": 1.0},
    ),
    "lies_about_its_rate": Wrong(
        kind="tts",
        breaks="test_the_sample_rate_is_what_it_says",
        says="lasted",
        fix="really have",
        does={"audio = speak(text, self.sample_rate,": "audio = speak(text, 24000,"},
    ),
    "speaks_on_after_an_interruption": Wrong(
        kind="tts",
        breaks="test_no_audio_comes_after_a_cancel",
        says="after the interruption",
        fix="your own tasks",
        does={
            "        for at in range": "        async def on():\n            import asyncio\n"
            "            for _ in range(20):\n                await asyncio.sleep(0.05)\n"
            "                await self.push_frame(TTSAudioRawFrame(bytes(640),"
            " self.sample_rate, 1))\n\n"
            '        self.create_task(on(), "on")\n        for at in range',
        },
    ),
    "renders_at_its_own_rate": Wrong(
        kind="tts",
        breaks="test_a_phrase_rendered_ahead_lasts_as_long_as_a_spoken_one",
        says="call.audio_out_rate",
        fix="render at",
        declares={"speak(text, call.audio_out_rate,": "speak(text, 16000,"},
    ),
    "tells_only_finals": Wrong(
        kind="stt",
        breaks="test_tells_interims_and_then_a_final_at_16_kHz",
        says="no interim transcript",
        fix="InterimTranscriptionFrame",
        does={"if fresh >= self._wants.interim_every": "if fresh < 0"},
    ),
    "hears_only_wide_band": Wrong(
        kind="stt",
        breaks="test_tells_interims_and_then_a_final_at_8_kHz",
        says="at 8000 Hz",
        fix="TranscriptionFrame",
        does={
            "        if self._speaking:\n": "        if self._speaking and self.sample_rate"
            " > 8000:\n"
        }
        | {
            "            await self.push_frame(\n": "            if self.sample_rate > 8000:\n"
            "              await self.push_frame(\n"
        },
        knows={"within": 1.0},
    ),
    "forgets_everything_when_interrupted": Wrong(
        kind="stt",
        breaks="test_hears_on_after_an_interruption",
        says="after an interruption",
        fix="TranscriptionFrame",
        does={
            "        if isinstance(frame, VADUserStartedSpeakingFrame)": "        if type(frame)."
            "__name__ == 'InterruptionFrame':\n            self._deaf = True\n"
            "        if isinstance(frame, VADUserStartedSpeakingFrame)",
            "VADUserStoppedSpeakingFrame):\n            self._speaking": "VADUserStoppedSpeaking"
            "Frame) and not hasattr(self, '_deaf'):\n            self._speaking",
        },
        knows={"within": 1.0},
    ),
    "does_not_connect_again": Wrong(
        kind="stt",
        breaks="test_connects_again_after_a_dropped_socket",
        says="after its connection was cut",
        fix="TranscriptionFrame",
        does={
            "            words = transcribe(bytes(self._heard)": "            if hasattr(self,"
            " '_lost'):\n                return\n            self._lost = True\n"
            "            words = transcribe(bytes(self._heard)",
        },
        knows={"within": 1.0, "drop": lambda self: _nothing()},
    ),
    "gives_two_calls_one_observer": Wrong(
        kind="observer",
        breaks="test_gives_each_call_observers_of_its_own",
        says="the same observer",
        fix="make a new one",
        declares={
            "@hookimpl": "MADE: list[object] = []\n\n@hookimpl",
            "    yield WrongObserver(call.id)": "    MADE or MADE.append(WrongObserver(call.id))\n"
            "    yield from MADE",
        },
    ),
    "trips_over_a_frame": Wrong(
        kind="observer",
        breaks="test_takes_any_frame_without_raising_or_blocking",
        says="AttributeError",
        fix="handle it",
        does={
            "        if isinstance(data.frame, User": "        data.frame.audio\n"
            "        if isinstance(data.frame, User"
        },
    ),
}


async def _nothing() -> None:
    return


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    """The plugins have no sockets, so their callers need not speak in real time."""
    with patient():
        yield


@contextmanager
def installed(wrong: Wrong, folder: Path) -> Iterator[type[PluginContract]]:
    """Install a wrong plugin for the length of the block, and give its contract."""
    write(wrong.kind, "wrong", folder)
    root, site = folder / f"tipring-{wrong.kind}-wrong", folder / "site"
    package = root / "src" / f"tipring_{wrong.kind}_wrong"
    for path, changes in (
        (package / "__init__.py", wrong.declares),
        (package / f"{BODY[wrong.kind]}.py", wrong.does),
        (root / "pyproject.toml", wrong.project),
    ):
        text = path.read_text()
        for old, new in changes.items():
            assert old in text, f"the template has changed: {old!r} is not in {path.name}"
            text = text.replace(old, new, 1)
        path.write_text(text)
    site.mkdir()
    install(root, site)
    sys.path.insert(0, str(site))
    attributes: dict[str, Any] = {"plugin": f"{wrong.kind}.wrong", **wrong.knows}
    try:
        yield type("TestWrong", (CONTRACTS[wrong.kind],), attributes)
    finally:
        sys.path.remove(str(site))
        for name in [name for name in sys.modules if name.startswith(package.name)]:
            del sys.modules[name]


@pytest.mark.parametrize("name", ALL)
def test_a_wrong_plugin_is_caught_by_the_rule_that_it_breaks(name: str, tmp_path: Path) -> None:
    wrong = ALL[name]
    with installed(wrong, tmp_path) as contract, pytest.raises(ContractBroken) as caught:
        getattr(contract(), wrong.breaks)()
    error = caught.value
    assert error.rule == name_of(wrong.breaks)
    assert wrong.says in error.what
    assert wrong.fix in error.fix
    assert str(error).startswith(f'the rule "{error.rule}" is broken: ')
    assert str(error).endswith(f"\n  fix:  {error.fix}")


def test_every_rule_catches_some_wrong_plugin() -> None:
    caught = {(wrong.kind, wrong.breaks) for wrong in ALL.values()}
    general = {name for name in rules(TurnContract)} & {name for name in rules(LlmContract)}
    for kind, contract in CONTRACTS.items():
        for name in rules(contract):
            shared = name in general and any(rule == name for _, rule in caught)
            assert shared or (kind, name) in caught, f"{kind}: {name}"


def test_what_a_broken_plugin_is_refused_for_is_told_by_every_rule_of_its_contract(
    tmp_path: Path,
) -> None:
    wrong = Wrong(kind="llm", breaks="", says="", fix="", declares={"@hookimpl\n": ""})
    with installed(wrong, tmp_path) as contract:
        findings = list(examine(contract))
    broken = [finding for finding in findings if finding.state == "broken"]
    assert len(broken) >= len(findings) - 3
    assert any("no hook register_llm" in finding.what for finding in broken)
    assert all(finding.fix for finding in broken)


def test_what_cannot_be_checked_says_what_to_give() -> None:
    class Contract(LlmContract):
        plugin = "llm.receptionist"

    with pytest.raises(unittest.SkipTest, match="give breaks = "):
        Contract().test_surfaces_an_answer_that_ends_early()
