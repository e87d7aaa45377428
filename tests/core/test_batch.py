from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offpeak.core.batch import TERMINAL, Batch, BatchStatus
from offpeak.core.errors import StateConflict
from offpeak.core.usage import Counts, Usage

NEW = Batch(
    id="batch_1",
    account_id="acct_1",
    input_file_id="file-1",
    input_key="files/acct_1/file-1",
    input_bytes=10,
    endpoint="/v1/chat/completions",
    completion_window="24h",
    created_at=1_000,
    expires_at=87_400,
)


def ended(status: BatchStatus) -> Callable[[Batch], Batch]:
    return lambda batch: batch.ended(
        status,
        counts=Counts(total=1, completed=1),
        usage=Usage(),
        output_file_id="file-2",
        error_file_id=None,
        now=1_400,
    )


MOVES: dict[str, Callable[[Batch], Batch]] = {
    "fail": lambda b: b.failed(errors_key="k", counts=Counts(), now=1_100),
    "plan": lambda b: b.planned(model="m", total=1, invalid_lines=0, now=1_100),
    "cancel": lambda b: b.cancelling(1_200),
    "finalize": lambda b: b.finalizing(1_300),
    "complete": ended(BatchStatus.COMPLETED),
    "expire": ended(BatchStatus.EXPIRED),
    "cancelled": ended(BatchStatus.CANCELLED),
}


def after(*moves: str) -> Batch:
    batch = NEW
    for move in moves:
        batch = MOVES[move](batch)
    return batch


@pytest.mark.parametrize(
    ("moves", "status"),
    [
        (["fail"], "failed"),
        (["plan", "finalize", "complete"], "completed"),
        (["plan", "finalize", "expire"], "expired"),
        (["plan", "cancel", "finalize", "cancelled"], "cancelled"),
        (["cancel", "plan", "finalize", "cancelled"], "cancelled"),
    ],
)
def test_a_batch_reaches_each_of_its_ends(moves: list[str], status: str) -> None:
    assert after(*moves).status == status


@pytest.mark.parametrize("status", ["failed", "completed", "expired", "cancelled"])
def test_each_end_sets_its_own_time_and_no_other(status: str) -> None:
    ways = {
        "failed": ["fail"],
        "completed": ["plan", "finalize", "complete"],
        "expired": ["plan", "finalize", "expire"],
        "cancelled": ["plan", "cancel", "finalize", "cancelled"],
    }
    batch = after(*ways[status])
    times = {s for s in ways if getattr(batch, f"{s}_at") is not None}
    assert times == {status}


def test_a_batch_that_finalizes_can_no_longer_be_cancelled() -> None:
    with pytest.raises(StateConflict):
        after("plan", "finalize", "cancel")


@given(st.lists(st.sampled_from(sorted(MOVES)), max_size=8))
def test_no_road_leads_out_of_an_end(moves: list[str]) -> None:
    batch = NEW
    for move in moves:
        was_terminal = batch.status in TERMINAL
        try:
            batch = MOVES[move](batch)
        except StateConflict:
            continue
        assert not was_terminal
