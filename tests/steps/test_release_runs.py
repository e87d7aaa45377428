"""The token is stored before any run is released, and answered as soon as nothing is left to wait for."""

import pytest

from offpeak.core.batch import TASK_TOKENS_MAX
from offpeak.core.ports import Add, Save
from offpeak.core.run import CloseReason, RunStatus
from tests.steps.ward import POOL, TOKEN, Ward, swept


@pytest.fixture
def ward() -> Ward:
    return Ward(lines=40)


def test_the_token_is_stored_before_any_run_is_released(ward: Ward) -> None:
    seen = []
    commit = ward.changes.commit

    def watching(*changes: Add | Save) -> None:
        commit(*changes)
        seen.append((ward.batch.task_token, ward.run.status))

    ward.changes.commit = watching  # type: ignore[method-assign]
    ward.release()
    assert seen == [(TOKEN, RunStatus.HELD), (TOKEN, RunStatus.READY)]
    assert ward.dispatches.asks == [POOL]


def test_a_token_of_an_earlier_try_that_is_stored_late_does_not_hide_the_waiting_one(
    ward: Ward,
) -> None:
    ward.release("second")
    ward.release("first, late")
    ward.run_all()
    assert set(ward.workflows.answers) == {"second", "first, late"}


def test_as_many_tokens_are_kept_as_the_state_has_tries(ward: Ward) -> None:
    for number in range(TASK_TOKENS_MAX + 3):
        ward.release(f"token {number}")
    assert ward.batch.task_tokens == tuple(
        f"token {number}" for number in range(3, TASK_TOKENS_MAX + 3)
    )


def test_a_batch_that_was_cancelled_meanwhile_is_closed_and_answered_at_once(ward: Ward) -> None:
    ward.changes.commit(Save(ward.batch.cancelling(1)))
    ward.release()
    assert ward.run.close_reason is CloseReason.CANCELLED
    assert TOKEN in ward.workflows.answers


def test_nothing_is_answered_while_a_shard_is_open(ward: Ward) -> None:
    ward.release()
    ward.dispatch()
    swept(ward)
    assert ward.workflows.answers == {}
