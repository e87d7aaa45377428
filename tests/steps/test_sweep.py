"""What the sweep finds by time and sets right, one at a time; with all else it is in test_whole_batches."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from offpeak.core.batch import BatchStatus
from offpeak.core.errors import Unavailable
from offpeak.core.ports import Add, Save
from offpeak.core.run import CloseReason
from offpeak.core.shard import ShardStatus
from offpeak.steps import sweep as sweep_module
from offpeak.steps.close_batch import close_batch
from offpeak.steps.sweep import (
    REDRIVE_SECONDS,
    REDRIVE_SECONDS_MAX,
    REDRIVES_MAX,
)
from tests.steps.ward import ACCOUNT, BATCH, POOL, TOKEN, Ward, claim, statuses, swept


@pytest.fixture
def ward() -> Ward:
    return Ward(lines=40)


def test_a_worker_that_stopped_renewing_has_failed_its_shard(ward: Ward) -> None:
    ward.release()
    ward.dispatch()
    claim(ward, 0)
    ward.clock.advance(10_000)
    assert swept(ward).lost_shards == 3
    claimed, unclaimed = ward.shard(0), ward.shard(1)
    assert (claimed.status, claimed.failures) == (ShardStatus.WAITING, 1)
    assert (unclaimed.status, unclaimed.failures) == (ShardStatus.WAITING, 0)


def test_the_last_failure_of_the_last_shard_ends_the_batch_from_the_sweep() -> None:
    """A line alone has no part to try."""
    ward = Ward(lines=1)
    ward.release()
    ward.dispatch()
    ward.changes.commit(Save(replace(ward.shard(), failures=2)))
    claim(ward, 0)
    ward.clock.advance(10_000)
    swept(ward)
    assert ward.shard().engine_failed
    assert TOKEN in ward.workflows.answers


def test_a_failed_execution_is_redriven_after_a_quarter_of_an_hour() -> None:
    ward = Ward(lines=4)
    ward.release()
    ward.run_all()
    ward.workflows.failures[BATCH] = ward.clock.now()
    ward.clock.advance(REDRIVE_SECONDS)
    assert swept(ward).redriven == 0
    ward.clock.advance(1)
    assert swept(ward).redriven == 1
    assert swept(ward).redriven == 0  # it runs


def test_an_execution_that_failed_before_the_runs_were_released_is_redriven(ward: Ward) -> None:
    ward.workflows.failures[BATCH] = ward.clock.now()
    ward.clock.advance(REDRIVE_SECONDS + 1)
    assert swept(ward).redriven == 1


def test_an_execution_that_failed_while_finalizing_is_redriven() -> None:
    ward = Ward(lines=4)
    ward.release()
    ward.run_all()
    ward.call(close_batch, ACCOUNT, BATCH)
    ward.workflows.failures[BATCH] = ward.clock.now()
    ward.clock.advance(REDRIVE_SECONDS + 1)
    assert swept(ward).redriven == 1


def test_an_execution_that_failed_before_the_plan_is_redriven(ward: Ward) -> None:
    unplanned = replace(ward.batch, status=BatchStatus.VALIDATING, in_progress_at=None)
    ward.changes.commit(Save(unplanned))
    ward.workflows.failures[BATCH] = ward.clock.now()
    ward.clock.advance(REDRIVE_SECONDS + 1)
    found = swept(ward)
    assert (found.started, found.redriven) == (1, 1)


def test_an_execution_that_cannot_be_redriven_is_told_and_the_sweep_goes_on(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(name: str, *, ended_before: float) -> bool:
        raise Unavailable("It failed more than 14 days ago.")

    monkeypatch.setattr(ward.workflows, "redrive", refuse)
    ward.workflows.failures.update({BATCH: ward.clock.now(), "batch_other": ward.clock.now()})
    ward.clock.advance(REDRIVE_SECONDS + 1)
    found = swept(ward)
    assert (found.batches, found.errors) == (1, 2)


def test_an_execution_that_failed_when_its_batch_had_ended_is_redriven_so_that_it_is_announced() -> (
    None
):
    ward = Ward(lines=4)
    ward.release()
    ward.run_all()
    assert ward.end().status is BatchStatus.COMPLETED
    assert not list(ward.batches.open())
    ward.workflows.failures[BATCH] = ward.clock.now()
    ward.clock.advance(REDRIVE_SECONDS + 1)
    assert swept(ward).redriven == 1


def test_an_execution_that_failed_more_than_fourteen_days_ago_is_left_alone(ward: Ward) -> None:
    ward.workflows.failures[BATCH] = ward.clock.now()
    ward.clock.advance(REDRIVE_SECONDS_MAX)
    found = swept(ward)
    assert (found.redriven, found.errors) == (0, 0)


def test_one_sweep_redrives_so_many_and_the_next_ones_the_rest(ward: Ward) -> None:
    names = [f"batch_{n}" for n in range(REDRIVES_MAX + 1)]
    ward.workflows.failures.update(dict.fromkeys(names, ward.clock.now()))
    ward.clock.advance(REDRIVE_SECONDS + 1)
    assert [swept(ward).redriven for _ in range(3)] == [REDRIVES_MAX, 1, 0]


def test_where_nobody_says_which_executions_failed_the_sweep_does_all_else(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*, ended_after: float, ended_before: float) -> Iterator[str]:
        raise Unavailable("Rate exceeded")

    monkeypatch.setattr(ward.workflows, "failed", refuse)
    found = swept(ward)
    assert (found.batches, found.errors) == (1, 1)


def test_dispatch_is_asked_for_where_there_is_work_and_only_there(ward: Ward) -> None:
    ward.release()
    ward.dispatches.asks.clear()
    assert swept(ward).asked == 1
    assert ward.dispatches.asks == [POOL]


def test_a_batch_past_its_window_is_closed(ward: Ward) -> None:
    ward.release()
    ward.dispatch()
    ward.clock.advance(86_400)
    assert swept(ward).closing == 1
    assert ward.run.close_reason is CloseReason.EXPIRED
    assert statuses(ward) == [ShardStatus.CLOSED] * 3
    assert TOKEN in ward.workflows.answers


def test_a_batch_that_ended_in_time_does_not_expire_afterwards() -> None:
    ward = Ward(lines=4)
    ward.release()
    ward.run_all()
    ward.clock.advance(86_400)
    swept(ward)
    assert ward.run.close_reason is None
    assert ward.end().status is BatchStatus.COMPLETED


def test_an_execution_that_was_never_started_is_started(ward: Ward) -> None:
    never = replace(ward.batch, id="batch_2", in_progress_at=None, version=0)
    ward.changes.commit(Add(replace(never, status=BatchStatus.VALIDATING)))
    swept(ward)
    assert ward.workflows.started == {}
    ward.clock.advance(120)
    swept(ward)
    assert set(ward.workflows.started) == {"batch_2"}
    assert ward.workflows.started["batch_2"]["account_id"] == ACCOUNT


def test_a_lost_answer_is_given_again(ward: Ward) -> None:
    ward.release()
    ward.run_all()
    ward.workflows.answers.clear()
    assert swept(ward).ended == 1
    assert TOKEN in ward.workflows.answers


def test_a_batch_that_is_put_together_is_left_to_its_execution(ward: Ward) -> None:
    ward.release()
    ward.run_all()
    ward.workflows.answers.clear()
    ward.changes.commit(Save(ward.batch.finalizing(1)))
    swept(ward)
    assert ward.workflows.answers == {}


def test_what_fails_for_one_batch_is_not_kept_from_the_others(ward: Ward) -> None:
    ward.release()
    ward.run_all()
    ward.workflows.answers.clear()
    broken = replace(ward.batch, id="batch_0", version=0)
    ward.changes.commit(Add(broken))
    get = ward.batches.get

    def failing(account_id: str, batch_id: str) -> object:
        if batch_id == "batch_0":
            raise Unavailable("No answer.")
        return get(account_id, batch_id)

    ward.batches.get = failing  # type: ignore[assignment]
    found = swept(ward)
    assert (found.errors, found.ended) == (1, 1)


def test_with_more_batches_than_one_sweep_takes_each_has_its_turn(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep_module, "BATCHES_MAX", 3)
    batches = [replace(ward.batch, id=f"batch_{n}") for n in range(8)]
    seen: set[str] = set()

    def open_batches() -> Iterator[object]:
        yield from batches

    ward.batches.open = open_batches  # type: ignore[assignment]
    for _ in range(3):
        ward.clock.advance(60)
        turn = sweep_module._turn(list(ward.batches.open()), int(ward.clock.now()))
        assert len(turn) == 3
        seen |= {batch.id for batch in turn}
    assert len(seen) == 8
