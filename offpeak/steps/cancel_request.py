"""Cancels stand-alone requests: their status is final at once, and the worker that has them lets go of them.

The row decides, and comes first. What a worker still brings back finds it cancelled and is discarded.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from secrets import token_hex

from offpeak.core.catalogue import Catalogue
from offpeak.core.errors import StateConflict
from offpeak.core.layout import cancelled_prefix
from offpeak.core.ports import Callbacks, Changes, Clock, GroupChecks, Requests, Verdict, Writer
from offpeak.core.request import Request, RequestEnding, RequestStatus
from offpeak.steps.tell_ending import tell_request
from offpeak.wire.cancelled import by_hour, encode_ids

CANCELLED = "request_cancelled"


def cancel_request(
    account_id: str, request_id: str, *, clock: Clock, catalogue: Catalogue, writer: Writer,
    changes: Changes, requests: Requests, group_checks: GroupChecks, callbacks: Callbacks,
) -> Request:  # fmt: skip
    """The request, cancelled now or before. Raises NotFound, and StateConflict when it has ended otherwise.

    A call that finds it cancelled goes on all the same: the one before may have died before it told anybody.
    """
    request = requests.get(account_id, request_id)
    [moved] = requests.end([cancelled_ending(request_id, int(clock.now()))])
    ended = moved.request or request
    if moved.verdict is Verdict.REFUSED and ended.status is not RequestStatus.CANCELLED:
        raise StateConflict(
            f"Request {request_id} has ended: it is {ended.status}.", code=f"request_{ended.status}"
        )
    tell_workers([ended], catalogue=catalogue, writer=writer)
    tell_request(ended, clock=clock, changes=changes, callbacks=callbacks)
    if ended.group_id is not None:
        group_checks.ask(account_id, ended.group_id)
    return ended


def cancelled_ending(request_id: str, now: int) -> RequestEnding:
    return RequestEnding(
        request_id=request_id, status=RequestStatus.CANCELLED, at=now, error_code=CANCELLED
    )


def tell_workers(cancelled: Iterable[Request], *, catalogue: Catalogue, writer: Writer) -> None:
    """A list for each pool and hour."""
    of_pool: dict[str, list[str]] = defaultdict(list)
    for request in cancelled:
        model = catalogue.known(request.model)
        if model is not None:
            of_pool[model.pool].append(request.id)
    for pool, ids in of_pool.items():
        for hour, of_hour in by_hour(ids).items():
            key = f"{cancelled_prefix(pool)}{hour}/{token_hex(8)}.json"
            writer.put(key, encode_ids(of_hour), "application/json")
