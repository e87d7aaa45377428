"""Sends the callback of a request that has ended again, whatever became of it before."""

from __future__ import annotations

from offpeak.core.errors import NotFound, StateConflict
from offpeak.core.ports import Callbacks, Changes, Clock, Deliveries
from offpeak.core.request import Request
from offpeak.steps.redeliver import redeliver
from offpeak.steps.tell_ending import event_of, tell_request


def repeat_callback(
    request: Request,
    *,
    clock: Clock,
    deliveries: Deliveries,
    changes: Changes,
    callbacks: Callbacks,
) -> None:
    """At once, and by the whole schedule. The event keeps its id.

    Raises StateConflict for a request that has not ended, or whose callback is being sent right now.
    """
    if request.ended_at is None:
        raise StateConflict(
            f"Request {request.id} is {request.status}: there is nothing to tell yet.",
            code="results_not_ready",
        )
    event = event_of(request, request.ended_at)
    try:
        redeliver(
            request.account_id, request.id, event.id, clock=clock, deliveries=deliveries,
            changes=changes, callbacks=callbacks,
        )  # fmt: skip
    except NotFound:
        # It was never told, or so long ago that the delivery's row is gone.
        tell_request(request, clock=clock, changes=changes, callbacks=callbacks)
