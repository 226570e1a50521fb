"""What a plugin may offer.

Hooks are synchronous, take what is written here or less, and are asked of one plugin at a time.
They declare; nothing heavy is imported until ``build`` is called. None is ordered: order is the
configuration's business.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from pipecat.observers.base_observer import BaseObserver

    from tipring.providers import Call, Llm, Stt, Tts, Turn

hookspec = pluggy.HookspecMarker("tipring")
hookimpl = pluggy.HookimplMarker("tipring")


@hookspec
def register_stt() -> Iterable[Stt[Any]]:
    """Offer ways to hear the caller. Entry point group ``tipring.stt``.

    Example::

        @hookimpl
        def register_stt():
            yield Stt(name="acme", settings=AcmeSettings, build=build)
    """
    raise NotImplementedError


@hookspec
def register_turn() -> Iterable[Turn[Any]]:
    """Offer ways to decide that the caller is done. Entry point group ``tipring.turn``."""
    raise NotImplementedError


@hookspec
def register_llm() -> Iterable[Llm[Any]]:
    """Offer rungs of the ladder. Entry point group ``tipring.llm``."""
    raise NotImplementedError


@hookspec
def register_tts() -> Iterable[Tts[Any]]:
    """Offer ways to speak to the caller. Entry point group ``tipring.tts``."""
    raise NotImplementedError


@hookspec
def observe_call(call: Call) -> Iterable[BaseObserver]:
    """Watch a call from the side. Entry point group ``tipring.observer``.

    Asked once a call. An observer sees every frame and can hold none of them up: it is never in
    the path of the audio, and one that raises is logged and let go.
    """
    raise NotImplementedError
