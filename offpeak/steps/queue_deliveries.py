"""A batch has ended, or may miss its deadline: its event goes to every endpoint of its account that wants to hear of
it."""

from __future__ import annotations

from offpeak.core.batch import Batch
from offpeak.core.delivery import event_id
from offpeak.core.errors import StateConflict
from offpeak.core.ports import Batches, Callbacks, Changes, Clock, Webhooks
from offpeak.core.webhook import BATCH_AT_RISK
from offpeak.steps.queue_delivery import queue_delivery
from offpeak.wire.events import make_event


def queue_deliveries(
    account_id: str, batch_id: str, announced: str | None = None, *, clock: Clock, batches: Batches, webhooks: Webhooks,
    changes: Changes, callbacks: Callbacks,
) -> int:  # fmt: skip
    """To how many the event was set going by this call. An announcement that comes twice tells of one event; one of a
    risk that is over by now, of none. `announced` is what was said to have happened.

    Raises StateConflict for a batch that goes on, when it was said to have ended.
    """
    batch = batches.get(account_id, batch_id)
    at = batch.at_risk_at if announced == BATCH_AT_RISK else _ended_at(batch)
    if at is None:
        return 0
    event_type = BATCH_AT_RISK if announced == BATCH_AT_RISK else f"batch.{batch.status}"
    event = make_event(event_id(event_type, batch.id, at), event_type, at, {"id": batch.id})
    return sum(
        queue_delivery(
            account_id, event, webhook.id, clock=clock, changes=changes, callbacks=callbacks
        )
        for webhook in webhooks.of_account(account_id)
        if webhook.wants(event_type)
    )


def _ended_at(batch: Batch) -> int:
    at = batch.completed_at or batch.failed_at or batch.expired_at or batch.cancelled_at
    if at is None or not batch.is_terminal:
        raise StateConflict(f"Batch {batch.id} has not ended: it is {batch.status}.")
    return at
