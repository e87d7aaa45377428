"""A group's status as EXXA knows it: in progress from when its oldest request is."""

from __future__ import annotations

from offpeak.core.catalogue import Catalogue
from offpeak.core.errors import NotFound
from offpeak.core.group import Group, GroupStatus
from offpeak.core.ports import Clock, Gatherings, Groups, Requests
from offpeak.core.request import RequestStatus
from offpeak.steps.group_requests import find_group
from offpeak.steps.show_request import show_request


def show_group(
    account_id: str, group_id: str, *, clock: Clock, catalogue: Catalogue, requests: Requests,
    groups: Groups, gatherings: Gatherings,
) -> tuple[Group, str]:  # fmt: skip
    """The group and its status. Raises NotFound."""
    group = find_group(account_id, group_id, groups)
    if group.status is not GroupStatus.REGISTERED or group.first_member is None:
        return group, group.shown_status
    try:
        first = show_request(
            account_id, group.first_member, clock=clock, catalogue=catalogue, requests=requests,
            groups=groups, gatherings=gatherings,
        )  # fmt: skip
    except NotFound:
        return group, RequestStatus.IN_PROGRESS
    waits = first.status is RequestStatus.REGISTERED
    return group, RequestStatus.REGISTERED if waits else RequestStatus.IN_PROGRESS
