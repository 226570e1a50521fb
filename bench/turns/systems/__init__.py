"""The systems under test, each a process that answers the emulated phone."""
