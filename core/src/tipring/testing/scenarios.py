"""The scenarios that are shipped: a rule of turn-taking each, as a caller would try it."""

from __future__ import annotations

from difflib import get_close_matches
from importlib import resources

from tipring.testing.script import Script, ScriptError

_SCRIPTS = resources.files("tipring.testing") / "scripts"


def names() -> tuple[str, ...]:
    """The names of all scenarios, in the order of the alphabet."""
    return tuple(
        sorted(
            file.name.removesuffix(".call")
            for file in _SCRIPTS.iterdir()
            if file.name.endswith(".call")
        )
    )


def scenario(name: str) -> Script:
    """One of the scenarios; ``summary`` says what it is about.

    Raises:
        ScriptError: There is none of that name.
    """
    if name not in names():
        alike = get_close_matches(name, names(), n=1)
        fix = f"did you mean {alike[0]!r}?" if alike else "tipring call --scenario lists them"
        raise ScriptError("tipring call", f"there is no scenario {name!r}", fix)
    text = (_SCRIPTS / f"{name}.call").read_text(encoding="utf-8")
    return Script.parse(text, name=name)
