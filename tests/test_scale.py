"""The arithmetic of docs/scale.md."""

from __future__ import annotations

import importlib.util
import math
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parent.parent / "docs"


@pytest.fixture(scope="module")
def scale() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_scale", DOCS / "scale.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["docs_scale"] = module  # dataclasses look for their module
    spec.loader.exec_module(module)
    return module


def test_the_tables_of_both_pages_are_what_the_script_gives(scale: ModuleType) -> None:
    for page, made in ((scale.PAGE, scale.tables), (scale.DEPLOY, scale.deploying)):
        told = page.read_text()
        assert told == scale.fill(told, made(scale.known())), "run: python docs/scale.py --write"


def test_what_the_script_prints_is_what_the_page_shows(scale: ModuleType) -> None:
    words = [sys.executable, str(DOCS / "scale.py")]
    told = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    page = scale.PAGE.read_text()
    tables = told.strip().split("\n\n")
    assert len(tables) == len(scale.tables(scale.known()))
    assert all(f" -->\n{table}\n<!-- end -->" in page for table in tables)


def test_every_number_has_a_source_or_is_told_to_be_an_assumption(scale: ModuleType) -> None:
    for fact in (*scale.PRICES, *scale.LIMITS):
        assert fact.source, fact.name
    page = scale.PAGE.read_text()
    for fact in (*scale.PRICES, *scale.LIMITS):
        assert (f"an assumption: {fact.source}" in page) is fact.assumed, fact.name


def test_no_dollar_is_told_in_words_only(scale: ModuleType) -> None:
    # Outside of the tables, no page tells an amount of money that nothing computes.
    for page in (scale.PAGE, scale.DEPLOY):
        told = page.read_text()
        for name in (*scale.tables(scale.known()), *scale.deploying(scale.known())):
            before, _, rest = told.partition(scale.BEGIN.format(name))
            told = before + rest.partition(scale.END)[2] if rest else told
        assert re.findall(r"\$\d", told) == []


def test_an_account_holds_as_many_instances_as_its_scarcest_resource_allows(
    scale: ModuleType,
) -> None:
    # 1,500 vCPU / 4; 6 TiB / 4 GiB, of which there is less than of vCPU.
    assert scale.instances(scale.size("standard-4"), scale.known()) == 375
    assert scale.instances(scale.size("standard-1"), scale.known()) == 6 * 1024 // 4


def test_a_containers_price_is_that_of_the_price_list(scale: ModuleType) -> None:
    four, one = scale.size("standard-4"), scale.size("standard-1")
    # An hour of a standard-4 that does nothing: 12 GiB and 20 GB for 3,600 seconds.
    idle = scale.known(minutes=60, busy=0, idle=0)
    assert scale.standing(four, idle) == pytest.approx(0.0000314)
    assert scale.container(four, idle) * 60 == pytest.approx(0.11304)
    # One busy vCPU is $0.072 an hour more, and a half is all that a standard-1 has.
    busy = scale.known(minutes=60, busy=1, idle=0)
    assert (scale.container(four, busy) - scale.container(four, idle)) * 60 == pytest.approx(0.072)
    assert (scale.container(one, busy) - scale.container(one, idle)) * 60 == pytest.approx(0.036)


def test_the_plan_includes_as_many_minutes_as_its_scarcest_part_lasts(scale: ModuleType) -> None:
    # 25 GiB-hours are 125 minutes of 12 GiB; half a vCPU in use would be 750 minutes.
    even = scale.known(idle=0, busy=0.5)
    assert scale.included(scale.size("standard-4"), even) == 125
    assert scale.included(scale.size("basic"), even) == 1500


def test_the_seconds_beyond_a_call_weigh_more_on_a_short_one(scale: ModuleType) -> None:
    four = scale.size("standard-4")
    short, long = scale.known(minutes=1), scale.known(minutes=10)
    assert scale.container(four, short) > scale.container(four, long)


def test_an_object_costs_its_time_its_messages_and_the_sound_that_leaves(
    scale: ModuleType,
) -> None:
    nothing = {"object_time": 0, "object_requests": 0, "egress": 0}
    # 128 MB for 60 s; 100 messages a second, of which 20 are one request; 50 of them leave.
    parts = {"object_time": 7.68 / 1e6, "object_requests": 300 / 1e6, "egress": 3000 * 300 / 1e9}
    for part, dollars in parts.items():
        of = scale.known(**{**nothing, part: 1})
        assert scale.passage(of) == pytest.approx(dollars), part


