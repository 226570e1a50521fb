"""What holds for every test."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping

import pytest
from hypothesis import settings

# A landing does not hang on what is drawn this time: TIPRING_EXPLORE=1 draws anew.
settings.register_profile("same", derandomize=True, deadline=None)
if not os.environ.get("TIPRING_EXPLORE"):
    settings.load_profile("same")


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Tests marked ``loopback`` have a loop of their own, on which nobody is ever late."""
    if item.get_closest_marker("loopback"):
        from tests.loopback_loop import ClockLoop

        return {"loopback": ClockLoop}
    return {"plain": asyncio.new_event_loop}
