"""The record of a call: what was said, who decided, and how it sounded."""

from tipring.tape.record import Tape

__all__ = ["Tape"]
