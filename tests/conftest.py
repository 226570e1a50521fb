"""What holds for every test."""

from __future__ import annotations

import os

from hypothesis import settings

# A landing does not hang on what is drawn this time: TIPRING_EXPLORE=1 draws anew.
settings.register_profile("same", derandomize=True, deadline=None)
if not os.environ.get("TIPRING_EXPLORE"):
    settings.load_profile("same")
