"""A batch is closed when none of its runs goes on."""

import pytest

from offpeak.core.batch import BatchStatus
from offpeak.core.errors import StateConflict
from offpeak.core.run import CloseReason
from offpeak.planner.cut_harvest import Chunk
from offpeak.steps.close_batch import close_batch
from tests.steps.ward import ACCOUNT, BATCH, Ward


def test_a_batch_is_not_closed_while_a_run_goes_on() -> None:
    ward = Ward(lines=4)
    ward.release()
    with pytest.raises(StateConflict, match="goes on"):
        ward.call(close_batch, ACCOUNT, BATCH)
    assert ward.batch.status is BatchStatus.IN_PROGRESS


def test_a_batch_whose_wait_timed_out_is_closed_with_what_there_is() -> None:
    """RunShards' backstop: nobody swept, and its time is over."""
    ward = Ward(lines=12, window_seconds=100)
    ward.release()
    ward.clock.advance(101)
    assert ward.call(close_batch, ACCOUNT, BATCH) == [Chunk(run=0, first=0, last=2)]
    assert ward.run.close_reason is CloseReason.EXPIRED
