from dataclasses import replace

import pytest

from offpeak.core.errors import StateConflict
from offpeak.core.run import CloseReason, Run, RunStatus
from offpeak.core.shard import Shard, ShardStatus
from offpeak.core.usage import Counts, Usage

DISPATCHED = Shard(
    batch_id="batch_" + "0" * 28,
    account_id="acct_1",
    run=0,
    number=4_999,
    pool="tiny",
    manifest_start=0,
    manifest_stop=100,
    first_line=1,
    last_line=10,
    lines=10,
    status=ShardStatus.DISPATCHED,
    attempt=1,
    due_at=100,
)
RUN = Run(
    batch_id="batch_1",
    account_id="acct_1",
    number=0,
    model="m",
    pool="tiny",
    endpoint="/v1/chat/completions",
    manifest_key="k",
    manifest_bytes=200,
    shards=2,
    lines=20,
    deadline=1_000,
    created_at=0,
)
ALL_DONE = Counts(total=10, completed=9, failed=1)


def done(shard: Shard) -> Shard:
    return shard.done(counts=ALL_DONE, usage=Usage(), output=None, errors=None, report_key="r")


def test_only_the_attempt_that_was_dispatched_may_claim() -> None:
    assert DISPATCHED.claimed(1, "w", 200).status is ShardStatus.CLAIMED
    for stale in (0, 2):
        with pytest.raises(StateConflict):
            DISPATCHED.claimed(stale, "w", 200)


def test_an_attempt_delivered_twice_is_claimed_once() -> None:
    claimed = DISPATCHED.claimed(1, "w", 200)
    with pytest.raises(StateConflict):
        claimed.claimed(1, "other", 200)


def test_a_lost_attempt_comes_back_with_a_higher_number() -> None:
    again = DISPATCHED.claimed(1, "w", 200).waiting(retry_at=300, failed=True).redispatched(400)
    assert (again.attempt, again.failures, again.worker) == (2, 1, None)
    with pytest.raises(StateConflict):
        again.claimed(1, "w", 500)


def test_a_report_that_lacks_lines_does_not_end_a_shard() -> None:
    with pytest.raises(StateConflict):
        DISPATCHED.done(
            counts=Counts(total=10, completed=9), usage=Usage(), output=None, errors=None,
            report_key="r",
        )  # fmt: skip


def test_done_is_the_end() -> None:
    shard = done(DISPATCHED.claimed(1, "w", 200))
    with pytest.raises(StateConflict):
        done(shard)
    with pytest.raises(StateConflict):
        shard.closed()
    with pytest.raises(StateConflict):
        shard.renewed(9, Counts())


def test_an_invocation_id_fits_sagemaker_even_for_the_largest_batch() -> None:
    assert len(replace(DISPATCHED, run=99, number=99_999, attempt=99).invocation_id) <= 64


def test_a_run_has_ended_when_all_its_shards_were_dispatched_and_none_is_open() -> None:
    run = RUN.released().advanced(100).advanced(200)
    assert not run.has_more
    assert not run.ended
    run = run.shard_ended(ALL_DONE, Usage()).shard_ended(ALL_DONE, Usage())
    assert run.ended
    assert run.counts == ALL_DONE + ALL_DONE


def test_a_closing_run_dispatches_no_more_and_ends_with_its_open_shards() -> None:
    run = RUN.released().advanced(100).closing(CloseReason.CANCELLED, close_by=60)
    assert run.status is RunStatus.CLOSING
    assert not run.ended
    with pytest.raises(StateConflict):
        run.advanced(200)
    assert run.shard_ended(Counts(), Usage()).ended


def test_a_held_run_waits_for_its_release() -> None:
    with pytest.raises(StateConflict):
        RUN.advanced(100)
    with pytest.raises(StateConflict):
        RUN.released().released()
