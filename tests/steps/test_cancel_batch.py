"""What nobody works on is closed at once; a worker is left a moment."""

import pytest

from offpeak.core.batch import BatchStatus
from offpeak.core.errors import StateConflict
from offpeak.core.ports import Save
from offpeak.core.run import RunStatus
from offpeak.core.shard import ShardStatus
from offpeak.steps.cancel_batch import cancel_batch
from offpeak.steps.close_runs import GRACE_SECONDS
from tests.steps.ward import ACCOUNT, BATCH, TOKEN, Ward, claim, statuses, swept


@pytest.fixture
def ward() -> Ward:
    return Ward(lines=40)


def test_cancelling_closes_unclaimed_shards_at_once_and_leaves_claimed_ones_a_moment(
    ward: Ward,
) -> None:
    ward.release()
    ward.dispatch()
    claim(ward, 1)
    ward.call(cancel_batch, ACCOUNT, BATCH)
    assert statuses(ward) == [ShardStatus.CLOSED, ShardStatus.CLAIMED, ShardStatus.CLOSED]
    assert (ward.run.open, ward.workflows.answers) == (1, {})
    ward.clock.advance(GRACE_SECONDS - 1)
    swept(ward)
    assert ward.shard(1).status is ShardStatus.CLAIMED
    ward.clock.advance(1)
    swept(ward)
    assert statuses(ward) == [ShardStatus.CLOSED] * 3
    assert TOKEN in ward.workflows.answers


def test_cancelling_again_answers_the_same_and_goes_on_where_the_first_died(ward: Ward) -> None:
    ward.release()
    ward.dispatch()
    ward.changes.commit(Save(ward.batch.cancelling(1)))
    batch = ward.call(cancel_batch, ACCOUNT, BATCH)
    assert (batch.status, batch.cancelling_at) == (BatchStatus.CANCELLING, 1)
    assert ward.run.open == 0


def test_a_batch_whose_results_are_put_together_is_not_cancelled(ward: Ward) -> None:
    ward.changes.commit(Save(ward.batch.finalizing(1)))
    with pytest.raises(StateConflict):
        ward.call(cancel_batch, ACCOUNT, BATCH)
    assert ward.run.status is RunStatus.HELD
