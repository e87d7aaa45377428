"""Tells of requests and groups that have ended to the callback they were sent with: where to ask, not what came of it.
Hive's are sent the result itself.

Once however often it is called: what ended, and when, is the event's id. So whoever ends or routes tells, and repeats.
"""

from __future__ import annotations

from offpeak.core.delivery import Event, event_id
from offpeak.core.group import Group
from offpeak.core.ports import Callbacks, Changes, Clock
from offpeak.core.request import Request
from offpeak.steps.queue_delivery import queue_delivery
from offpeak.wire.events import make_event

HIVE = "hive"
"""The accent whose callbacks carry the result, in a shape of their own (`wire/hive/callback.py`)."""


def tell_request(request: Request, *, clock: Clock, changes: Changes, callbacks: Callbacks) -> bool:
    """Whether an event was set going by this call. Nothing without a callback, or before the end."""
    if request.callback is None or request.ended_at is None:
        return False
    event = event_of(request, request.ended_at)
    return queue_delivery(
        request.account_id, event, request.id, url=request.callback,
        result_of=request.id if request.accent == HIVE else None, clock=clock, changes=changes,
        callbacks=callbacks,
    )  # fmt: skip


def event_of(request: Request, ended_at: int) -> Event:
    """That this request ended then. One with its result in it has no body yet."""
    kind = f"request.{request.status}"
    told_as = event_id(kind, request.id, ended_at)
    if request.accent == HIVE:
        return Event(id=told_as, type=kind, created_at=ended_at, body="")
    data = {"id": request.id, "status": request.status, "metadata": request.metadata}
    return make_event(told_as, kind, ended_at, data)


def tell_group(group: Group, *, clock: Clock, changes: Changes, callbacks: Callbacks) -> bool:
    """The same for a group of requests."""
    if group.callback is None or group.ended_at is None:
        return False
    kind = f"batch.{group.status}"
    data = {"id": group.id, "status": group.status, "metadata": group.metadata}
    event = make_event(event_id(kind, group.id, group.ended_at), kind, group.ended_at, data)
    return queue_delivery(
        group.account_id, event, group.id, url=group.callback, clock=clock, changes=changes,
        callbacks=callbacks,
    )  # fmt: skip
