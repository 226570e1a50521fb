"""A caller's script: one action a line, in the words one would use to tell somebody what to do.

::

    wait
    say "I would like to book a table for Tuesday and"
    pause 0.6
    say "if possible by the window."
    over 1.0 say "mhm"
    wait
    say thanks.wav
    until hung up

Every line is described in docs/emulated-phone.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from tipring.errors import TipringError
from tipring.testing.clip import Clip
from tipring.testing.expect import COUNTED, Expectation, understand

Voice = Callable[[str], Clip]
"""Renders a text as speech. It may take its time: it is called in a thread, ahead of the call."""

ANSWERED_WITHIN = 30.0
"""Seconds after which a line that waits for the agent gives up, where it does not say."""

HUNG_UP_WITHIN = 60.0
"""Seconds after which ``until hung up`` gives up, where it does not say."""


class ScriptError(TipringError):
    """A line of a script cannot be understood, or what it names is not there."""


@dataclass(frozen=True, kw_only=True)
class Say:
    """Speak, or make a noise.

    Attributes:
        line: Where it stands.
        text: The words, or the name of the file.
        file: A recording of them; None when a voice renders the words.
        clip: The sound, once it was rendered or loaded.
        noise: Seconds of noise instead of words; None for words.
        quieter: Decibels by which it is softer than usual.
    """

    line: int
    text: str
    file: Path | None = None
    clip: Clip | None = None
    noise: float | None = None
    quieter: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Pause:
    """Stay silent."""

    line: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Wait:
    """Let the agent speak, and then be silent for so many seconds."""

    line: int
    silence: float = 0.6
    within: float = ANSWERED_WITHIN


@dataclass(frozen=True, kw_only=True)
class Over:
    """Speak over the agent, once it has been heard for so many seconds.

    Attributes:
        line: Where it stands.
        word: ``over`` when the agent is meant to go on, ``interrupt`` when it is meant to stop
            and answer.
        after: Seconds.
        say: What.
    """

    line: int
    word: Literal["over", "interrupt"]
    after: float
    say: Say


@dataclass(frozen=True, kw_only=True)
class Press:
    """Press keys, four a second."""

    line: int
    digits: str


@dataclass(frozen=True, kw_only=True)
class HangUp:
    """End the call."""

    line: int


@dataclass(frozen=True, kw_only=True)
class UntilHungUp:
    """Stay until the agent ends the call."""

    line: int
    within: float = HUNG_UP_WITHIN


Action = Say | Pause | Wait | Over | Press | HangUp | UntilHungUp

_LINES = (
    'say "text"',
    "say FILE.wav",
    "pause 0.6",
    "wait",
    "wait 0.8 within 20",
    'over 1.0 say "mhm"',
    'interrupt 1.0 say "no, wait"',
    "press 5",
    "hang up",
    "until hung up",
    "noise 0.4",
    "over 1.0 noise 0.4",
    "expect 1 turn",
    "expect no interruption",
    "expect at least 1 hold",
    'expect agent heard "Tuesday ... three"',
    'expect agent said "is that right"',
)
_NUMBER = r"(\d+(?:\.\d+)?)"
_QUIETER = rf"(?:\s+{_NUMBER}\s*dB\s+quieter)?"


@dataclass(frozen=True, kw_only=True)
class Script:
    """What a caller does, line by line.

    Attributes:
        name: What errors call it; its path, when it came from a file.
        actions: In order.
        summary: Its first comment: what it is about.
        expectations: What must hold when it has been played.
    """

    name: str
    actions: tuple[Action, ...]
    summary: str = ""
    expectations: tuple[Expectation, ...] = ()

    @classmethod
    def load(cls, path: str | Path) -> Script:
        """Read a script; the files it names are looked for beside it.

        Raises:
            ScriptError: The file is not there, or has a line that cannot be understood.
        """
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ScriptError(
                str(path), f"the script cannot be read ({type(error).__name__})", "check the path"
            ) from None
        return cls.parse(text, name=str(path), folder=path.parent)

    @classmethod
    def parse(cls, text: str, *, name: str = "script", folder: str | Path = ".") -> Script:
        """Understand a script.

        Args:
            text: One action a line; empty lines and lines that begin with # are passed over.
            name: What errors call it.
            folder: Where the files it names are looked for.

        Raises:
            ScriptError: A line cannot be understood, or names a file that is not there.
        """
        actions: list[Action] = []
        expectations: list[Expectation] = []
        summary = ""
        for number, raw in enumerate(text.splitlines(), start=1):
            line = raw.strip()
            if not line or line.startswith("#"):
                if not actions and not expectations:
                    summary = summary or line.strip("# ")
                continue
            where = f"{name} line {number}"
            if line.split()[0] == "expect":
                expectations.append(_expectation(line, number, where))
                continue
            if actions and isinstance(actions[-1], HangUp | UntilHungUp):
                raise ScriptError(
                    where,
                    f"nothing can follow line {actions[-1].line}: the call is over",
                    "take out one of the two",
                )
            actions.append(_action(line, number, where, Path(folder)))
        if not actions:
            raise ScriptError(name, "the script has no lines", f"begin with: {_LINES[0]}")
        return cls(
            name=name, actions=tuple(actions), summary=summary, expectations=tuple(expectations)
        )

    @property
    def rendered(self) -> bool:
        """Whether every line that speaks has its sound."""
        return all(say.clip is not None for say in self.says)

    @property
    def says(self) -> tuple[Say, ...]:
        """Everything that is said, in order."""
        says = (a.say if isinstance(a, Over) else a for a in self.actions)
        return tuple(say for say in says if isinstance(say, Say))

    def render(self, voice: Voice | None = None) -> Script:
        """The same script with the sound of every line, each text rendered once.

        Do this before the call: a voice that computes makes a busy machine.

        Raises:
            ScriptError: There is a text to say and no voice.
            TipringError: A file holds no sound that can be read.
        """
        known: dict[str, Clip] = {}

        def sound(say: Say) -> Say:
            if say.clip is not None:
                return say
            if say.noise is not None:
                return replace(say, clip=Clip.noise(say.noise).quieter(say.quieter))
            if say.file is not None:
                clip = Clip.load(say.file, text=say.text)
                return replace(say, clip=clip.quieter(say.quieter))
            if say.text not in known:
                if voice is None:
                    raise ScriptError(
                        f"{self.name} line {say.line}",
                        "a text is to be said, and there is no voice to say it",
                        "give a voice, or name a file instead of a text",
                    )
                known[say.text] = voice(say.text)
            return replace(say, clip=known[say.text].quieter(say.quieter))

        return replace(
            self,
            actions=tuple(
                sound(action)
                if isinstance(action, Say)
                else replace(action, say=sound(action.say))
                if isinstance(action, Over)
                else action
                for action in self.actions
            ),
        )


def _action(line: str, number: int, where: str, folder: Path) -> Action:
    def fits(pattern: str) -> re.Match[str] | None:
        return re.fullmatch(pattern, line)

    if fits(r'say([\s"].*)?'):
        return _say(line[3:].strip(), number, where, folder)
    if found := fits(rf"(over|interrupt)\s+{_NUMBER}\s+say([\s\"].*)?"):
        return Over(
            line=number,
            word="over" if found[1] == "over" else "interrupt",
            after=float(found[2]),
            say=_say((found[3] or "").strip(), number, where, folder),
        )
    if found := fits(rf"noise\s+{_NUMBER}{_QUIETER}"):
        return _noise(found[1], found[2], number)
    if found := fits(rf"(over|interrupt)\s+{_NUMBER}\s+noise\s+{_NUMBER}{_QUIETER}"):
        return Over(
            line=number,
            word="over" if found[1] == "over" else "interrupt",
            after=float(found[2]),
            say=_noise(found[3], found[4], number),
        )
    if found := fits(rf"pause\s+{_NUMBER}"):
        return Pause(line=number, seconds=float(found[1]))
    if found := fits(rf"wait(?:\s+{_NUMBER})?(?:\s+within\s+{_NUMBER})?"):
        return Wait(
            line=number,
            silence=float(found[1] or Wait.silence),
            within=float(found[2] or ANSWERED_WITHIN),
        )
    if found := fits(r"press\s+([0-9*#]+)"):
        return Press(line=number, digits=found[1])
    if fits(r"hang\s+up"):
        return HangUp(line=number)
    if found := fits(rf"until\s+hung\s+up(?:\s+within\s+{_NUMBER})?"):
        return UntilHungUp(line=number, within=float(found[1] or HUNG_UP_WITHIN))
    raise ScriptError(where, f"{line!r} is not understood", _nearest(line))


def _noise(seconds: str, quieter: str | None, number: int) -> Say:
    return Say(
        line=number, text="(noise)", noise=float(seconds), quieter=float(quieter or Say.quieter)
    )


def _expectation(line: str, number: int, where: str) -> Expectation:
    expectation = understand(line.removeprefix("expect").strip(), number)
    if expectation is None:
        counted = ", ".join(f"{one}s" for one in (*COUNTED, "cut-in"))
        raise ScriptError(
            where, f"{line!r} is not understood", f"{_nearest(line)}; what is counted: {counted}"
        )
    return expectation


def _nearest(line: str) -> str:
    word = line.split()[0].lower()
    alike = [known for known in _LINES if known.split()[0] == word]
    return "write it like this: " + " | ".join(alike or _LINES)


def _say(what: str, number: int, where: str, folder: Path) -> Say:
    quieter = Say.quieter
    if found := re.fullmatch(rf'(.*(?:"|\.wav|\.flac))\s+{_NUMBER}\s*dB\s+quieter', what, re.I):
        what, quieter = found[1], float(found[2])
    if what.startswith('"'):
        if len(what) < 2 or not what.endswith('"'):
            raise ScriptError(where, "the text has no closing quote", f'{what}"')
        text = " ".join(what[1:-1].split())
        if not text:
            raise ScriptError(where, "there is nothing between the quotes", _LINES[0])
        return Say(line=number, text=text, quieter=quieter)
    if not what:
        raise ScriptError(
            where, "what is to be said is missing", "a text in quotes, or a WAV or FLAC file"
        )
    if not what.lower().endswith((".wav", ".flac")):
        raise ScriptError(
            where,
            f"{what!r} is neither a text in quotes nor a WAV or FLAC file",
            f'say "{what}"',
        )
    file = folder / what
    if not file.is_file():
        raise ScriptError(
            where, f"there is no file {file}", "files are looked for beside the script"
        )
    return Say(line=number, text=file.name, file=file, quieter=quieter)
