"""docs/scale.md holds what the script reckons, and nothing that was typed in."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from benchmarks.assumptions import ASSUMED, QUOTAS, WHY, Assumed
from benchmarks.scale_on_paper import GUIDE, put_into, read_counts
from benchmarks.service_on_paper import Service


@pytest.fixture(scope="module")
def service() -> Service:
    return Service(*read_counts())


def test_the_document_is_what_the_script_prints(service: Service) -> None:
    guide = GUIDE.read_text()
    assert put_into(guide, service) == guide, "run: make scale-on-paper"


def test_figures_stand_in_tables_alone() -> None:
    """Prose that repeats a figure goes stale when the figure moves."""
    prose = re.sub(r"<!-- ([^:]+): written.*?<!-- end of \1 -->", "", GUIDE.read_text(), flags=re.S)
    assert re.findall(r"\$\d|\d,\d{3}|\d /s", prose) == []


def test_every_assumption_says_what_it_is() -> None:
    assert set(WHY) == set(Assumed.__dataclass_fields__)


def test_all_requests_are_counted_and_loads_follow_them(service: Service) -> None:
    total = (service.lines + service.sent) * 86_400
    assert total == pytest.approx(ASSUMED.requests_a_day)
    half = Service(
        service.measured,
        service.request,
        replace(ASSUMED, requests_a_day=ASSUMED.requests_a_day / 2),
    )
    for whole, less in zip(
        sorted(service.loads(), key=lambda load: load.component),
        sorted(half.loads(), key=lambda load: load.component),
        strict=True,
    ):
        assert 0 < less.rate <= whole.rate / 2 * 1.001  # reads of what is open grow faster


def test_what_breaks_first_comes_first_and_every_quota_is_met_by_somebody(
    service: Service,
) -> None:
    loads = service.loads()
    shares = [load.share for load in loads]
    assert shares == sorted(shares, reverse=True)
    assert {load.quota for load in loads} == set(QUOTAS)
