"""What of a run stands in the queue: its tier, and about how many shards are left."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offpeak.core.errors import StateConflict
from offpeak.core.model import Model
from offpeak.core.run import (
    EXACT_SHARDS_MAX,
    EXPRESS_LINES_MAX,
    SHORT_SHARDS_MAX,
    CloseReason,
    Run,
    RunStatus,
    Tier,
)

RUN = Run(
    batch_id="b", account_id="a", number=0, model="m", pool="p", endpoint="/e", manifest_key="k",
    manifest_bytes=1, shards=5_000, lines=10_000_000, deadline=1, created_at=0,
    status=RunStatus.READY,
)  # fmt: skip


@given(st.integers(1, 100_000), st.data())
def test_at_most_an_eighth_too_many_shards_are_left(shards: int, data: st.DataObject) -> None:
    cursor = data.draw(st.integers(0, shards))
    run = replace(RUN, shards=shards, cursor=cursor)
    left = shards - cursor
    assert left <= run.shards_left <= left * 9 / 8
    assert run.shards_left <= shards
    if left < EXACT_SHARDS_MAX:
        assert run.shards_left == left


def test_what_is_left_changes_some_eighty_times_in_five_thousand_shards() -> None:
    seen = [replace(RUN, cursor=cursor).shards_left for cursor in range(5_000)]
    assert seen == sorted(seen, reverse=True)
    assert len(set(seen)) <= 85


@pytest.mark.parametrize(
    ("shards", "lines", "tier"),
    [
        (1, 1, Tier.EXPRESS),
        (1, EXPRESS_LINES_MAX, Tier.EXPRESS),
        (1, EXPRESS_LINES_MAX + 1, Tier.SHORT),
        (2, 2, Tier.SHORT),
        (SHORT_SHARDS_MAX, 8_000, Tier.SHORT),
        (SHORT_SHARDS_MAX + 1, 10_000, Tier.LONG),
    ],
)
def test_a_run_s_tier_goes_by_its_size(shards: int, lines: int, tier: Tier) -> None:
    assert replace(RUN, shards=shards, lines=lines).tier is tier


def test_a_run_that_is_marked_late_is_late_until_the_mark_is_taken_back() -> None:
    late = RUN.marked_late(True)
    assert late.tier is Tier.LATE
    assert late.marked_late(False) == RUN
    with pytest.raises(StateConflict):
        RUN.closing(CloseReason.CANCELLED, 1).marked_late(True)


@given(st.integers(1, 200), st.integers(1, 50))
def test_slots_kept_for_express_runs_leave_no_instance_without_a_shard(
    instances: int, concurrency: int
) -> None:
    """However SageMaker hands them out: all instances but one full, and one shard for the last."""
    model = Model(
        id="m", pool="p", source="s", endpoints=("/e",), context_tokens=1, instances_max=instances,
        concurrency=concurrency,
    )  # fmt: skip
    kept = model.in_flight_max - model.ordinary_in_flight_max
    assert kept >= 1
    assert model.ordinary_in_flight_max > (instances - 1) * model.invocations_per_instance
    assert model.in_flight_max == instances * model.invocations_per_instance
