"""What is logged, and what never is: no transcript, phone number or secret by default.

tipring and most libraries log through ``logging``; Pipecat through loguru, whose messages can hold
what was said below the level of errors. Both go to stderr. ``TIPRING_LOG`` (``debug``, ``info``,
``warning``, ``error``) shows more, and with ``debug`` and ``info`` that may be what callers said.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tipring.errors import ConfigError

if TYPE_CHECKING:
    from loguru import Message

_LEVELS = ("debug", "info", "warning", "error")
_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def quieten(environ: Mapping[str, str]) -> None:
    """Set up ``logging``, and keep loguru from installing a handler of its own.

    Costs nothing: loguru reads a variable when it is imported, if it ever is.

    Raises:
        ConfigError: ``TIPRING_LOG`` is no level.
    """
    level = _level(environ)
    os.environ["LOGURU_AUTOINIT"] = "False"
    logging.basicConfig(
        stream=sys.stderr, level=(level or "warning").upper(), format=_FORMAT, force=True
    )


def attend(environ: Mapping[str, str]) -> None:
    """Pass loguru's messages on to ``logging``: errors only, unless ``TIPRING_LOG`` says more.

    For commands that import Pipecat, before they do.
    """
    from loguru import logger

    def relay(message: Message) -> None:
        record = message.record
        name, text = record["name"] or "loguru", record["message"]
        # Only the exception's type: its words, and the values loguru would print, may be private.
        if record["exception"] is not None and record["exception"].type is not None:
            text += f" ({record['exception'].type.__name__})"
        logging.getLogger(name).log(record["level"].no, "%s", text)

    logger.remove()
    logger.add(
        relay,
        level=(_level(environ) or "error").upper(),
        format="{message}",
        backtrace=False,
        diagnose=False,
    )


def _level(environ: Mapping[str, str]) -> str:
    level = environ.get("TIPRING_LOG", "").strip().lower()
    if level and level not in _LEVELS:
        raise ConfigError("$TIPRING_LOG", f'"{level}" is no level', f"use {', '.join(_LEVELS)}")
    return level
