"""Cancels a group: every request in it that has not ended. What is finished stays, and is in the group's results."""

from __future__ import annotations

from collections.abc import Sequence

from offpeak.core.catalogue import Catalogue
from offpeak.core.group import MEMBERS_A_CALL_MAX, Group, GroupStatus
from offpeak.core.ports import (
    Callbacks,
    Changes,
    Clock,
    GroupChecks,
    Groups,
    Reader,
    Requests,
    Verdict,
    Writer,
)
from offpeak.steps.cancel_request import cancelled_ending, tell_workers
from offpeak.steps.group_members import iterate_calls
from offpeak.steps.group_requests import find_group
from offpeak.steps.move_group import move_group
from offpeak.steps.tell_ending import tell_request


def cancel_group(
    account_id: str, group_id: str, *, clock: Clock, catalogue: Catalogue, reader: Reader,
    writer: Writer, changes: Changes, requests: Requests, groups: Groups,
    group_checks: GroupChecks, callbacks: Callbacks,
) -> Group:  # fmt: skip
    """The group, cancelled now or before. Of a large one the members follow in the background, behind its check.

    Raises NotFound, StateConflict for a group that is completed.
    """
    now = int(clock.now())
    group = find_group(account_id, group_id, groups)
    if group.status is GroupStatus.CANCELLED:
        return group
    group = move_group(
        account_id, group_id, lambda group: group.cancelling(now), groups=groups, changes=changes
    )
    if group.members <= MEMBERS_A_CALL_MAX:
        for ids in iterate_calls(group, reader):
            cancel_members(
                ids, now, clock=clock, catalogue=catalogue, writer=writer, changes=changes,
                requests=requests, callbacks=callbacks,
            )  # fmt: skip
    group_checks.ask(account_id, group_id)
    return group


def cancel_members(
    request_ids: Sequence[str], now: int, *, clock: Clock, catalogue: Catalogue, writer: Writer,
    changes: Changes, requests: Requests, callbacks: Callbacks,
) -> None:  # fmt: skip
    """Those that have ended stay as they are."""
    moved = requests.end([cancelled_ending(request_id, now) for request_id in request_ids])
    cancelled = [
        move.request
        for move in moved
        if move.request is not None and move.verdict is not Verdict.REFUSED
    ]
    tell_workers(cancelled, catalogue=catalogue, writer=writer)
    for request in cancelled:
        tell_request(request, clock=clock, changes=changes, callbacks=callbacks)
