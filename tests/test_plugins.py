"""What is promised of plugins: found without import, loaded alone, the broken contained."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet
from tipring.discovery import Found, Installed
from tipring.errors import ConfigError, PluginError
from tipring.plugins import Plugins
from tipring.providers import Call

from tests.fakedists import HEAD, Site, plugin, site


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path) as made:
        yield made


def declaring(body: str) -> str:
    return HEAD + textwrap.dedent(body)


TWO_TURNS = """
def build(settings, call): ...
@hookimpl
def register_turn():
    yield Turn(name="broken", settings=NoSettings, build=build)
    yield Turn(name="broken", settings=NoSettings, build=build)
"""

BROKEN = {
    "an import error": ("import no_such_thing", r"ModuleNotFoundError.*no_such_thing"),
    "a syntax error": ("def (", r"SyntaxError"),
    "an exit": ("raise SystemExit(3)", r"SystemExit: 3"),
    "an exit by the interpreter's interrupt": ("raise KeyboardInterrupt", r"KeyboardInterrupt"),
    "an exception whose text raises": (
        "class E(Exception):\n    def __str__(self): raise E()\nraise E()",
        r"failed: E \(from",
    ),
    "no hook": ("", r"it has no hook register_turn"),
    "a hook that is not marked": (
        "def register_turn(): return []",
        r"register_turn that is marked as one",
    ),
    "a misspelt hook": (
        declaring("@hookimpl\ndef register_trun(): yield"),
        r'its name for it seems to be "register_trun"',
    ),
    "the hook of another kind": (plugin("stt", "broken"), r"no hook register_turn.*register_stt"),
    "a wrong signature": (
        declaring("@hookimpl\ndef register_turn(config): yield"),
        r"a hook of it does not fit: .*config",
    ),
    "a hook that raises": (
        declaring("@hookimpl\ndef register_turn(): raise ValueError('why')"),
        r"register_turn failed: ValueError: why",
    ),
    "a generator that raises": (
        declaring("@hookimpl\ndef register_turn():\n    yield from ()\n    1 / 0"),
        r"register_turn failed: ZeroDivisionError",
    ),
    "an asynchronous hook": (
        declaring("@hookimpl\nasync def register_turn(): return []"),
        r"register_turn: it is asynchronous",
    ),
    "a declaration that is returned": (
        plugin("turn", "broken").replace("yield", "return"),
        r"it gave back a Turn, not several",
    ),
    "nothing declared": (
        declaring("@hookimpl\ndef register_turn(): return []"),
        r'declared nothing, and "broken" has to be there',
    ),
    "another name declared": (plugin("turn", "other"), r'declared other, and "broken" has'),
    "one name declared twice": (declaring(TWO_TURNS), r"declared broken, broken"),
    "a declaration of another kind": (
        plugin("stt", "broken").replace("register_stt", "register_turn"),
        r"gave a Stt where Turn was expected",
    ),
    "a declaration that is none": (
        declaring("@hookimpl\ndef register_turn(): yield 'broken'"),
        r"gave a str where Turn was expected",
    ),
    "a declaration without an end": (
        declaring("@hookimpl\ndef register_turn():\n    while True: yield 1"),
        r"gave an int where Turn was expected",
    ),
    "settings that are no settings": (
        plugin("turn", "broken").replace("class Set(Settings)", "class Set"),
        r"its settings are the class Set, not a class of settings",
    ),
    "settings that are no class": (
        plugin("turn", "broken").replace("settings=Set,", "settings={'x': 1},"),
        r"its settings are a dict",
    ),
    "a setting that is the host's word": (
        plugin("turn", "broken", settings="plugin: str = ''"),
        r'a setting "plugin"',
    ),
    "an asynchronous build": (
        plugin("turn", "broken").replace("def build", "async def build"),
        r"its build is an async function",
    ),
    "no build": (
        plugin("turn", "broken").replace("build=build", "build=None"),
        r"its build is a N",
    ),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_plugin_is_told_by_name_with_its_fix_and_harms_no_other(
    installed: Site, how: str
) -> None:
    source, expected = BROKEN[how]
    installed.add("turn", "broken", source)
    installed.add("turn", "healthy")
    plugins = installed.plugins()
    with pytest.raises(PluginError, match=expected) as raised:
        plugins.load("turn", "broken")
    assert raised.value.where == "turn.broken"
    assert "(from fake-turn-broken 1.0)" in raised.value.what
    assert raised.value.fix
    assert plugins.load("turn", "healthy").name == "healthy"


@pytest.mark.parametrize("when", ["imported", "asked"])
def test_a_plugin_that_hangs_is_given_up_and_harms_no_other(installed: Site, when: str) -> None:
    wait = "import threading; threading.Event().wait()"
    hook = declaring(f"@hookimpl\ndef register_turn():\n    {wait}")
    installed.add("turn", "broken", wait if when == "imported" else hook)
    installed.add("turn", "healthy")
    plugins = installed.plugins(patience=2)
    assert plugins.load("turn", "healthy").name == "healthy"
    with pytest.raises(PluginError, match="did not end in 2 s"):
        plugins.load("turn", "broken")


def test_two_plugins_of_one_name_are_both_named_and_neither_is_taken(installed: Site) -> None:
    installed.add("turn", "same", dist="first")
    installed.add("turn", "same", dist="second", version="2.0")
    with pytest.raises(PluginError, match=r"first 1\.0 and second 2\.0") as raised:
        installed.plugins().load("turn", "same")
    assert "pip uninstall" in raised.value.fix


def test_the_hosts_own_detector_is_found_although_another_took_its_name(installed: Site) -> None:
    installed.last_resort()
    installed.add("turn", "vad", dist="usurper")
    assert installed.plugins().find("turn", "vad", dist="tipring").dist == "tipring"


@pytest.mark.parametrize("need", ["tipring>=9", "tipring<0.1", "Tipring ==7.*", "tipring!=0.1.0"])
def test_a_plugin_for_another_host_is_refused_before_it_is_imported(
    installed: Site, need: str
) -> None:
    module = installed.add("turn", "old", requires=["numpy", need])
    plugins = installed.plugins()
    with pytest.raises(PluginError, match=r"it was written for tipring.*this is tipring 0\.1\.0"):
        plugins.load("turn", "old")
    assert module not in sys.modules
    assert plugins.obstacle(plugins.find("turn", "old")) is not None


@pytest.mark.parametrize(
    "need", ["tipring", "tipring>=9; extra == 'later'", "not ! a need", "tipring-turn-x>=9"]
)
def test_what_does_not_exclude_this_host_is_let_in(installed: Site, need: str) -> None:
    installed.add("turn", "fine", requires=[need])
    assert installed.plugins().load("turn", "fine").name == "fine"


@pytest.mark.parametrize("operator", [">=", "<=", ">", "<", "==", "!=", "~="])
@pytest.mark.parametrize("version", ["0.0", "0.1", "0.1.0", "0.1.0.1", "0.2", "0.10", "1.0"])
def test_a_requirement_means_what_it_means_to_an_installer(operator: str, version: str) -> None:
    need = f"TIPRING {operator} {version}"
    one = Found(kind="turn", name="x", dist="x", version="1", module="x", requires=(need,))
    refused = Installed([one]).obstacle(one) is not None
    assert refused is not SpecifierSet(f"{operator}{version}").contains("0.1.0")


def test_a_plugin_that_is_not_installed_is_the_users_mistake(installed: Site) -> None:
    installed.add("turn", "smartish")
    installed.add("stt", "ears")
    plugins = installed.plugins()
    with pytest.raises(ConfigError, match='did you mean "smartish"'):
        plugins.load("turn", "smartsh")
    with pytest.raises(ConfigError, match="pip install tipring-turn-flux"):
        plugins.load("turn", "flux")
    with pytest.raises(ConfigError, match="a plugin of another kind: stt"):
        plugins.load("turn", "ears")


def test_only_our_own_distributions_are_ever_suggested_for_installing(installed: Site) -> None:
    with pytest.raises(ConfigError) as raised:
        installed.plugins().load("turn", "flx")
    assert "pip install" not in raised.value.fix


def test_one_module_may_offer_several_names_and_kinds(installed: Site) -> None:
    source = plugin("stt", "both") + plugin("turn", "both").replace(HEAD, "")
    module = installed.add("stt", "both", source, dist="both")
    installed.points("both-too", {"tipring.turn": {"both": module}})
    plugins = installed.plugins()
    assert (plugins.load("stt", "both").kind, plugins.load("turn", "both").kind) == ("stt", "turn")


def test_an_entry_point_may_name_an_object(installed: Site) -> None:
    source = HEAD + textwrap.dedent("""
        def build(settings, call): ...
        class Acme:
            @hookimpl
            def register_turn(self):
                yield Turn(name="acme", settings=NoSettings, build=build)
        acme = Acme()
        """)
    (installed.folder / "acme_object.py").write_text(source)
    installed.points("acme", {"tipring.turn": {"acme": "acme_object:acme"}})
    assert installed.plugins().load("turn", "acme").name == "acme"


def test_an_entry_point_that_is_no_plugin_at_all_harms_no_other(installed: Site) -> None:
    (installed.folder / "acme_list.py").write_text("things = []")
    installed.points("acme", {"tipring.turn": {"acme": "acme_list:things"}})
    installed.add("turn", "healthy")
    plugins = installed.plugins()
    with pytest.raises(PluginError, match="it cannot be registered: TypeError"):
        plugins.load("turn", "acme")
    assert plugins.load("turn", "healthy").name == "healthy"


def test_the_first_distribution_on_the_path_is_the_one_that_counts(tmp_path: Path) -> None:
    for name, version in (("a", "1.0"), ("b", "2.0")):
        (tmp_path / name).mkdir()
        Site(tmp_path / name).points("acme", {"tipring.turn": {"x": "m"}}, version=version)
    found = Plugins.discover([str(tmp_path / "a"), str(tmp_path / "b")]).found("turn")
    assert [one.version for one in found] == ["1.0"]


@pytest.mark.parametrize(
    "group, point, expected",
    [
        ("tipring.trun", "x = m", "no entry point group tipring.trun"),
        ("tipring.turn", "Bad-Name = m", '"Bad-Name" cannot be a name'),
    ],
)
def test_an_entry_point_that_cannot_be_is_told_and_the_rest_is_found(
    installed: Site, group: str, point: str, expected: str
) -> None:
    folder = installed.points("odd", {})
    (folder / "entry_points.txt").write_text(f"[{group}]\n{point}\n")
    installed.add("turn", "healthy")
    plugins = installed.plugins()
    assert [one.name for one in plugins.found("turn")] == ["healthy"]
    (problem,) = plugins.problems
    assert expected in problem.what and problem.fix


@pytest.mark.parametrize("file", ["METADATA", "entry_points.txt"])
def test_metadata_that_cannot_be_read_is_told_and_the_rest_is_found(
    installed: Site, file: str
) -> None:
    folder = installed.points("odd", {"tipring.turn": {"odd": "odd"}})
    (folder / file).write_bytes(b"[tipring.turn]\n\xff\xfe = \xff" if "entry" in file else b"")
    installed.add("turn", "healthy")
    plugins = installed.plugins()
    assert [one.name for one in plugins.found("turn")] == ["healthy"]
    assert len(plugins.problems) == 1


OBSERVER = (
    HEAD
    + """
