"""Tells beside a dropped object how its batch goes. `deliver_drop` has the last word."""

from __future__ import annotations

from offpeak.core.batch import Batch
from offpeak.core.ports import Batches, Clock, Reader, Runs, Shards, Writer
from offpeak.steps.show_batch import show_batch
from offpeak.steps.write_drop_status import write_drop_status
from offpeak.wire.drop_status import DropResults, StoredStatus, render_status


def show_drop(
    batch: Batch, *, clock: Clock, reader: Reader, writer: Writer, batches: Batches, runs: Runs,
    shards: Shards,
) -> bool:  # fmt: skip
    """Whether there was something new to tell. A batch that has ended is left to its delivery."""
    source = batch.drop
    if source is None:
        return False

    def tell(stored: StoredStatus | None) -> bytes | None:
        if stored is not None and belongs_to_newer(stored, batch):
            return None
        # Read after the status that is there, so that what is written is never older.
        present = batches.get(batch.account_id, batch.id)
        if present.is_terminal:
            return None
        shown = show_batch(present, reader=reader, runs=runs, shards=shards)
        if stored is not None and stored.says(present.id, present.status, shown.counts):
            return None
        return render_status(
            source, present, DropResults(), counts=shown.counts, usage=shown.usage,
            errors=shown.errors, now=int(clock.now()),
        )  # fmt: skip

    return write_drop_status(source, tell, reader=reader, writer=writer)


def belongs_to_newer(stored: StoredStatus, batch: Batch) -> bool:
    """`a.jsonl` and `a.jsonl.gz` share their status and results: they are the newer batch's. Ids sort by birth."""
    other_object = batch.drop is not None and stored.input.key != batch.drop.key
    return other_object and stored.batch is not None and stored.batch.id > batch.id
