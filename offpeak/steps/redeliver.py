"""Sends an event again, whatever became of it: at once, and by the whole schedule."""

from __future__ import annotations

from offpeak.core.delivery import Delivery, ask_for
from offpeak.core.ports import Callbacks, Changes, Clock, Deliveries, Save
from offpeak.steps.queue_delivery import LOOK_AGAIN_SECONDS


def redeliver(
    account_id: str, destination_id: str, delivery_id: str, *, clock: Clock,
    deliveries: Deliveries, changes: Changes, callbacks: Callbacks,
) -> Delivery:  # fmt: skip
    """The delivery, waiting again. The receiver knows the event by its id. Raises NotFound, StateConflict."""
    found = deliveries.get(account_id, destination_id, delivery_id)
    waiting = found.sent_again(int(clock.now()) + LOOK_AGAIN_SECONDS)
    changes.commit(Save(waiting))
    callbacks.ask(ask_for(waiting))
    return waiting