from pipecat.observers.base_observer import BaseObserver
class Sees(BaseObserver):
    def __init__(self, call):
        super().__init__()
        self.call = call
@hookimpl
def observe_call(call):
    BODY
"""
)


def test_observers_are_asked_once_a_call_and_one_that_raises_is_left_out(
    installed: Site, caplog: pytest.LogCaptureFixture
) -> None:
    for name, body in (
        ("good", "yield Sees(call)"),
        ("bad", "raise RuntimeError('oh')"),
        ("odd", "yield 'eyes'"),
    ):
        installed.add("observer", name, OBSERVER.replace("BODY", body))
    call = Call(id="CA1")
    (watching,) = installed.plugins().observers(["bad", "good", "odd", "absent"], call)
    assert getattr(watching, "call", None) == call
    assert len(caplog.records) == 3


def test_tracing_tells_who_answered_what_and_when(
    installed: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    installed.add("turn", "seen")
    installed.add("observer", "eyes", OBSERVER.replace("BODY", "yield Sees(call)"))
    path = [str(installed.folder)]
    plugins = Plugins.discover(path, environ={"TIPRING_TRACE_PLUGINS": "1"})
    plugins.load("turn", "seen")
    plugins.observers(["eyes"], Call(id="CA1"))
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("plugins: ")]
    at = r"plugins: \d\d:\d\d:\d\d\.\d{3}"
    for line, rest in zip(
        told,
        (
            r"turn\.seen \(fake-turn-seen 1\.0\) import \S+ \d+\.\d ms",
            r"turn\.seen \(fake-turn-seen 1\.0\) register_turn \d+\.\d ms -> seen",
            r"observer\.eyes \(fake-observer-eyes 1\.0\) import \S+ \d+\.\d ms",
            r"observer\.eyes \(fake-observer-eyes 1\.0\) observe_call \d+\.\d ms -> Sees#\d+",
        ),
        strict=True,
    ):
        assert re.fullmatch(f"{at} {rest}", line), line
    Plugins.discover(path, environ={}).load("turn", "seen")
    assert "plugins: " not in capsys.readouterr().err


def test_finding_and_loading_import_nothing_that_nobody_chose(tmp_path: Path) -> None:
    with site(tmp_path) as made:
        chosen = made.add("turn", "chosen")
        loud = made.add("turn", "loud", "raise SystemExit('imported')")
    program = textwrap.dedent(f"""
        import sys
        from tipring.plugins import Plugins
        plugins = Plugins.discover()
        assert len(plugins.found("turn")) >= 2
        assert not any(m.startswith(("fake_", "pipecat", "tipring_")) for m in sys.modules)
        plugins.load("turn", "chosen")
        assert {chosen!r} in sys.modules
        assert {loud!r} not in sys.modules
        """)
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(made.folder)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def test_a_plugin_that_hangs_does_not_keep_the_process_from_ending(installed: Site) -> None:
    installed.add("turn", "broken", "import threading; threading.Event().wait()")
    program = textwrap.dedent("""
        from tipring.errors import PluginError
        from tipring.plugins import Plugins
        found = Plugins.discover()
        plugins = Plugins(found.found("turn"), patience=0.5)
        try:
            plugins.load("turn", "broken")
        except PluginError as error:
            print(error.what)
        """)
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(installed.folder)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "did not end in 0.5 s" in done.stdout
