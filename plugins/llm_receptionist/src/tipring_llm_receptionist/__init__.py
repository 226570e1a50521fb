"""A scripted receptionist: no model, no key. A scripted demo, not AI."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pydantic import Field
from tipring.hookspecs import hookimpl
from tipring.providers import Call, Llm, Rung, Settings


class ReceptionistSettings(Settings):
    """What the script is about."""

    business: Path | None = Field(
        None, description="A TOML file with your name, hours and services. None: Riverside Dental."
    )
    delay: float = Field(0.15, ge=0, le=10, description="Seconds before the first word.")


def build(settings: ReceptionistSettings, call: Call) -> Rung:
    """Give one call its receptionist.

    Raises:
        ValueError: When the call is not in English, or the business file is wrong.
    """
    if call.language.lower().split("-")[0] != "en":
        raise ValueError(f"the script is in English only, and this call is in {call.language!r}")
    from tipring_llm_receptionist.business import read_business
    from tipring_llm_receptionist.rung import Receptionist

    return Receptionist(read_business(settings.business), settings.delay)


@hookimpl
def register_llm() -> Iterable[Llm[ReceptionistSettings]]:
    """Offer the script as ``receptionist``."""
    yield Llm(
        name="receptionist",
        settings=ReceptionistSettings,
        build=build,
        label="scripted demo, not AI",
        summary="A scripted demo, not AI: a receptionist who books, moves and cancels.",
    )
