"""Looks every minute for what got lost of stand-alone requests, by time alone.

a reminder                       a gathering past its `due_at`
a call that died half way        a claim older than any call
an ask to look at a group        a group whose members have ended, or whose window has passed
a request, with its callback     one that has not ended long after its window has
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from offpeak.core.catalogue import Catalogue
from offpeak.core.errors import NotFound, OffpeakError
from offpeak.core.group import CLAIM_SECONDS_MAX, Group, GroupStatus, OpenClaim
from offpeak.core.ports import (
    Callbacks,
    Changes,
    Clock,
    Gatherings,
    GroupChecks,
    GroupClaim,
    Groups,
    Reader,
    Requests,
    Verdict,
    Workflows,
    Writer,
)
from offpeak.core.request import Request
from offpeak.steps.group_members import call_ids
from offpeak.steps.move_group import move_group
from offpeak.steps.seal_gathering import seal_gathering
from offpeak.steps.show_request import LOST_SECONDS, expired_ending
from offpeak.steps.tell_ending import tell_request

logger = logging.getLogger(__name__)
SWEEP_SECONDS = 60
GROUPS_MAX = 500
LOST_MAX = 1_000
"""What one sweep looks at. Where there is more, the next one goes on."""


@dataclass(slots=True)
class SweptRequests:
    sealed: int = 0
    undone: int = 0
    checked: int = 0
    lost: int = 0
    errors: int = 0


def sweep_requests(
    *, clock: Clock, catalogue: Catalogue, reader: Reader, writer: Writer, changes: Changes,
    requests: Requests, groups: Groups, gatherings: Gatherings, workflows: Workflows,
    group_checks: GroupChecks, callbacks: Callbacks,
) -> SweptRequests:  # fmt: skip
    """What fails for one is left to the next sweep."""
    swept = SweptRequests()
    now = int(clock.now())
    for gathering in gatherings.open():
        with _guarded(f"gathering {gathering.id}", swept):
            if gathering.due_at <= now:
                sealed = seal_gathering(
                    gathering.lane.id, gathering.id, clock=clock, catalogue=catalogue,
                    writer=writer, changes=changes, gatherings=gatherings, workflows=workflows,
                )  # fmt: skip
                swept.sealed += sealed is not None
    for group in _turn(list(groups.open()), now):
        with _guarded(f"group {group.id}", swept):
            for claim in _dead(group, now):
                _undo(group, claim, reader, changes, requests, groups)
                swept.undone += 1
            if group.is_there and _is_worth_a_look(group, now, groups):
                group_checks.ask(group.account_id, group.id)
                swept.checked += 1
    for request in requests.untold(now - LOST_SECONDS, LOST_MAX):
        with _guarded(f"request {request.id}", swept):
            swept.lost += _expire(request, clock, changes, requests, callbacks)
    return swept


def _expire(
    request: Request, clock: Clock, changes: Changes, requests: Requests, callbacks: Callbacks
) -> bool:
    """It is read as expired already. Told first, then ended: once it has ended, nobody finds it here again. Telling it
    twice is telling it once; and a result that came meanwhile is what it says, and tells."""
    row = requests.get(request.account_id, request.id)
    if row.has_ended:
        return False
    logger.warning("request %s is lost", row.id)
    ending = expired_ending(row)
    tell_request(row.ended(ending), clock=clock, changes=changes, callbacks=callbacks)
    [moved] = requests.end([ending])
    return moved.verdict is Verdict.CHANGED


def _turn(found: Sequence[Group], now: int) -> Sequence[Group]:
    if len(found) <= GROUPS_MAX:
        return found
    start = now // SWEEP_SECONDS * GROUPS_MAX % len(found)
    return [*found[start:], *found[:start]][:GROUPS_MAX]


def _is_worth_a_look(group: Group, now: int, groups: Groups) -> bool:
    return (
        group.status is GroupStatus.CANCELLING
        or now >= group.expires_at
        or not groups.has_open_members(group.id)
    )


def _dead(group: Group, now: int) -> list[OpenClaim]:
    return [claim for claim in group.claims if claim.since + CLAIM_SECONDS_MAX <= now]


def _undo(
    group: Group, claim: OpenClaim, reader: Reader, changes: Changes, requests: Requests,
    groups: Groups,
) -> None:  # fmt: skip
    """Closed to a commit first, forgotten last: wherever it dies, the next sweep goes on."""
    logger.warning("%s: the call %s died half way", group.id, claim.token)
    ids = group.account_id, group.id
    held = GroupClaim(account_id=group.account_id, group_id=group.id, token=claim.token)
    found = move_group(
        *ids, lambda group: group.undoing(claim.token), groups=groups, changes=changes
    )
    if claim.token not in found.calls:
        try:
            requests.release(held, call_ids(group, claim.token, reader))
        except NotFound:
            logger.warning("%s: the call %s had claimed nothing", group.id, claim.token)
    move_group(*ids, lambda group: group.released(claim.token), groups=groups, changes=changes)


@contextmanager
def _guarded(what: str, swept: SweptRequests) -> Iterator[None]:
    try:
        yield
    except OffpeakError as error:
        swept.errors += 1
        logger.error("%s: %s", what, error)
