from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from offpeak.core.queued_run import QueuedRun
from offpeak.core.run import Run, Tier
from offpeak.planner.latest_start import (
    SHARD_SECONDS,
    START_MARGIN_SECONDS,
    is_late,
    latest_start,
    measured_shard_seconds,
)

NOW, DAY = 1_000_000, 86_400
RUN = QueuedRun(
    batch_id="b", number=0, account_id="a", tier=Tier.LONG, deadline=NOW + DAY, created_at=0,
    shards=60, shards_left=60,
)  # fmt: skip
RUNS = st.builds(
    lambda left, deadline: replace(RUN, shards_left=left, deadline=deadline),
    st.integers(1, 5_000), st.integers(NOW - 100, NOW + 7 * DAY),
)  # fmt: skip


def late(run: QueuedRun, now: float = NOW, seconds: float = SHARD_SECONDS) -> bool:
    return is_late(run, now, shards_at_once=10, shard_seconds=seconds)


def test_a_run_is_late_when_its_rest_fills_what_is_left_of_its_window() -> None:
    begins = NOW + DAY - 6 * SHARD_SECONDS - START_MARGIN_SECONDS
    assert latest_start(RUN, 10) == begins
    assert not late(RUN, begins - 1)
    assert late(RUN, begins)


def test_a_run_that_can_not_be_saved_is_not_late() -> None:
    """Ten slots and a day take 960 shards, at twice the pace 1,920."""
    assert late(replace(RUN, shards_left=1_900))
    assert not late(replace(RUN, shards_left=2_000))


def test_what_was_measured_counts() -> None:
    begins = latest_start(RUN, 10)
    assert not late(RUN, begins, seconds=60)
    assert latest_start(RUN, 10, 60) > begins


@given(RUNS, st.integers(0, 7 * DAY), st.integers(0, 7 * DAY))
def test_time_makes_no_run_less_urgent_while_it_can_be_saved(
    run: QueuedRun, sooner: int, later: int
) -> None:
    first, second = NOW + min(sooner, later), NOW + max(sooner, later)
    savable = second + -(-run.shards_left // 10) * SHARD_SECONDS / 2 <= run.deadline
    if savable and late(run, first):
        assert late(run, second)


@given(RUNS, st.integers(1, 5_000))
def test_fewer_shards_left_start_no_earlier(run: QueuedRun, left: int) -> None:
    fewer = replace(run, shards_left=min(left, run.shards_left))
    assert latest_start(fewer, 10) >= latest_start(run, 10)


def test_a_pools_shards_take_what_they_took_once_a_few_were_timed() -> None:
    run = Run(
        batch_id="b", account_id="a", number=0, model="m", pool="p", endpoint="/e",
        manifest_key="k", manifest_bytes=1, shards=9, lines=9, deadline=NOW, created_at=0,
    )  # fmt: skip
    timed = replace(run, shard_seconds=200, shards_timed=2)
    assert measured_shard_seconds([run, timed]) == SHARD_SECONDS
    assert measured_shard_seconds([run, timed, timed]) == 100
