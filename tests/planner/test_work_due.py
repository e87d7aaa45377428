from __future__ import annotations

from dataclasses import replace

import pytest

from offpeak.core.model import Model
from offpeak.core.plan import WorkDue
from offpeak.core.queued_run import QueuedRun
from offpeak.core.run import Tier
from offpeak.core.shard import Shard, ShardStatus
from offpeak.core.usage import Counts
from offpeak.planner.estimate_completion import WorkLeft
from offpeak.planner.work_due import EXPRESS_SECONDS, P90_FACTOR, P90_UNMEASURED, work_due

MODEL = Model(
    id="m", pool="p", source="s", endpoints=(), context_tokens=100, concurrency=2, instances_max=4
)
RUN = QueuedRun(
    batch_id="batch_1", number=0, account_id="acct_1", tier=Tier.OFFPEAK, deadline=90_000,
    created_at=0, shards=10, shards_left=10,
)  # fmt: skip
OPEN = Shard(
    batch_id="batch_1", account_id="acct_1", run=0, number=0, pool="p", manifest_start=0,
    manifest_stop=1, first_line=1, last_line=8, lines=8, status=ShardStatus.CLAIMED, attempt=1,
    due_at=0, progress=Counts(completed=4),
)  # fmt: skip


def due(
    run: QueuedRun = RUN, *shards: Shard, is_measured: bool = True,
    measured: dict[str, WorkLeft] | None = None,
) -> WorkDue:  # fmt: skip
    [found] = work_due(
        MODEL, [run], [], shards, shard_seconds=600, is_measured=is_measured,
        pools=lambda _: None, measured=measured,
    )  # fmt: skip
    return found


def test_an_instance_works_as_many_shards_at_a_time_as_it_takes() -> None:
    assert due().seconds_p50 == 10 * 600 / 2


def test_what_is_open_counts_by_what_is_left_of_it() -> None:
    assert due(RUN, OPEN).seconds_p50 == 10.5 * 600 / 2


def test_a_few_lines_are_a_minutes_work_and_never_wait() -> None:
    express = due(replace(RUN, tier=Tier.EXPRESS, shards=1, shards_left=1))
    assert (express.seconds_p50, express.now) == (EXPRESS_SECONDS / 2, True)


@pytest.mark.parametrize("tier", Tier)
def test_only_work_of_the_schedule_offpeak_waits(tier: Tier) -> None:
    assert due(replace(RUN, tier=tier)).now is (tier is not Tier.OFFPEAK)


def test_what_was_never_measured_may_take_longer() -> None:
    assert due().seconds_p90 == due().seconds_p50 * P90_FACTOR
    assert due(is_measured=False).seconds_p90 == due().seconds_p50 * P90_UNMEASURED


def test_a_run_that_has_measured_itself_is_believed() -> None:
    left = WorkLeft(
        run_id=RUN.id, seconds_p50=100, seconds_p90=120, length_basis="measured",
        pace_basis="measured",
    )  # fmt: skip
    found = due(measured={RUN.id: left})
    assert (found.seconds_p50, found.seconds_p90) == (100, 120)
