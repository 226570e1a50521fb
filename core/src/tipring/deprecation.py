"""How something of the public API goes: with a warning, one minor version or more ahead.

A name that gets another goes on working under the old one, with a line at the end of its module::

    __getattr__ = renamed(__name__, {"Ears": Going(since="0.2", gone="0.3", instead="Stt")})

and whatever else is going says so where it is used: ``Going(...).warn("Call(number=...)")``. What
may go when stands in docs/plugins/stability.md.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Going:
    """That something is on its way out.

    Attributes:
        since: The minor version that first warns, ``MAJOR.MINOR``.
        gone: The one that no longer has it; a later one.
        instead: What to use: the new name, or a few words.

    Raises:
        ValueError: Nobody would have had a version's time to see the warning.
    """

    since: str
    gone: str
    instead: str

    def __post_init__(self) -> None:
        since, gone = (tuple(map(int, one.split("."))) for one in (self.since, self.gone))
        if len(since) != 2 or len(gone) != 2 or gone <= since:
            raise ValueError(f"deprecated in {self.since}, it cannot be gone in {self.gone}")

    def warn(self, what: str, *, stacklevel: int = 2) -> None:
        """Tell whoever uses it.

        Args:
            what: What is going, as its user wrote it.
            stacklevel: As in :func:`warnings.warn`: 2 is the caller of whoever calls this.
        """
        warnings.warn(
            f"{what} is deprecated since tipring {self.since} and gone in {self.gone};"
            f" use {self.instead}",
            DeprecationWarning,
            stacklevel=stacklevel + 1,
        )


def renamed(module: str, going: Mapping[str, Going]) -> Callable[[str], Any]:
    """Give a module's ``__getattr__``, which knows the old names.

    Args:
        module: The module's name.
        going: By old name; ``instead`` is the new one, of the same module.
    """

    def getattr_(name: str) -> Any:
        if name not in going:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        going[name].warn(f"{module}.{name}")
        return getattr(sys.modules[module], going[name].instead)

    return getattr_
