"""A request as it is now. What its row doesn't say is derived: that its shard is under way, that nobody will come."""

from __future__ import annotations

from dataclasses import replace

from offpeak.core.catalogue import Catalogue, Model
from offpeak.core.errors import NotFound
from offpeak.core.gathering import Lane
from offpeak.core.ids import GATHERING, REQUEST, birth
from offpeak.core.ports import Clock, Gatherings, Groups, Requests
from offpeak.core.request import Request, RequestEnding, RequestStatus
from offpeak.core.window import parse_window
from offpeak.steps.close_runs import GRACE_SECONDS

LOST_SECONDS = 3_600 + GRACE_SECONDS
"""How long after its window a request may still get its result: a gathering closes with the last of its requests."""
EXPIRED = "request_expired"
OPEN_SECONDS = 900
"""How much longer than it should a gathering may stay open: until a reminder or a sweep comes through."""


def show_request(
    account_id: str, request_id: str, *, clock: Clock, catalogue: Catalogue, requests: Requests,
    groups: Groups, gatherings: Gatherings,
) -> Request:  # fmt: skip
    """Its status as EXXA knows it, and its group only once it is a member. Raises NotFound."""
    request = requests.get(account_id, request_id)
    if request.group_id is not None and not is_member(request, groups):
        request = replace(request, group_id=None, claim=None)
    if request.has_ended:
        return request
    now = int(clock.now())
    if now >= request.expires_at + LOST_SECONDS:
        return request.ended(expired_ending(request))
    if is_under_way(request, catalogue, gatherings):
        return replace(request, status=RequestStatus.IN_PROGRESS)
    return request


def expired_ending(request: Request) -> RequestEnding:
    """How a request ends that no shard brought back in time."""
    return expired_ending_at(request.id, request.expires_at)


def expired_ending_at(request_id: str, deadline: int) -> RequestEnding:
    return RequestEnding(
        request_id=request_id, status=RequestStatus.FAILED, at=deadline, error_code=EXPIRED
    )


def is_member(request: Request, groups: Groups) -> bool:
    """Whether the call that claimed it was committed."""
    if request.group_id is None:
        return False
    try:
        return request.claim in groups.get(request.account_id, request.group_id).calls
    except NotFound:
        return False


def is_under_way(request: Request, catalogue: Catalogue, gatherings: Gatherings) -> bool:
    """Whether the gathering that holds it was sealed."""
    lane = lane_of(request, catalogue)
    born = birth(request.id, REQUEST)
    if lane is None or born is None:
        return False
    for gathering in gatherings.since(
        lane.id, earliest_gathering(catalogue.of_pool(lane.pool), born)
    ):
        if gathering.spans(request.id):
            return not gathering.is_open
    return False


def lane_of(request: Request, catalogue: Catalogue) -> Lane | None:
    """None when its model has left the catalogue."""
    model = catalogue.known(request.model)
    if model is None:
        return None
    return Lane(
        model=model.id, pool=model.pool, endpoint=request.endpoint,
        window_seconds=parse_window(request.completion_window),
    )  # fmt: skip


def earliest_gathering(model: Model, born: float) -> str:
    """No gathering with a lower id can hold a request of this model that was sent at `born`."""
    longest = max(model.gather_seconds_busy, model.gather_seconds_idle) + OPEN_SECONDS
    return f"{GATHERING}{max(0, int((born - longest) * 1000)):012x}"
