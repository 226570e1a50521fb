"""The arithmetic of docs/scale.md: what calls at once need, what binds first, what a minute costs.

    python docs/scale.py            # look
    python docs/scale.py --write    # put the tables into docs/scale.md and docs/deploy.md
    python docs/scale.py --calls 250 --set minutes=3 --set deepgram_streams=150

Every price and limit stands in docs/scale.toml with its source; what no page of the vendor's was
seen to say, and what calls are like, is an assumption, and told as one. ``--set`` changes any.
"""

from __future__ import annotations

import argparse
import math
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).with_name("scale.md")
DEPLOY = Path(__file__).with_name("deploy.md")
FACTS = Path(__file__).with_name("scale.toml")
BEGIN, END = "<!-- {} -->", "<!-- end -->"
STEPS = (20, 50, 1_000, 100_000)


@dataclass(frozen=True, kw_only=True)
class Fact:
    """A number that somebody else decides, or that is assumed.

    Attributes:
        name: What ``--set`` knows it by.
        value: The number.
        what: What it is, with its unit.
        source: The vendor and the title of the page that says so.
        assumed: Whether no page of the vendor's was seen to say so; the source says what did.
    """

    name: str
    value: float
    what: str
    source: str = ""
    assumed: bool = False


READ = tomllib.loads(FACTS.read_text(encoding="utf-8"))
PRICES, LIMITS, LOAD = (
    tuple(Fact(name=name, **told) for name, told in READ[group].items())
    for group in ("prices", "limits", "load")
)
BINDS: dict[str, dict[str, str]] = READ["binds"]

Known = Mapping[str, float]
"""The value of every Fact, by its name."""

# An object is billed as 128 MB (Cloudflare, Durable Objects: Pricing). Twilio sends, and is sent,
# a message every 20 ms, and what an object receives counts: from Twilio, and from the container.
_OBJECT_GB = 0.128
_MESSAGES = 2 * 50 * 60
_MESSAGES_A_REQUEST = 20


def known(**changed: float) -> Known:
    """Every number, some of them changed.

    Raises:
        ValueError: There is no such number.
    """
    values = {fact.name: fact.value for fact in (*PRICES, *LIMITS, *LOAD)}
    for name in changed:
        if name not in values:
            raise ValueError(f"there is no {name}; there are {', '.join(values)}")
    return {**values, **changed}


@dataclass(frozen=True, kw_only=True)
class Size:
    """An instance type: Cloudflare, Containers: Limits and Instance Types."""

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


