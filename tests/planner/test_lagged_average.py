"""Earlier forecasts of the same hours sharpen the newest one, and never stand in for it."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offpeak.core.signal import Signal, SignalKind, SignalPoint, Unit
from offpeak.planner.lagged_average import (
    HALVED_SECONDS,
    ISSUE_SECONDS,
    KEPT_SECONDS,
    earlier_issues,
    kept_issues,
    lagged_average,
    slot_means,
)

HOUR, SLOT = 3_600, 900
NOW = 1_790_000_100 // ISSUE_SECONDS * ISSUE_SECONDS


def issue(*values: float, at: int = NOW, source: str = "told", begins: int = NOW) -> Signal:
    return Signal(
        region="r", kind=SignalKind.AVERAGE, unit=Unit.GRAMS_PER_KWH, issued_at=at, source=source,
        points=tuple(
            SignalPoint(begins + n * HOUR, HOUR, value) for n, value in enumerate(values)
        ),
    )  # fmt: skip


def slots(count: int, step: int = SLOT) -> range:
    return range(NOW, NOW + count * step, step)


def test_an_issue_counts_half_of_one_that_came_a_halving_later() -> None:
    older = issue(100.0, at=NOW - HALVED_SECONDS)
    assert lagged_average(issue(400.0), [older], slots(1)) == [pytest.approx(300.0)]


def test_where_the_newest_issue_ends_older_ones_say_nothing() -> None:
    older = issue(*[100.0] * 5, at=NOW - HOUR)
    found = lagged_average(issue(400.0), [older], slots(3, step=HOUR))
    assert found[1:] == [None, None]


def test_hours_that_an_older_issue_leaves_open_are_the_newests() -> None:
    older = issue(100.0, at=NOW - HALVED_SECONDS)
    found = lagged_average(issue(400.0, 40.0), [older], slots(2, step=HOUR))
    assert found == [pytest.approx(300.0), pytest.approx(40.0)]


@given(st.lists(st.lists(st.floats(0, 1_000), min_size=4, max_size=4), min_size=1, max_size=9))
def test_the_average_is_between_the_lowest_and_the_highest(told: list[list[float]]) -> None:
    newest, *older = (issue(*values, at=NOW - n * ISSUE_SECONDS) for n, values in enumerate(told))
    for hour, value in enumerate(lagged_average(newest, older, slots(4, step=HOUR))):
        assert value is not None
        said = [values[hour] for values in told]
        assert min(said) - 1e-6 <= value <= max(said) + 1e-6


def test_errors_that_are_drawn_anew_with_each_issue_shrink_to_less_than_half() -> None:
    random = Random(1)
    told = [
        issue(*(random.gauss(300, 15) for _ in range(48)), at=NOW - n * ISSUE_SECONDS)
        for n in range(9)
    ]
    found = lagged_average(told[0], told[1:], slots(48, step=HOUR))
    alone, averaged = (
        sum((value - 300) ** 2 for value in values if value is not None)
        for values in (slot_means(told[0], slots(48, step=HOUR)), found)
    )
    assert averaged < alone / 4


@given(st.lists(st.floats(0, 1_000), min_size=1, max_size=8), st.integers(0, 4), st.integers(1, 7))
def test_slots_have_the_means_of_their_points(values: list[float], late: int, step: int) -> None:
    told, starts = issue(*values), range(NOW + 900 * late, NOW + 10 * HOUR, step * 600)
    for start, mean in zip(starts, slot_means(told, starts), strict=True):
        known = told.mean(start, start + starts.step)
        assert mean is known is None or mean == pytest.approx(known)


# ── what is kept ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_of_six_hours_the_last_issue_is_kept() -> None:
    kept: tuple[Signal, ...] = ()
    for hour in range(72):
        kept = kept_issues(issue(float(hour), at=NOW + hour * HOUR), kept)
        assert len(kept) <= 1 + KEPT_SECONDS // ISSUE_SECONDS
    ages = [(kept[0].issued_at - each.issued_at) // HOUR for each in kept]
    assert ages == [0, 6, 12, 18, 24, 30, 36, 42, 48]


def test_to_fetch_the_same_issue_again_changes_nothing() -> None:
    kept = kept_issues(issue(2.0), [issue(1.0, at=NOW - 7 * HOUR)])
    assert len(kept) == 2
    assert kept_issues(kept[0], kept) == kept


@pytest.mark.parametrize(
    "other",
    [
        issue(1.0, at=NOW - KEPT_SECONDS - 1),
        issue(1.0, at=NOW - 7 * HOUR, source="somebody else"),
        replace(issue(1.0, at=NOW - 7 * HOUR), kind=SignalKind.MARGINAL),
        issue(1.0, at=NOW + HOUR),
    ],
    ids=["too old", "of another source", "of another kind", "of the future"],
)
def test_what_is_no_earlier_issue_of_the_same_is_not_averaged(other: Signal) -> None:
    assert earlier_issues(issue(2.0), [other]) == []
    assert kept_issues(issue(2.0), [other]) == (issue(2.0),)
