"""For whoever tests against a telephone: the emulated phone and its script, shipped with tipring.

Nothing is imported before it is asked for: ``from tipring.testing import Phone`` costs the phone,
``import tipring.testing`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tipring.testing.caller import CallerTurn, ScriptFailed, run
    from tipring.testing.clip import Clip
    from tipring.testing.ear import Utterance
    from tipring.testing.line import Ending, Faults, Report, Said
    from tipring.testing.phone import CallOver, Phone
    from tipring.testing.script import Script, ScriptError
    from tipring.testing.webhook import CallFailed

__all__ = [
    "CallFailed",
    "CallOver",
    "CallerTurn",
    "Clip",
    "Ending",
    "Faults",
    "Phone",
    "Report",
    "Said",
    "Script",
    "ScriptError",
    "ScriptFailed",
    "Utterance",
    "run",
]

_HOMES = {
    "CallFailed": "webhook",
    "CallOver": "phone",
    "CallerTurn": "caller",
    "Clip": "clip",
    "Ending": "line",
    "Faults": "line",
    "Phone": "phone",
    "Report": "line",
    "Said": "line",
    "Script": "script",
    "ScriptError": "script",
    "ScriptFailed": "caller",
    "Utterance": "ear",
    "run": "caller",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
