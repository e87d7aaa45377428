"""What a batch shows while it runs."""

from offpeak.core.ports import Save
from offpeak.core.usage import Counts
from offpeak.steps.cancel_batch import cancel_batch
from offpeak.steps.close_runs import GRACE_SECONDS
from offpeak.steps.show_batch import show_batch
from offpeak.steps.sweep import sweep
from tests.steps.ward import ACCOUNT, BATCH, Ward


def shown(ward: Ward) -> Counts:
    return show_batch(ward.batch, reader=ward.reader, runs=ward.runs, shards=ward.shards).counts


def test_counts_move_with_the_leases_and_do_not_fall_when_the_batch_is_cancelled() -> None:
    ward = Ward(lines=40)
    ward.release()
    ward.dispatch()
    claimed = ward.shard(0).claimed(1, "w", int(ward.clock.now()) + 10_000)
    ward.changes.commit(Save(claimed))
    assert shown(ward) == Counts(total=40)

    ward.changes.commit(
        Save(ward.shard(0).renewed(claimed.due_at, Counts(total=10, completed=6, failed=1)))
    )
    moved = Counts(total=40, completed=6, failed=1)
    assert shown(ward) == moved

    ward.call(cancel_batch, ACCOUNT, BATCH)
    assert shown(ward) == moved
    ward.clock.advance(GRACE_SECONDS + 1)
    ward.call(sweep)
    assert not ward.shard(0).is_open
    assert shown(ward) == moved
