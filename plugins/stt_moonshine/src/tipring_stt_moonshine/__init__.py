"""Moonshine hears the caller, on this machine, without a key."""
