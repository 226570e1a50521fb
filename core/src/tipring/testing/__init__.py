"""For whoever tests: the emulated phone and its script, and the contract of each kind of plugin.

Nothing is imported before it is asked for: ``from tipring.testing import Phone`` costs the phone,
``import tipring.testing`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tipring.testing.caller import CallerTurn, ScriptFailed, run
    from tipring.testing.clip import Clip
    from tipring.testing.contract import (
        ContractBroken,
        Finding,
        PluginContract,
        ProviderContract,
        examine,
    )
    from tipring.testing.contract_llm import LlmContract
    from tipring.testing.contract_observer import ObserverContract
    from tipring.testing.contract_stt import SttContract
    from tipring.testing.contract_tts import TtsContract
    from tipring.testing.contract_turn import TurnContract
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
    "ContractBroken",
    "Ending",
    "Faults",
    "Finding",
    "LlmContract",
    "ObserverContract",
    "Phone",
    "PluginContract",
    "ProviderContract",
    "Report",
    "Said",
    "Script",
    "ScriptError",
    "ScriptFailed",
    "SttContract",
    "TtsContract",
    "TurnContract",
    "Utterance",
    "examine",
    "run",
]

_HOMES = {
    "CallFailed": "webhook",
    "CallOver": "phone",
    "CallerTurn": "caller",
    "Clip": "clip",
    "ContractBroken": "contract",
    "Ending": "line",
    "Faults": "line",
    "Finding": "contract",
    "LlmContract": "contract_llm",
    "ObserverContract": "contract_observer",
    "Phone": "phone",
    "PluginContract": "contract",
    "ProviderContract": "contract",
    "Report": "line",
    "Said": "line",
    "Script": "script",
    "ScriptError": "script",
    "ScriptFailed": "caller",
    "SttContract": "contract_stt",
    "TtsContract": "contract_tts",
    "TurnContract": "contract_turn",
    "Utterance": "ear",
    "examine": "contract",
    "run": "caller",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
