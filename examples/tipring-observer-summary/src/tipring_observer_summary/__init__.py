"""summary writes a file about each call: who spoke how long, and who was interrupted."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from tipring.hookspecs import hookimpl
from tipring.providers import Call

if TYPE_CHECKING:
    from pipecat.observers.base_observer import BaseObserver


@hookimpl
def observe_call(call: Call) -> Iterable[BaseObserver]:
    """Watch one call; its summary goes to ``$CALL_SUMMARIES``, or to ``summaries`` here."""
    from tipring_observer_summary.observer import SummaryObserver

    yield SummaryObserver(call.id, Path(os.environ.get("CALL_SUMMARIES", "summaries")))