@pytest.mark.parametrize(
    ("name", "dollars"), [("claude", 0.009), ("gpt", 0.001305), ("llama", 0.0028734)]
)
def test_a_models_minute_is_its_tokens_by_its_prices(
    scale: ModuleType, name: str, dollars: float
) -> None:
    # Five answers of 60 tokens over 1,500: 7,500 tokens read and 300 said.
    assert scale.model(name, scale.known()) == pytest.approx(dollars)


def test_a_minute_is_the_sum_of_its_parts_and_another_part_is_a_difference(
    scale: ModuleType,
) -> None:
    of, four = scale.known(), scale.size("standard-4")
    parts = [dollars for _, dollars, _ in scale.costs(four, of)]
    fixed = 0.0085 + 0.004 + 0.0048 + 0.009 + 400 / 1000 * 0.05
    expected = fixed + scale.container(four, of) + scale.passage(of)
    assert sum(parts) == pytest.approx(expected)
    assert f"**${expected:.4f}**" in scale.tables(of)["minute"]
    more = dict(scale.instead(of))
    assert more["an outbound call"] == pytest.approx(0.0055)
    assert more["Flux, English, for nova-3"] == pytest.approx(0.0017)
    assert more["gpt-4o-mini for Claude Haiku 4.5"] == pytest.approx(0.001305 - 0.009)


def test_a_number_that_is_set_changes_what_hangs_on_it_and_an_unknown_one_is_refused(
    scale: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    scale.main(["--calls", "250", "--set", "deepgram_streams=150", "--set", "minutes=3"])
    told = capsys.readouterr().out
    assert "| 150 | Deepgram |" in told and "| 180 | Twilio |" in told and "250 calls" in told
    with pytest.raises(SystemExit):
        scale.main(["--set", "deepgram_steams=150"])
    assert "there is no deepgram_steams" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        scale.main(["--write", "--set", "minutes=3"])


def test_every_limit_binds_at_the_first_call_that_is_too_many(scale: ModuleType) -> None:
    four, of = scale.size("standard-4"), scale.known()
    order = scale.first(four, of)
    assert [at for _, at in order] == sorted(at for _, at in order)
    for limit, at in order:
        assert limit.what not in {each.what for each in scale.binds(at, four, of)}
        assert limit.what in {each.what for each in scale.binds(at + 1, four, of)}


def test_longer_calls_need_fewer_starts_and_no_more_of_anything_else(scale: ModuleType) -> None:
    four = scale.size("standard-4")
    short = scale.limits(1000, four, scale.known(minutes=1))
    long = scale.limits(1000, four, scale.known(minutes=10))
    changed = {one.what for one, other in zip(short, long, strict=True) if one.need != other.need}
    [what] = changed
    assert "calls a second" in what


def test_what_is_unlimited_never_binds(scale: ModuleType) -> None:
    four, of = scale.size("standard-4"), scale.known()
    unlimited = [one for one in scale.limits(1, four, of) if math.isinf(one.most)]
    assert unlimited
    bound = {one.what for one in scale.binds(10**9, four, of)}
    assert not bound & {one.what for one in unlimited}


def test_the_numbers_that_the_page_tells_in_words_are_those_of_the_tables(
    scale: ModuleType,
) -> None:
    page, of = scale.PAGE.read_text(), scale.known()
    four, one = (scale.instances(scale.size(name), of) for name in ("standard-4", "standard-1"))
    accounts = [math.ceil(100_000 / held) for held in (four, one)]
    assert "{} accounts of `standard-4` or {} of `standard-1`".format(*accounts) in page
    assert f"{four:,} calls on `standard-4`, {one:,} on\n`standard-1`" in page
    order = scale.first(scale.size("standard-4"), of)
    outbound = next(at for limit, at in order if "calls a second" in limit.what)
    assert f"which is {outbound} calls at once" in page
    assert order[0][0].part == "Deepgram" and "the transcriber binds first" in page
    starts = round(100_000 / (of["minutes"] * 60))
    assert f"{starts} calls begin every second" in page


def test_a_page_without_a_place_for_a_table_is_told(scale: ModuleType) -> None:
    with pytest.raises(ValueError, match="no place for the table order"):
        scale.fill("nothing", {"order": "| |"})
