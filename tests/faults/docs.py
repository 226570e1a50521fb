"""Write docs/faults.md from a run of the table: ``python -m tests.faults.docs``."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.faults.lines import APOLOGY, FIRST, GOODBYE, GREETING, MOMENT, SECOND
from tests.faults.table import CALL, ON, ONE_VOICE, Row, alone, rows

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
PARTS = 2
"""Processes among which the table is divided."""

_WORDS = {
    GREETING: "the greeting",
    APOLOGY: "the apology",
    GOODBYE: "the goodbye",
    MOMENT: "“one moment”",
    FIRST[0]: "the first sentence",
    FIRST[1]: "the second sentence",
    SECOND[0]: "the next answer",
}
_ALL = "both answers, whole"
_RULE = "|---|---|---|---|---|---|\n"


async def outcomes() -> dict[str, Mapping[str, Any]]:
    """Play the whole table.

    Returns:
        What became of each row, by its name.
    """
    return {
        told["row"]: told
        for part in await asyncio.gather(*(_part(number) for number in range(PARTS)))
        for told in part
    }


async def _part(number: int) -> list[Mapping[str, Any]]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.faults.play", "--part", f"{number}/{PARTS}"),
        cwd=PAGE.parents[1],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    told, errors = await process.communicate()
    if process.returncode:
        raise RuntimeError(errors.decode()[-4000:])
    return [json.loads(line) for line in told.splitlines()]


def heard(row: Row) -> str:
    """What the caller of a row hears, in words."""
    if row.hears == CALL:
        told = _ALL
    elif row.hears == (GREETING, MOMENT, *FIRST, *SECOND):
        told = f"{_WORDS[MOMENT]}, then {_ALL}"
    elif row.hears == (GREETING, FIRST[0], *SECOND):
        told = "the first answer up to its last whole sentence, the next one whole"
    elif row.hears == (GREETING, APOLOGY, *FIRST):
        told = "the apology, then the next answer, whole"
    else:
        lines = [_WORDS.get(line, f"“{line} …”") for line in row.hears]
        told = ", ".join(lines)
    if row.second:
        told += "; the second voice goes on"
    return told + ("" if row.ended == ON else "; the call ends")


def lines(
    table: Iterable[Row], played: Mapping[str, Mapping[str, Any]] | None = None
) -> Iterable[str]:
    """A table's lines; without a run, without the silences."""
    for row in table:
        told = (row.provider, row.moment, row.fault.removesuffix(ONE_VOICE), heard(row))
        silence = f"{played[row.name]['silence']:.1f}" if played else ""
        yield "| " + " | ".join(told) + f" | {silence} | {row.within:g} |"


def page(played: Mapping[str, Mapping[str, Any]]) -> str:
    """The page with its two tables as they were played."""
    first, one, second, two, rest = re.split(
        rf"(?<={re.escape(_RULE)})((?:\|.*\n)+)", PAGE.read_text(encoding="utf-8")
    )
    assert one and two
    tables = ("\n".join(lines(table, played)) + "\n" for table in (rows(), alone()))
    return "".join((first, next(tables), second, next(tables), rest))


if __name__ == "__main__":
    PAGE.write_text(page(asyncio.run(outcomes())), encoding="utf-8")
