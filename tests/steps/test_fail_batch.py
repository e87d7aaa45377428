"""A batch that could not be validated by a fault of ours ends, or goes on as it was planned."""

from offpeak.core.batch import BatchStatus
from offpeak.steps.fail_batch import fail_batch
from tests.steps.ingest import Ingest, cancel, ingest_of, request_line


def _fail(ingest: Ingest) -> str:
    return fail_batch(
        "acct_1", "batch_1", clock=ingest.memory.clock, batches=ingest.memory.batches,
        runs=ingest.memory.runs, changes=ingest.memory.changes, reader=ingest.memory.reader,
        writer=ingest.memory.writer,
    )  # fmt: skip


def test_a_batch_that_cannot_be_validated_fails_with_a_server_error() -> None:
    ingest = ingest_of(request_line("a"))
    assert _fail(ingest) == "announce"
    before = ingest.batch
    assert before.status is BatchStatus.FAILED
    (error,) = ingest.errors()
    assert (error["code"], error["line"], error["param"]) == ("server_error", None, None)
    _fail(ingest)
    assert ingest.batch == before


def test_a_cancelling_batch_that_cannot_be_validated_is_cancelled() -> None:
    ingest = ingest_of(request_line("a"))
    cancel(ingest)
    _fail(ingest)
    assert ingest.batch.status is BatchStatus.CANCELLED


def test_a_batch_that_was_planned_after_all_goes_on_as_planned() -> None:
    ingest = ingest_of(request_line("a"))
    ingest.run()
    assert _fail(ingest) == "run"
    assert ingest.batch.status is BatchStatus.IN_PROGRESS


def test_a_planned_batch_that_is_being_cancelled_goes_on_to_its_close() -> None:
    ingest = ingest_of(request_line("a"))
    cancel(ingest)
    ingest.run()
    assert _fail(ingest) == "close"
    assert ingest.batch.status is BatchStatus.CANCELLING
