"""The arithmetic of docs/scale.md: what calls at once need, what binds first, what a minute costs.

    python docs/scale.py            # look
    python docs/scale.py --write    # put the tables into docs/scale.md
    python docs/scale.py --calls 250 --minutes 3

Every price and limit has its source beside it; what calls are like is an assumption, in Load.
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).with_name("scale.md")
BEGIN, END = "<!-- {} -->", "<!-- end -->"
STEPS = (20, 50, 1_000, 100_000)


@dataclass(frozen=True, kw_only=True)
class Size:
    """An instance type: developers.cloudflare.com/containers/platform/limits, November 2026."""

    name: str
    vcpu: float
    memory: float  # GiB
    disk: float  # GB


SIZES = (
    Size(name="basic", vcpu=0.25, memory=1, disk=4),
    Size(name="standard-1", vcpu=0.5, memory=4, disk=8),
    Size(name="standard-2", vcpu=1, memory=6, disk=12),
    Size(name="standard-3", vcpu=2, memory=8, disk=16),
    Size(name="standard-4", vcpu=4, memory=12, disk=20),
)
# What an account may run at once, from the same page.
ACCOUNT = Size(name="account", vcpu=1_500, memory=6 * 1024, disk=30_000)
# Dollars a second: a GiB and a GB that are provisioned, a vCPU that is busy
# (developers.cloudflare.com/containers/pricing, November 2026).
MEMORY, DISK, CPU = 0.0000025, 0.00000007, 0.00002


@dataclass(frozen=True, kw_only=True)
class Load:
    """What calls are like. The defaults are assumptions, and are told as such.

    Attributes:
        minutes: How long a call lasts.
        turns: Answers a minute.
        context: Tokens that a model reads for each answer.
        answer: Tokens of an answer.
        characters: Characters a minute that the agent says.
        busy: vCPU that a call keeps busy, of one's own.
        idle: Seconds a container runs beyond its call: boot before, five seconds after.
    """

    minutes: float = 5.0
    turns: float = 5.0
    context: float = 1_500.0
    answer: float = 60.0
    characters: float = 400.0
    busy: float = 0.7
    idle: float = 10.0


@dataclass(frozen=True, kw_only=True)
class Limit:
    """Something there is only so much of.

    Attributes:
        part: Whose it is.
        what: What is limited, and where that stands.
        most: How much there is without asking anybody.
        need: How much a number of calls at once needs.
        ask: What to do when it binds.
    """

    part: str
    what: str
    most: float
    need: float
    ask: str


def size(name: str) -> Size:
    """An instance type by its name."""
    return next(one for one in SIZES if one.name == name)


def instances(one: Size) -> int:
    """How many instances of a type an account may run at once."""
    return math.floor(
        min(ACCOUNT.vcpu / one.vcpu, ACCOUNT.memory / one.memory, ACCOUNT.disk / one.disk)
    )


def container(one: Size, load: Load) -> float:
    """Dollars for the container of a call minute, its idle seconds included."""
    seconds = load.minutes * 60 + load.idle
    held = seconds * (one.memory * MEMORY + one.disk * DISK)
    worked = load.minutes * 60 * min(load.busy, one.vcpu) * CPU
    return (held + worked) / load.minutes


def costs(one: Size, load: Load) -> list[tuple[str, float, str]]:
    """What a call minute costs: the part, dollars, and how they come about."""
    model = load.turns * (load.context * 1.00 + load.answer * 5.00) / 1e6
    return [
        (
            "Twilio, inbound local number",
            0.0085,
            "list price, US; read it again at twilio.com/voice/pricing",
        ),
        ("Twilio, media stream", 0.0040, "list price; the same page"),
        (
            "container",
            container(one, load),
            f"{one.name}, {load.busy:g} vCPU busy, {load.idle:g} s beyond the call",
        ),
        (
            "Deepgram, nova-3 streaming",
            0.0048,
            "pay as you go, deepgram.com/pricing, 1 August 2026",
        ),
        (
            "model, Claude Haiku 4.5",
            model,
            f"$1 and $5 a million tokens; {load.turns:g} answers of {load.answer:g} tokens over"
            f" {load.context:g}, nothing cached",
        ),
        (
            "ElevenLabs, Flash v2.5",
            load.characters / 1000 * 0.05,
            f"$0.05 a thousand characters, elevenlabs.io/pricing/api, May 2026; {load.characters:g}"
            " a minute",
        ),
    ]


def limits(calls: int, one: Size, load: Load) -> list[Limit]:
    """What a number of calls at once needs of everything that is limited."""
    starts = calls / (load.minutes * 60)  # a second, in a steady state
    answers = calls * load.turns  # a minute
    # Only a voice that is making sound counts. The time that the agent speaks, at 15 characters a
    # second, is an upper bound: sound is made faster than it is heard.
    speaking = calls * load.characters / 15 / 60
    return [
        Limit(
            part="Cloudflare",
            what=f"{one.name} instances, of an account's 1,500 vCPU, 6 TiB and 30 TB",
            most=instances(one),
            need=calls,
            ask="Cloudflare's limit request form, or the next smaller instance type",
        ),
        Limit(
            part="Twilio",
            what="outbound calls a second (glossary/cps); inbound calls have no such limit",
            most=1,
            need=starts,
            ask="Console, Voice, Settings: calls a second",
        ),
        Limit(
            part="Twilio",
            what="calls at once, with an approved business profile",
            most=math.inf,
            need=calls,
            ask="get the profile approved: without it, it is 2 or 3",
        ),
        Limit(
            part="Deepgram",
            what="streams at once, pay as you go (reference/api-rate-limits; varies by region)",
            most=50,
            need=calls,
            ask="a growth or enterprise agreement; a second project does not help",
        ),
        Limit(
            part="ElevenLabs",
            what="Flash generations at once, Scale and Business plans; beyond it they queue",
            most=30,
            need=speaking,
            ask="an enterprise agreement",
        ),
        Limit(
            part="Claude",
            what="requests a minute: 4,000 is the Scale tier of the newest model; see your console",
            most=4_000,
            need=answers,
            ask="a custom tier; meanwhile the lower rungs of the ladder answer",
        ),
    ]


def binds(calls: int, one: Size, load: Load) -> list[Limit]:
    """The limits that so many calls exceed, the tightest first."""
    over = [each for each in limits(calls, one, load) if each.need > each.most]
    return sorted(over, key=lambda each: each.most / each.need)


def first(one: Size, load: Load) -> list[tuple[Limit, int]]:
    """Every limit with the number of calls at once at which it binds, the first one first."""
    at_one = limits(1, one, load)
    found = [
        (each, math.floor(each.most / each.need + 1e-9))
        for each in at_one
        if math.isfinite(each.most)
    ]
    return sorted(found, key=lambda pair: pair[1])


def number(value: float) -> str:
    """1234.5 as 1,235; 0.067 as 0.07."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def table(head: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def tables(load: Load, calls: tuple[int, ...] = STEPS) -> dict[str, str]:
    """Every table of the page by its name."""
    four = size("standard-4")
    kept = [
        [one.name, f"{one.vcpu:g}", f"{one.memory:g} GiB", f"{instances(one):,}",
         f"${container(one, load):.4f}"]
        for one in SIZES
    ]  # fmt: skip
    order = [[f"{at:,}", each.part, each.what, each.ask] for each, at in first(four, load)]
    needs = [
        [each.part, each.what, *(number(limits(n, four, load)[i].need) for n in calls)]
        for i, each in enumerate(limits(1, four, load))
    ]
    minute = costs(four, load)
    total = sum(dollars for _, dollars, _ in minute)
    spent = [[part, f"${dollars:.4f}", why] for part, dollars, why in minute]
    spent.append(["**together**", f"**${total:.4f}**", ""])
    hours = [
        [f"{n:,}", f"${n * 60 * total:,.0f}", f"${n * 60 * container(four, load):,.0f}"]
        for n in calls
    ]
    return {
        "sizes": table(
            ["instance type", "vCPU", "memory", "at once in an account", "container a call minute"],
            kept,
        ),
        "order": table(["calls at once", "whose limit", "what", "what to do"], order),
        "needs": table(["", "what is needed", *(f"{n:,} calls" for n in calls)], needs),
        "minute": table(["part", "a call minute", "how"], spent),
        "hours": table(["calls at once", "an hour, all in", "of it containers"], hours),
    }


def fill(page: str, made: dict[str, str]) -> str:
    """The page with its tables renewed.

    Raises:
        ValueError: A table has no place in it.
    """
    for name, text in made.items():
        begin, end = BEGIN.format(name), END
        before, found, rest = page.partition(begin)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            raise ValueError(f"docs/scale.md has no place for the table {name}")
        page = f"{before}{begin}\n{text}\n{end}{after}"
    return page


def main(arguments: list[str]) -> None:
    """Print the tables, or put them into the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="put the tables into docs/scale.md")
    parser.add_argument("--calls", type=int, help="so many calls at once")
    parser.add_argument("--minutes", type=float, default=Load.minutes, help="length of a call")
    told = parser.parse_args(arguments)
    if told.write:
        PAGE.write_text(fill(PAGE.read_text(), tables(Load())))
        return
    steps = (told.calls,) if told.calls else STEPS
    print("\n\n".join(tables(Load(minutes=told.minutes), steps).values()))


if __name__ == "__main__":
    main(sys.argv[1:])
