"""Only what has ended is announced, and then a deleted input goes."""

import pytest

from offpeak.core.errors import StateConflict
from offpeak.core.file import File
from offpeak.core.ports import Add
from offpeak.steps.announce_batch import announce_batch
from tests.steps.ward import ACCOUNT, BATCH, Ward


@pytest.fixture
def ward() -> Ward:
    return Ward(lines=40)


def test_only_what_has_ended_is_announced(ward: Ward) -> None:
    with pytest.raises(StateConflict):
        ward.call(announce_batch, ACCOUNT, BATCH)
    ward.release()
    ward.run_all()
    ward.end()
    assert ward.call(announce_batch, ACCOUNT, BATCH) == "batch.completed"
    assert [kind for kind, _ in ward.announcements.announced] == ["batch.completed"]


@pytest.mark.parametrize("is_deleted", [True, False])
def test_an_input_that_was_deleted_while_its_batch_ran_goes_when_it_has_ended(
    ward: Ward, *, is_deleted: bool
) -> None:
    if not is_deleted:
        file = File(
            id="file-1", account_id=ACCOUNT, filename="f", purpose="batch", bytes=1,
            key=ward.batch.input_key, created_at=1,
        )  # fmt: skip
        ward.changes.commit(Add(file))
    ward.release()
    ward.run_all()
    ward.end()
    ward.call(announce_batch, ACCOUNT, BATCH)
    assert bool(list(ward.reader.list("files/"))) is not is_deleted