@dataclass(frozen=True, kw_only=True)
class Limit:
    """Something there is only so much of.

    Attributes:
        part: Whose it is.
        what: What is limited.
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


def instances(one: Size, of: Known) -> int:
    """How many instances of a type an account may run at once."""
    return math.floor(
        min(
            of["account_vcpu"] / one.vcpu,
            of["account_memory"] / one.memory,
            of["account_disk"] / one.disk,
        )
    )


def standing(one: Size, of: Known) -> float:
    """Dollars a second for a container that does nothing."""
    return one.memory * of["memory"] + one.disk * of["disk"]


def container(one: Size, of: Known) -> float:
    """Dollars for the container of a call minute, its idle seconds included."""
    held = (of["minutes"] * 60 + of["idle"]) * standing(one, of)
    worked = of["minutes"] * 60 * min(of["busy"], one.vcpu) * of["cpu"]
    return (held + worked) / of["minutes"]


def included(one: Size, of: Known) -> int:
    """Call minutes a month whose container the plan includes."""
    held = (of["minutes"] * 60 + of["idle"]) / of["minutes"] / 60  # minutes for a call minute
    return math.floor(
        min(
            of["included_memory"] * 60 / one.memory / held,
            of["included_disk"] * 60 / one.disk / held,
            of["included_cpu"] / min(of["busy"], one.vcpu),
        )
    )


def passage(of: Known) -> float:
    """Dollars for the object of a call minute, and for the sound that leaves the container."""
    awake = _OBJECT_GB * 60 * of["object_time"] / 1e6
    asked = _MESSAGES / _MESSAGES_A_REQUEST * of["object_requests"] / 1e6
    return awake + asked + _MESSAGES / 2 * of["frame"] / 1e9 * of["egress"]


def model(name: str, of: Known) -> float:
    """Dollars for the answers of a call minute by one model: ``claude``, ``gpt`` or ``llama``."""
    read, said = of["turns"] * of["context"], of["turns"] * of["answer"]
    return (read * of[f"{name}_in"] + said * of[f"{name}_out"]) / 1e6


def costs(one: Size, of: Known) -> list[tuple[str, float, str]]:
    """What an inbound call minute costs: the part, dollars, and how they come about."""
    return [
        ("Twilio, inbound", of["twilio_inbound"], "a local number in the US"),
        ("Twilio, Media Streams", of["twilio_stream"], "an assumption"),
        (
            "container",
            container(one, of),
            f"{one.name}, {of['busy']:g} vCPU busy, {of['idle']:g} s beyond the call",
        ),
        ("object and traffic", passage(of), "128 MB awake, 100 messages a second"),
        ("Deepgram, nova-3 streaming", of["nova"], "Flux instead: see below"),
        (
            "model, Claude Haiku 4.5",
            model("claude", of),
            f"{of['turns']:g} answers of {of['answer']:g} tokens over {of['context']:,.0f}",
        ),
        (
            "ElevenLabs, Flash v2.5",
            of["characters"] / 1000 * of["flash"],
            f"{of['characters']:g} characters",
        ),
    ]


def instead(of: Known) -> list[tuple[str, float]]:
    """What a call minute costs more, or less, with another part."""
    return [
        ("an outbound call", of["twilio_outbound"] - of["twilio_inbound"]),
        ("Flux, English, for nova-3", of["flux"] - of["nova"]),
        ("Flux, multilingual, for nova-3", of["flux_multi"] - of["nova"]),
        ("gpt-4o-mini for Claude Haiku 4.5", model("gpt", of) - model("claude", of)),
        ("Llama 3.3 70B on Workers AI for it", model("llama", of) - model("claude", of)),
        *(
            (f"{one.name} for standard-4", container(one, of) - container(size("standard-4"), of))
            for one in (size("standard-2"), size("standard-1"))
        ),
    ]


def limits(calls: int, one: Size, of: Known) -> list[Limit]:
    """What a number of calls at once needs of everything that is limited."""
    starts = calls / (of["minutes"] * 60)  # a second, in a steady state
    answers = calls * of["turns"]  # a minute
    # Only a voice that is making sound counts. The time that the agent speaks, at 15 characters a
    # second, is an upper bound: sound is made faster than it is heard.
    speaking = calls * of["characters"] / 15 / 60
    reckoned = {  # how much there is, and how much is needed
        "instances": (instances(one, of), calls),
        "dialled": (of["twilio_cps"], starts),
        "profile": (math.inf, calls),
        "streams": (of["deepgram_streams"], calls),
        "voices": (of["elevenlabs_at_once"], speaking),
        "tokens": (of["claude_tokens"], answers * of["context"]),
        "requests": (of["claude_requests"], answers),
        "last_rung": (of["llama_requests"], answers),
    }
    return [
        Limit(
            part=told["part"],
            what=told["what"].format(size=one.name),
            most=reckoned[name][0],
            need=reckoned[name][1],
            ask=told["ask"],
        )
        for name, told in BINDS.items()
    ]


def binds(calls: int, one: Size, of: Known) -> list[Limit]:
    """The limits that so many calls exceed, the tightest first."""
    over = [each for each in limits(calls, one, of) if each.need > each.most]
    return sorted(over, key=lambda each: each.most / each.need)


def first(one: Size, of: Known) -> list[tuple[Limit, int]]:
    """Every limit with the number of calls at once at which it binds, the first one first."""
    found = [
        (each, math.floor(each.most / each.need + 1e-9))
        for each in limits(1, one, of)
        if math.isfinite(each.most)
    ]
    return sorted(found, key=lambda pair: pair[1])


def number(value: float) -> str:
    """1234.5 as 1,235; 0.067 as 0.067."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def plain(value: float) -> str:
    """A price without an exponent: 0.00000007."""
    return f"{value:,.10f}".rstrip("0").rstrip(".")


