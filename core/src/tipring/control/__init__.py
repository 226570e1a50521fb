"""Whoever owns a call's container: takes its events, and may end it.

The contract stands in docs/control-protocol.md. A call knows a
:class:`~tipring.control.null.Control` and not whether anybody is behind it; the sound waits for
nothing of this.
"""
