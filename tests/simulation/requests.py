"""What must hold of stand-alone requests and their groups."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

from offpeak.core.group import Group
from offpeak.core.request import Request, RequestStatus
from tests.simulation.town import Town
from tests.steps.request_simulation import ALICE


def requests(town: Town) -> Iterator[tuple[str, object]]:
    """Of a row that was made when its caller had given up, nobody knows the id: only its callback must come."""
    known = set(town.callers.request_ids.values())
    if lost := known - {row.id for row in town.rows(Request)}:
        yield "lost request", lost
    for row in town.rows(Request):
        if (row.id in known or row.callback) and not town.has_been_told(row):
            yield "request without an end", row
        elif row.status is RequestStatus.COMPLETED and row.result is None:
            yield "completed without a result", row
        elif row.result is not None:
            body = town.memory.reader.read(row.result.key, row.result.start, row.result.stop)
            if json.loads(body)["custom_id"] != row.id:
                yield "somebody else's result", row


def groups(town: Town) -> Iterator[tuple[str, object]]:
    """A claim is a member's or nobody's: one whose caller died is undone."""
    for answer in town.callers.group_answers:
        if isinstance(answer, Group) and not town.found_group(ALICE, answer.id).is_there:
            yield "lost group", answer
    found = {group.id: group for group in town.rows(Group)}
    for row in town.rows(Request):
        if row.group_id and row.claim not in found[row.group_id].calls:
            yield "held by a call that died", row
    for group in found.values():
        if not group.is_there:
            continue  # of a call that was undone: nobody was ever told its id
        members = [row for row in town.rows(Request) if row.group_id == group.id]
        statuses = Counter(row.status for row in members)
        counts = (statuses[RequestStatus.COMPLETED], statuses[RequestStatus.FAILED])
        if (group.counts.completed, group.counts.failed) != counts or not group.has_ended:
            yield "group's counts", (group, counts)
        if group.members != len(members):
            yield "group's members", (group, len(members))
