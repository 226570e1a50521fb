"""The picture of a call: whole, escaped, the same without a script, and looked at in a browser."""

from __future__ import annotations

import base64
import copy
import hashlib
import io
import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tipring.journal import Journal
from tipring.tape import Tape
from tipring.tape.timeline import clock, ms, redraw, render
from websockets.sync.client import ClientConnection, connect

from tests.a_call import CALL, Clock, play, sound

NOTHING = np.zeros(0, np.int16)
HOSTILE = (
    "</title><script>document.title='owned'</script><img src=x onerror=\"document.title='o'\">'&"
)
VOID = {"meta", "br", "img", "link", "input", "hr"}


class Page(HTMLParser):
    """What a page holds, and whether its tags close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.wrong: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if len({name for name, _ in attrs}) != len(attrs):
            self.wrong.append(f"<{tag}> names an attribute twice")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}> closes nothing")

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "script"):
            self.texts.append(data)

    def of(self, kind: str) -> list[dict[str, str]]:
        return [attrs for _, attrs in self.tags if kind in attrs.get("class", "").split()]


async def made(folder: Path, call: Any = CALL) -> Path:
    clock = Clock()
    journal = Journal(clock=clock)
    tape = Tape(folder, journal, call_id="CA5ad0c3b17e")
    play(journal, clock, call)
    sound(tape)
    result = await tape.close()
    assert result is not None
    return result


def hostile(value: Any) -> Any:
    """Every text that comes from outside, as bad as it gets."""
    if isinstance(value, str):
        return value + HOSTILE
    if isinstance(value, list):
        return [hostile(item) for item in value]
    if isinstance(value, dict):
        return {key: hostile(item) for key, item in value.items()}
    return value


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    return await made(tmp_path / "calls")


async def test_the_page_is_whole_and_needs_nothing_from_outside(tmp_path: Path) -> None:
    folder = await made(tmp_path)
    text = (folder / "timeline.html").read_text()
    page = Page(text)
    assert page.wrong == []
    assert page.open == []
    links = [attrs[name] for _, attrs in page.tags for name in ("src", "href") if name in attrs]
    assert links == ["call.wav"]
    assert "http" not in text.replace("http-equiv", "")
    assert "url(" not in text


async def test_the_page_tells_every_turn_and_every_word_of_the_agent(tmp_path: Path) -> None:
    folder = await made(tmp_path)
    record = json.loads((folder / "call.json").read_text())
    page = Page((folder / "timeline.html").read_text())
    everything = "\n".join(page.texts)
    for turn in record["turns"]:
        assert f"{turn['number']} · {turn['text']}" in everything
        assert ms(turn["latency"]) in everything
    for said in record["agent"]:
        assert said["text"] in everything
    for note in (
        "“mhm”",
        "barge-in, cleared after 3 ms",
        "nudge 1",
        "key 5",
        "llm.claude",
        "book, 60 ms",
        "agent hung up",
        "trailing word",
    ):
        assert note in everything


async def test_without_a_script_every_decision_is_drawn(tmp_path: Path) -> None:
    folder = await made(tmp_path)
    page = Page((folder / "timeline.html").read_text())

    def drawn(kind: str) -> int:
        return len({attrs["data-id"] for attrs in page.of(kind) if "data-id" in attrs})

    assert {kind: drawn(kind) for kind in KINDS} == KINDS
    assert len(page.of("row")) == 4
    assert drawn("wave") >= 15


KINDS = {
    "tick": 11,
    "proposal": 9,
    "hold": 3,
    "resumed": 3,
    "withdrawn": 1,
    "commit": 6,
    "token": 6,
    "audio": 6,
    "latency": 6,
    "final": 9,
    "mark": 3,
    "dropped": 1,
    "stopped": 1,
    "aside": 3,
    "nudge": 1,
}


async def test_what_was_said_can_never_become_part_of_the_page(tmp_path: Path) -> None:
    folder = await made(tmp_path)
    record = json.loads((folder / "call.json").read_text())
    del record["events"]
    plain = Page(render(record, NOTHING, NOTHING))
    bad = hostile({**record, "started": 0})
    bad["started"] = record["started"]
    text = render(bad, NOTHING, NOTHING)
    page = Page(text)
    assert page.wrong == []
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in plain.tags]
    assert [sorted(attrs) for _, attrs in page.tags] == [sorted(attrs) for _, attrs in plain.tags]
    assert HOSTILE in "".join(page.texts)


async def test_only_the_pages_own_script_may_run(tmp_path: Path) -> None:
    folder = await made(tmp_path)
    text = (folder / "timeline.html").read_text()
    script = text.split("<script>")[1].split("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = [
        attrs["content"] for tag, attrs in Page(text).tags if tag == "meta" and "content" in attrs
        if attrs.get("http-equiv") == "Content-Security-Policy"
    ]  # fmt: skip
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}';" in policy


def test_a_saved_call_is_drawn_again_the_same(folder: Path) -> None:
    page = folder / "timeline.html"
    before = page.read_text()
    page.unlink()
    run = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tipring.tape", str(folder)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (run.returncode, run.stdout.strip(), run.stderr) == (0, str(page), "")
    assert page.read_text() == before
    assert page.stat().st_mode & 0o077 == 0


async def test_a_saved_call_is_drawn_without_its_sound(tmp_path: Path) -> None:
    folder = await made(tmp_path)
    (folder / "call.wav").unlink()
    page = Page(redraw(folder).read_text())
    assert page.of("wave") == []
    assert not [tag for tag, _ in page.tags if tag == "audio"]
    assert len({attrs["data-id"] for attrs in page.of("commit")}) == 6


@pytest.mark.parametrize("content", ["", "[1", '{"version": 2}'])
def test_a_folder_that_holds_no_call_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "call.json").write_text(content)
    with pytest.raises(ValueError):
        redraw(tmp_path)


async def test_a_call_in_which_nothing_happened_is_a_page_too(tmp_path: Path) -> None:
    tape = Tape(tmp_path, Journal(clock=Clock()), call_id="CA1")
    folder = await tape.close()
    assert folder is not None
    page = Page((folder / "timeline.html").read_text())
    assert page.wrong == []
    assert len(page.of("row")) == 1


async def test_a_long_call_stays_a_page_that_a_browser_likes(tmp_path: Path) -> None:
    folder = await made(tmp_path)
    record = json.loads((folder / "call.json").read_text())
    noise = np.random.default_rng(1).integers(-9000, 9000, 900 * 8000, dtype=np.int16)
    text = render({**record, "duration": 900.0}, noise, noise)
    assert len(Page(text).of("row")) == 60
    assert len(text) < 3_000_000


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0.0, "0 ms"), (0.8, "800 ms"), (0.9996, "1.00 s"), (1.234, "1.23 s")],
)
def test_a_wait_reads_in_milliseconds_or_seconds(value: float | None, text: str) -> None:
    assert ms(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0.0, "0:00.00"), (59.999, "1:00.00"), (64.25, "1:04.25"), (754.5, "12:34.50")],
)
def test_a_moment_reads_in_minutes(value: float | None, text: str) -> None:
    assert clock(value) == text


# In a browser

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)

in_a_browser = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome is installed"
)


class Browser:
    """A page in headless Chromium, through its DevTools."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self.events: list[dict[str, Any]] = []

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message = self._read()
            if message.get("id") == number:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result

    def wait_for(self, method: str) -> None:
        while not any(event["method"] == method for event in self.events):
            self._read()

    def _read(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self._socket.recv(timeout=30))
        if "method" in message:
            self.events.append(message)
        return message

    def see(self, expression: str) -> Any:
        told = self.ask(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def open(self, page: Path, *, script: bool = True) -> None:
        for domain in ("Page", "Runtime", "Log"):
            self.ask(f"{domain}.enable")
        self.ask("Emulation.setScriptExecutionDisabled", value=not script)
        self.events.clear()
        self.ask("Page.navigate", url=page.as_uri())
        self.wait_for("Page.loadEventFired")

    def complaints(self) -> list[Any]:
        bad = ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled")
        return [event for event in self.events if event["method"] in bad]

    def picture(self) -> np.ndarray[Any, np.dtype[np.uint8]]:
        shot = self.ask("Page.captureScreenshot", format="png")["data"]
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(shot))).convert("RGB"))


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    assert CHROMIUM is not None
    profile = tmp_path / "profile"
    profile.mkdir()
    flags = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --hide-scrollbars "
        "--disable-background-networking --disable-component-update --disable-sync "
        "--disable-dev-shm-usage --remote-debugging-port=0 --window-size=1360,1500"
    )
    process = subprocess.Popen(
        [CHROMIUM, *flags.split(), f"--user-data-dir={profile}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    try:
        port = _port(process, profile / "DevToolsActivePort")
        root = f"ws://127.0.0.1:{port[0]}"
        with connect(root + port[1], proxy=None) as socket:
            whole = Browser(socket)
            target = whole.ask("Target.createTarget", url="about:blank")["targetId"]
            page = f"{root}/devtools/page/{target}"
            with connect(page, max_size=None, proxy=None) as inner:
                yield Browser(inner)
            whole.ask("Browser.close")
        process.wait(timeout=30)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _port(process: subprocess.Popen[bytes], file: Path) -> tuple[str, str]:
    """Where the browser listens, which it writes down once it does."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, "chromium ended at once"
        lines = file.read_text().splitlines() if file.exists() else []
        if len(lines) == 2:
            return lines[0], lines[1]
        time.sleep(0.05)
    raise AssertionError("chromium did not say where it listens")


def near(picture: np.ndarray[Any, Any], colour: str) -> int:
    """How many pixels have the colour."""
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    return int((np.abs(picture.astype(int) - wanted).max(axis=2) <= 6).sum())


@in_a_browser
def test_a_browser_shows_the_call(folder: Path, browser: Browser) -> None:
    browser.open(folder / "timeline.html")
    assert browser.complaints() == []
    ids = "new Set([...document.querySelectorAll('main .{}')].map(n => n.dataset.id)).size"
    assert {kind: browser.see(ids.format(kind)) for kind in KINDS} == KINDS
    assert browser.see("document.querySelectorAll('tr.turn').length") == 6
    assert browser.see("document.documentElement.scrollWidth <= innerWidth")

    # Each thing stands where its time is: the sixth answer at 52.7 s, in the row from 45 to 60 s.
    place = """(() => {
      const all = [...document.querySelectorAll('.point.audio')];
      const lane = all.at(-1).closest('.lane').getBoundingClientRect();
      return (all.at(-1).getBoundingClientRect().left - lane.left) / lane.width;
    })()"""
    assert browser.see(place) == pytest.approx((52.7 - 45) / 15, abs=0.002)

    picture = browser.picture()
    assert near(picture, "#fcfcfa") > picture.shape[0] * picture.shape[1] / 2
    for colour in ("#2d5f91", "#2b7a68"):  # both voices
        assert near(picture, colour) > 20_000
    for colour in ("#b97a00", "#b3261e", "#1c2024"):  # holds, alarms, commits
        assert near(picture, colour) > 50


@in_a_browser
def test_a_browser_zooms_plays_and_seeks(folder: Path, browser: Browser) -> None:
    browser.open(folder / "timeline.html")
    ids = "new Set([...document.querySelectorAll('main .i')].map(n => n.dataset.id)).size"
    drawn = browser.see(ids)
    for span, rows in ((5, 11), (10, 6), (30, 2), (60, 1), (15, 4)):
        browser.see(f"document.querySelector('[data-span=\"{span}\"]').click()")
        assert browser.see("document.querySelectorAll('.row').length") == rows
        assert browser.see("document.querySelector('[aria-pressed=true]').dataset.span") == str(
            span
        )
        assert browser.see(ids) == drawn
    seek = """(async () => {
      const audio = document.querySelector('audio');
      const once = (what) => new Promise(go => audio.addEventListener(what, go, {once: true}));
      if (audio.readyState < 1) await once('loadedmetadata');
      const lane = document.querySelectorAll('.row')[1].querySelector('.caller');
      const box = lane.getBoundingClientRect();
      const sought = once('seeked');
      const clientX = box.left + box.width / 3;
      lane.dispatchEvent(new MouseEvent('click', {bubbles: true, clientX}));
      await sought;
      await new Promise(requestAnimationFrame);
      const cursor = document.querySelector('.cursor').getBoundingClientRect();
      return [audio.duration, audio.currentTime, (cursor.left - box.left) / box.width];
    })()"""
    length, at, cursor = browser.see(seek)
    assert length == pytest.approx(54.6, abs=0.01)
    assert at == pytest.approx(20.0, abs=0.05)
    assert cursor == pytest.approx(1 / 3, abs=0.01)
    assert browser.complaints() == []


@in_a_browser
def test_a_browser_without_scripts_and_in_the_dark_shows_the_call(
    folder: Path, browser: Browser
) -> None:
    browser.open(folder / "timeline.html", script=False)
    light = browser.picture()
    browser.ask(
        "Emulation.setEmulatedMedia",
        features=[{"name": "prefers-color-scheme", "value": "dark"}],
    )
    dark = browser.picture()
    assert near(light, "#2d5f91") > 20_000
    assert near(dark, "#7fb0e0") > 20_000
    assert near(dark, "#15181b") > dark.shape[0] * dark.shape[1] / 2


@in_a_browser
def test_a_browser_runs_nothing_that_was_said(folder: Path, browser: Browser) -> None:
    record = json.loads((folder / "call.json").read_text())
    events = record.pop("events")
    assert events
    bad = hostile(copy.deepcopy(record))
    bad["started"] = record["started"]
    page = folder / "bad.html"
    page.write_text(render(bad, NOTHING, NOTHING))
    browser.open(page)
    assert browser.see("document.title") == "Call CA5ad0c3b17e" + HOSTILE
    assert browser.see("document.querySelectorAll('img').length") == 0
    assert browser.see("document.querySelectorAll('tr.turn').length") == 6
    assert browser.complaints() == []
