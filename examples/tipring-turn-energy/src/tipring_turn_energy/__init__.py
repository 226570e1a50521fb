"""energy decides when the caller is done by how loud the line is: no model at all."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field
from tipring.hookspecs import hookimpl
from tipring.providers import Call, Settings, Turn, TurnPlan


class EnergySettings(Settings):
    """What can be set under [turn.energy]."""

    pause: float = Field(
        0.8, ge=0.2, le=3.0, description="Seconds of quiet after which the caller is done."
    )
    above: float = Field(
        3.0, ge=1.5, le=20.0, description="How many times louder than the line a voice is."
    )


def build(settings: EnergySettings, call: Call) -> TurnPlan:
    """Make the detector of one call. What is heavy is imported here."""
    from tipring_turn_energy.loudness import Loudness
    from tipring_turn_energy.strategy import EnergyStrategy

    return TurnPlan(
        stop=EnergyStrategy(settings.pause),
        vad=Loudness(settings.above),
        patience=settings.pause + 1.0,
    )


@hookimpl
def register_turn() -> Iterable[Turn[EnergySettings]]:
    """Offer energy."""
    yield Turn(
        name="energy",
        settings=EnergySettings,
        build=build,
        summary="A line that has been quiet for a while: the caller is done.",
    )