def table(head: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _facts(facts: tuple[Fact, ...], of: Known) -> list[list[str]]:
    return [
        [
            f"`{one.name}`",
            plain(of[one.name]),
            one.what,
            ("an assumption: " if one.assumed else "") + one.source,
        ]
        for one in facts
    ]


def tables(of: Known, calls: tuple[int, ...] = STEPS) -> dict[str, str]:
    """Every table of the page by its name."""
    four = size("standard-4")
    kept = [
        [one.name, f"{one.vcpu:g}", f"{one.memory:g} GiB", f"{instances(one, of):,}",
         f"${container(one, of):.4f}"]
        for one in SIZES
    ]  # fmt: skip
    order = [[f"{at:,}", each.part, each.what, each.ask] for each, at in first(four, of)]
    needs = [
        [each.part, each.what, *(number(limits(n, four, of)[i].need) for n in calls)]
        for i, each in enumerate(limits(1, four, of))
    ]
    minute = costs(four, of)
    total = sum(dollars for _, dollars, _ in minute)
    spent = [[part, f"${dollars:.4f}", why] for part, dollars, why in minute]
    spent.append(["**together**", f"**${total:.4f}**", ""])
    other = [[what, f"{'-' if more < 0 else '+'}${abs(more):.4f}"] for what, more in instead(of)]
    hours = [
        [f"{n:,}", f"${n * 60 * total:,.0f}", f"${n * 60 * container(four, of):,.0f}"]
        for n in calls
    ]
    head = ["name", "value", "what it is", "where it stands"]
    return {
        "sizes": table(
            ["instance type", "vCPU", "memory", "at once in an account", "container a call minute"],
            kept,
        ),
        "order": table(["calls at once", "whose limit", "what", "what to do"], order),
        "needs": table(["", "what is needed", *(f"{n:,} calls" for n in calls)], needs),
        "minute": table(["part", "a call minute", "how"], spent),
        "instead": table(["instead", "a call minute"], other),
        "hours": table(["calls at once", "an hour, all in", "of it containers"], hours),
        "load": table(["name", "value", "what it is"], [row[:3] for row in _facts(LOAD, of)]),
        "prices": table(head, _facts(PRICES, of)),
        "limits": table(head, _facts(LIMITS, of)),
    }


def deploying(of: Known) -> dict[str, str]:
    """What docs/deploy.md tells of costs."""
    four = size("standard-4")
    minute = sum(dollars for _, dollars, _ in costs(four, of))
    call = container(four, of) * of["minutes"]
    rows = [
        ["Workers Paid", f"${of['plan']:g} a month"],
        ["a local number in the US", f"about ${of['twilio_number']:.2f} a month"],
        ["1 to 4", "nothing more: a container that does not run costs nothing"],
        [
            "the first minutes of a month",
            f"the plan includes the container of about {included(four, of)} of them",
        ],
        [
            "each minute of a call",
            f"about ${minute:.3f}, of it ${container(four, of):.4f} for the container",
        ],
        [
            "`standard-4`, while it runs",
            f"${plain(standing(four, of))} a second, and ${plain(of['cpu'])} for each second of a"
            f" vCPU that is busy; ${call:.3f} in a call of {of['minutes']:g} minutes",
        ],
    ]
    return {"costs": table(["what", "costs"], rows)}


def fill(page: str, made: Mapping[str, str]) -> str:
    """The page with its tables renewed.

    Raises:
        ValueError: A table has no place in it.
    """
    for name, text in made.items():
        begin, end = BEGIN.format(name), END
        before, found, rest = page.partition(begin)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            raise ValueError(f"the page has no place for the table {name}")
        page = f"{before}{begin}\n{text}\n{end}{after}"
    return page


def _changed(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    return name, float(value)


def main(arguments: list[str]) -> None:
    """Print the tables, or put them into the pages."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="put the tables into the pages")
    parser.add_argument("--calls", type=int, help="so many calls at once")
    parser.add_argument(
        "--set",
        type=_changed,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="another price, limit or assumption; the tables name them",
    )
    told = parser.parse_args(arguments)
    if told.write:
        if told.set or told.calls:
            parser.error("the pages tell the numbers of this file: change them here")
        PAGE.write_text(fill(PAGE.read_text(), tables(known())))
        DEPLOY.write_text(fill(DEPLOY.read_text(), deploying(known())))
        return
    try:
        of = known(**dict(told.set))
    except ValueError as error:
        parser.error(str(error))
    print("\n\n".join(tables(of, (told.calls,) if told.calls else STEPS).values()))


if __name__ == "__main__":
    main(sys.argv[1:])
