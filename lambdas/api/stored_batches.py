"""What every accent does alike with batches."""

from __future__ import annotations

from lambdas.api.call import Call
from lambdas.api.ports import Ports
from offpeak.core.batch import Batch
from offpeak.steps.cancel_batch import cancel_batch
from offpeak.steps.create_batch import NewBatch, create_batch


def add_batch(ports: Ports, call: Call, new: NewBatch) -> Batch:
    """The batch, or the one that the same Idempotency-Key has made."""
    return create_batch(
        call.account, new, idempotency_key=call.idempotency_key, clock=ports.clock,
        reader=ports.reader, writer=ports.writer, changes=ports.changes, files=ports.files,
        batches=ports.batches, idempotency=ports.idempotency, workflows=ports.workflows,
        announcements=ports.announcements, catalogue=ports.catalogue, ledger=ports.ledger,
    )  # fmt: skip


def stop_batch(ports: Ports, account_id: str, batch_id: str) -> Batch:
    return cancel_batch(
        account_id, batch_id, clock=ports.clock, batches=ports.batches, runs=ports.runs,
        shards=ports.shards, changes=ports.changes, workflows=ports.workflows,
        dispatches=ports.dispatches,
    )  # fmt: skip
