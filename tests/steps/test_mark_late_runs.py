"""Runs that must go first to end in their window are marked, once, and found first from then on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from offpeak.core.errors import StateConflict
from offpeak.core.ports import Add, Save
from offpeak.core.run import Tier
from offpeak.steps.sweep import Swept, sweep
from tests.steps.ward import BATCH, POOL, Ward

WINDOW = 86_400


@pytest.fixture
def ward() -> Ward:
    """Ten shards of a pool that takes three at once: 3,600 s of work, by what is assumed, and a margin of 1,800 s."""
    ward = Ward(lines=40, window_seconds=WINDOW)
    ward.release()
    return ward


def swept(ward: Ward) -> Swept:
    found: Swept = ward.call(sweep)
    return found


def test_a_run_is_marked_at_its_latest_start_and_not_again(ward: Ward) -> None:
    ward.clock.advance(WINDOW - 5_400 - 60)
    assert (swept(ward).marked, ward.run.late) == (0, False)
    ward.clock.advance(60)
    assert (swept(ward).marked, ward.run.late) == (1, True)
    assert [run.tier for run in ward.runs.queued(POOL)] == [Tier.LATE]
    version = ward.run.version
    assert (swept(ward).marked, ward.run.version) == (0, version)


def test_a_late_run_goes_before_one_with_an_earlier_deadline(ward: Ward) -> None:
    ward.clock.advance(WINDOW - 5_400)
    swept(ward)
    short = replace(
        ward.run, batch_id="batch_0", late=False, shards=3, deadline=ward.run.deadline - 600,
        version=0,
    )  # fmt: skip
    ward.changes.commit(Add(short))
    ward.dispatch()
    assert (ward.run.open, ward.runs.get("batch_0", 0).open) == (3, 0)


def test_the_mark_goes_when_the_run_is_on_its_way_again(ward: Ward) -> None:
    ward.clock.advance(WINDOW - 5_400)
    swept(ward)
    for order in ward.dispatch():
        ward.complete(ward.work(order))
    assert swept(ward).marked == 1
    assert not ward.run.late


def test_what_shards_took_is_measured_and_counts(ward: Ward) -> None:
    for _ in range(3):
        orders = ward.dispatch()
        ward.clock.advance(10)
        for order in orders:
            ward.complete(ward.work(order))
    assert (ward.run.shard_seconds, ward.run.shards_timed) == (90, 9)
    assert ward.shard().seconds == 10
    ward.clock.advance(WINDOW - 30 - 1_800 - 900)  # one shard is left: late if it took 900 s
    assert swept(ward).marked == 0


def test_a_run_that_changes_meanwhile_is_left_to_the_next_sweep(ward: Ward) -> None:
    ward.clock.advance(WINDOW - 5_400)
    commit = ward.changes.commit

    def conflicting(*changes: Add | Save) -> None:
        raise StateConflict("changed meanwhile")

    ward.changes.commit = conflicting  # type: ignore[method-assign]
    assert swept(ward).marked == 0
    ward.changes.commit = commit  # type: ignore[method-assign]
    assert swept(ward).marked == 1


def test_a_pool_without_a_free_slot_is_not_asked_to_dispatch(ward: Ward) -> None:
    ward.dispatches.asks.clear()
    swept(ward)
    assert ward.dispatches.asks == [POOL]
    ward.dispatch()
    express = replace(ward.run, batch_id="batch_e", shards=1, lines=1, cursor=0, cursor_byte=0)
    ward.changes.commit(Add(replace(express, open=0, version=0)))
    ward.dispatch()
    ward.dispatches.asks.clear()
    swept(ward)
    assert ward.dispatches.asks == []
    assert ward.runs.get(BATCH, 0).has_more
