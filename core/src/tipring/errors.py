"""What can go wrong before a call, drawn as a tree.

* TipringError
  + ConfigError    you wrote something that cannot be: the boot stops, exit code 2
  + PluginError    a plugin failed: the next name in the list is used, and everyone is told
"""

from __future__ import annotations

from collections.abc import Iterable


class TipringError(Exception):
    """A problem told as three things: where it is, what is wrong, what mends it.

    Args:
        where: The place, as the user would point at it: ``tipring.toml [use] turn``, ``turn.flux``.
        what: One sentence that names the value and what was expected.
        fix: The command or the edit that mends it. Empty when there is none.
    """

    def __init__(self, where: str, what: str, fix: str = "") -> None:
        super().__init__(where, what, fix)
        self.where = where
        self.what = what
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" + (f"\n  fix:  {self.fix}" if self.fix else "")


class ConfigError(TipringError):
    """The configuration says something that cannot be. Nothing is started."""


class PluginError(TipringError):
    """A plugin could not be loaded, declared, configured or built. The host goes on without it."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Give ``; did you mean "smart"?`` for a near miss, or nothing."""
    import difflib  # only for who made a mistake

    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f'; did you mean "{near[0]}"?' if near else ""
