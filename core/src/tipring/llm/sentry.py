"""What Sentry is told of the ladder: which rung failed and how, never what was said."""

from __future__ import annotations

import sys
from typing import Any


def _sdk() -> Any:
    """The SDK, if the host has loaded and initialised it; it does so when SENTRY_DSN is set."""
    sdk = sys.modules.get("sentry_sdk")
    return sdk if sdk is not None and sdk.get_client().is_active() else None


def leave_breadcrumb(rung: str, error: str, moment: str) -> None:
    """A rung failed and the next one is asked.

    Args:
        rung: The rung's name.
        error: The reason, in a sentence.
        moment: How far its answer had come.
    """
    if sdk := _sdk():
        sdk.add_breadcrumb(
            category="llm",
            type="error",
            level="warning",
            message="a rung failed",
            data={"rung": rung, "error": error, "moment": moment},
        )


def report_exhaustion(rungs: tuple[str, ...]) -> None:
    """No rung could answer.

    Args:
        rungs: The names of all rungs, top rung first.
    """
    if sdk := _sdk():
        with sdk.new_scope() as scope:
            scope.set_context("ladder", {"rungs": list(rungs)})
            scope.capture_message("no rung could answer", level="error")
