"""The arithmetic of docs/scale.md."""

from __future__ import annotations

import importlib.util
import math
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


def test_the_tables_of_the_page_are_what_the_arithmetic_gives(scale: ModuleType) -> None:
    page = scale.PAGE.read_text()
    assert page == scale.fill(page, scale.tables(scale.Load())), "run: python docs/scale.py --write"


def test_an_account_holds_as_many_instances_as_its_scarcest_resource_allows(
    scale: ModuleType,
) -> None:
    # 1,500 vCPU / 4; 6 TiB / 4 GiB, of which there is less than of vCPU.
    assert scale.instances(scale.size("standard-4")) == 375
    assert scale.instances(scale.size("standard-1")) == 6 * 1024 // 4


def test_a_containers_price_is_that_of_the_price_list(scale: ModuleType) -> None:
    # An hour of a standard-4 that does nothing: 12 GiB and 20 GB for 3,600 seconds.
    idle = scale.Load(minutes=60, busy=0, idle=0)
    assert scale.container(scale.size("standard-4"), idle) * 60 == pytest.approx(0.11304)
    # One busy vCPU is $0.072 an hour more, and a half is all that a standard-1 has.
    busy = scale.Load(minutes=60, busy=1, idle=0)
    four, one = scale.size("standard-4"), scale.size("standard-1")
    assert (scale.container(four, busy) - scale.container(four, idle)) * 60 == pytest.approx(0.072)
    assert (scale.container(one, busy) - scale.container(one, idle)) * 60 == pytest.approx(0.036)


def test_the_seconds_beyond_a_call_weigh_more_on_a_short_one(scale: ModuleType) -> None:
    four = scale.size("standard-4")
    assert scale.container(four, scale.Load(minutes=1)) > scale.container(
        four, scale.Load(minutes=10)
    )


def test_every_limit_binds_at_the_first_call_that_is_too_many(scale: ModuleType) -> None:
    four, load = scale.size("standard-4"), scale.Load()
    order = scale.first(four, load)
    assert [at for _, at in order] == sorted(at for _, at in order)
    for limit, at in order:
        assert limit.what not in {each.what for each in scale.binds(at, four, load)}
        assert limit.what in {each.what for each in scale.binds(at + 1, four, load)}


def test_longer_calls_need_fewer_starts_and_no_more_of_anything_else(scale: ModuleType) -> None:
    four = scale.size("standard-4")
    short = scale.limits(1000, four, scale.Load(minutes=1))
    long = scale.limits(1000, four, scale.Load(minutes=10))
    changed = {one.what for one, other in zip(short, long, strict=True) if one.need != other.need}
    [what] = changed
    assert "calls a second" in what


def test_what_is_unlimited_never_binds(scale: ModuleType) -> None:
    four, load = scale.size("standard-4"), scale.Load()
    unlimited = [one for one in scale.limits(1, four, load) if math.isinf(one.most)]
    assert unlimited
    bound = {one.what for one in scale.binds(10**9, four, load)}
    assert not bound & {one.what for one in unlimited}


def test_the_numbers_that_the_page_tells_in_words_are_those_of_the_tables(
    scale: ModuleType,
) -> None:
    page = scale.PAGE.read_text()
    accounts = [
        math.ceil(100_000 / scale.instances(scale.size(name)))
        for name in ("standard-4", "standard-1")
    ]
    assert "{} accounts of `standard-4` or {} of `standard-1`".format(*accounts) in page
    outbound = dict(
        (limit.part, at) for limit, at in scale.first(scale.size("standard-4"), scale.Load())
    )
    assert f"which is {outbound['Twilio']} calls at once" in page
    assert f"{outbound['Cloudflare']} calls on `standard-4`" in page


def test_a_page_without_a_place_for_a_table_is_told(scale: ModuleType) -> None:
    with pytest.raises(ValueError, match="no place for the table order"):
        scale.fill("nothing", {"order": "| |"})
