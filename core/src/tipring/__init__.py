"""tipring answers the phone, and knows when the caller is done."""

import os

# ONNX Runtime tells its maker about each model that it loads, on Linux too since 1.29, unless this
# stands before it is loaded; and plugins load it.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
