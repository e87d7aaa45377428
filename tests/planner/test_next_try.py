from dataclasses import replace

import pytest

from offpeak.core.run import CloseReason, Run, RunStatus
from offpeak.core.shard import PlannedShard, Segment, Shard, ShardStatus
from offpeak.planner.next_try import RETRY_SECONDS, RETRY_SECONDS_MAX, after_lost_attempt

NOW = 1_000
RUN = Run(
    batch_id="b", account_id="a", number=0, model="m", pool="p", endpoint="/e", manifest_key="k",
    manifest_bytes=1, shards=1, lines=1, deadline=9_999, created_at=0, status=RunStatus.READY,
)  # fmt: skip
PLANNED = PlannedShard(
    number=0, segments=(Segment(key="k", start=0, stop=1, first_line=1, lines=1),)
)


def shard(failures: int = 0) -> Shard:
    born = RUN.first_row(
        PLANNED, manifest_start=0, manifest_stop=1, status=ShardStatus.DISPATCHED, due_at=NOW
    )
    return replace(born.claimed(1, "w", NOW), failures=failures)


def after(shard: Shard, run: Run = RUN, *, failed: bool = True) -> Shard:
    return after_lost_attempt(shard, run, NOW, failed=failed, attempts_max=4)


@pytest.mark.parametrize(("failures", "pause"), [(0, RETRY_SECONDS), (1, 60), (2, 120)])
def test_a_failed_shard_waits_longer_each_time(failures: int, pause: int) -> None:
    moved = after(shard(failures))
    assert (moved.status, moved.due_at) == (ShardStatus.WAITING, NOW + pause)
    assert moved.failures == failures + 1


def test_it_never_waits_longer_than_the_limit() -> None:
    moved = after_lost_attempt(shard(50), RUN, NOW, failed=True, attempts_max=99)
    assert moved.due_at == NOW + RETRY_SECONDS_MAX


def test_after_the_last_failure_it_is_closed_for_the_engines_sake() -> None:
    moved = after(shard(3))
    assert (moved.status, moved.engine_failed) == (ShardStatus.CLOSED, True)


def test_what_was_no_failure_is_due_at_once_and_never_the_last_try() -> None:
    moved = after(shard(3), failed=False)
    assert (moved.status, moved.due_at, moved.failures) == (ShardStatus.WAITING, NOW, 3)


def test_a_shard_of_a_closing_run_is_closed_for_its_runs_sake() -> None:
    closing = RUN.closing(CloseReason.CANCELLED, NOW)
    moved = after(shard(3), closing)
    assert (moved.status, moved.engine_failed) == (ShardStatus.CLOSED, False)
