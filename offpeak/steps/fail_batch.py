"""Ends a batch that could not be validated: `process_batch` comes here from its Catch.

The fault is ours, unless somebody replaced or removed the input: a producer may do so in the drop folder, and whoever
has the URL of an upload while it is good. The call may have come after all was done: a planner whose answer got lost
has planned. Such a batch goes on as it is.
"""

from __future__ import annotations

from offpeak.core.batch import Batch, BatchStatus
from offpeak.core.drop import is_dropped
from offpeak.core.errors import NotFound, StateConflict, Unavailable
from offpeak.core.layout import batch_errors_key
from offpeak.core.ports import Batches, Changes, Clock, Reader, Runs, Save, Writer
from offpeak.core.request_line import LineError
from offpeak.core.usage import Counts
from offpeak.steps.plan_shards import Next, settled_plan
from offpeak.wire.batch_errors import encode_batch_errors

COMMIT_ATTEMPTS = 5
ERROR = LineError(
    code="server_error",
    message="The input file could not be validated because of a fault on our side. No request has run. "
    "Create the batch again; if it fails again, ask the operators of this service.",
)
REPLACED_DROP = LineError(
    code="input_replaced",
    message="The input was replaced or removed while it was read, and no request has run. "
    "If it was replaced, the new one has a batch of its own.",
)
REPLACED_FILE = LineError(
    code="input_replaced",
    message="Other bytes were put in the file's place after it was processed, and no request has run. "
    "Upload the input as a new file and create the batch of that.",
    param="input_file_id",
)


def fail_batch(
    account_id: str, batch_id: str, *, clock: Clock, batches: Batches, runs: Runs,
    changes: Changes, reader: Reader, writer: Writer,
) -> Next:  # fmt: skip
    """What `process_batch` does next. The batch is `failed`, or `cancelled` when that was asked for; one that has ended
    or was planned stays as it is."""
    for _ in range(COMMIT_ATTEMPTS):
        batch = batches.get(account_id, batch_id)
        settled = settled_plan(batch, runs)
        if settled:
            return settled
        # The errors first: a batch that is seen to have failed says why.
        error = ERROR if _is_there(batch, reader) else _replaced(batch)
        writer.put(batch_errors_key(batch_id), encode_batch_errors([error], 1), "application/json")
        try:
            changes.commit(Save(_ended(batch, int(clock.now()))))
        except StateConflict:
            continue
        return "announce"
    raise Unavailable(f"Batch {batch_id} changed {COMMIT_ATTEMPTS} times while it was ended.")


def _is_there(batch: Batch, reader: Reader) -> bool:
    """Whether a pinned input is still what it was."""
    if batch.input_etag is None:
        return True
    try:
        return reader.head(batch.input_key).etag == batch.input_etag
    except NotFound:
        return False


def _replaced(batch: Batch) -> LineError:
    return REPLACED_DROP if is_dropped(batch.input_key) else REPLACED_FILE


def _ended(batch: Batch, now: int) -> Batch:
    if batch.status is BatchStatus.CANCELLING:
        return batch.ended(
            BatchStatus.CANCELLED, counts=Counts(), usage=None, output_file_id=None,
            error_file_id=None, now=now,
        )  # fmt: skip
    return batch.failed(errors_key=batch_errors_key(batch.id), counts=Counts(), now=now)
