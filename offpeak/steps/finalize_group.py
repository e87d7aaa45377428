"""Ends a group whose members have all ended, with their results in one object: a line for each, call by call.

Whoever ends a member asks; the index of open members says whether it is worth a look, and the rows themselves, read
consistently, decide. Memory holds a call's members.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from offpeak.core.catalogue import Catalogue
from offpeak.core.errors import NotFound, StateConflict
from offpeak.core.group import Group, GroupStatus
from offpeak.core.layout import JSON_LINES, group_results_key
from offpeak.core.ports import (
    Callbacks,
    Changes,
    Clock,
    Groups,
    Multipart,
    Reader,
    Requests,
    Writer,
)
from offpeak.core.request import Request, RequestStatus
from offpeak.core.usage import Counts
from offpeak.steps.cancel_group import cancel_members
from offpeak.steps.group_members import iterate_calls
from offpeak.steps.move_group import move_group
from offpeak.steps.show_request import EXPIRED, LOST_SECONDS, expired_ending
from offpeak.steps.streamed_object import StreamedObject
from offpeak.steps.tell_ending import tell_group, tell_request
from offpeak.wire.exxa.results import render_result, render_without_result
from offpeak.wire.segments import GAP_BYTES_MAX

logger = logging.getLogger(__name__)
STRETCH_BYTES_MAX = 16_000_000


class _Unfinished(Exception):
    """A member goes on."""


def finalize_group(
    account_id: str, group_id: str, *, clock: Clock, catalogue: Catalogue, reader: Reader,
    writer: Writer, multipart: Multipart, changes: Changes, requests: Requests, groups: Groups,
    callbacks: Callbacks,
) -> Group:  # fmt: skip
    """The group, ended now or before, or as it goes on. Raises NotFound."""
    group = groups.get(account_id, group_id)
    if group.has_ended:
        tell_group(group, clock=clock, changes=changes, callbacks=callbacks)
    if group.has_ended or not group.is_there or group.claims:
        return group  # whoever is adding to it asks again
    now = int(clock.now())
    if group.status is GroupStatus.CANCELLING:
        for ids in iterate_calls(group, reader):
            cancel_members(
                ids, now, clock=clock, catalogue=catalogue, writer=writer, changes=changes,
                requests=requests, callbacks=callbacks,
            )  # fmt: skip
    elif now < group.expires_at and groups.has_open_members(group_id):
        return group
    finalizing = _Finalizing(
        group, clock, reader, writer, multipart, changes, requests, callbacks
    )  # fmt: skip
    try:
        counts, key, size = finalizing.write()
    except _Unfinished as unfinished:
        logger.info("%s: request %s goes on", group_id, unfinished)
        return group

    def end(found: Group) -> Group:
        if found.calls != group.calls:
            raise StateConflict(f"Batch {group_id} has grown.")
        return found.ended(counts=counts, results_key=key, results_bytes=size, now=now)

    try:
        ended = move_group(account_id, group_id, end, groups=groups, changes=changes)
    except StateConflict as conflict:
        logger.info("%s: %s", group_id, conflict.message)
        return groups.get(account_id, group_id)
    tell_group(ended, clock=clock, changes=changes, callbacks=callbacks)
    return ended


class _Finalizing:
    def __init__(
        self, group: Group, clock: Clock, reader: Reader, writer: Writer, multipart: Multipart,
        changes: Changes, requests: Requests, callbacks: Callbacks,
    ) -> None:  # fmt: skip
        self._group = group
        self._clock = clock
        self._now = int(clock.now())
        self._reader = reader
        self._writer = writer
        self._multipart = multipart
        self._changes = changes
        self._requests = requests
        self._callbacks = callbacks

    def write(self) -> tuple[Counts, str, int]:
        """What the results count, where they are, and their size in bytes. Raises _Unfinished."""
        key = group_results_key(self._group.account_id, self._group.id)
        counts = Counts()
        target = StreamedObject(
            key, writer=self._writer, multipart=self._multipart, content_type=JSON_LINES
        )
        with target:
            for ids in iterate_calls(self._group, self._reader):
                members = self._members(ids)
                counts += _count(members)
                results = read_ranges(members, self._reader)
                for member in members:
                    found = results.get(member.id)
                    target.write(
                        render_result(member, found) if found else render_without_result(member)
                    )
            info = target.close()
        return counts, key, info.bytes

    def _members(self, ids: Sequence[str]) -> list[Request]:
        """In the order of the call. One whose window passed long ago without a result ends here."""
        found = {request.id: request for request in self._requests.get_many(ids)}
        missing = [request_id for request_id in ids if request_id not in found]
        if missing:
            logger.error("%s: %d members are not there any more", self._group.id, len(missing))
        lost = [r for r in found.values() if not r.has_ended and self._is_lost(r)]
        for move in self._requests.end([expired_ending(request) for request in lost]):
            if move.request is not None:
                found[move.request.id] = move.request
        for request in found.values():
            if (
                request.error_code == EXPIRED
            ):  # ended just now, or by a call that died before it told
                tell_request(
                    request, clock=self._clock, changes=self._changes, callbacks=self._callbacks
                )
        for request in found.values():
            if not request.has_ended:
                raise _Unfinished(request.id)
        return [found[request_id] for request_id in ids if request_id in found]

    def _is_lost(self, request: Request) -> bool:
        return self._now >= request.expires_at + LOST_SECONDS


def _count(members: Sequence[Request]) -> Counts:
    statuses = [member.status for member in members]
    return Counts(
        total=len(members), completed=statuses.count(RequestStatus.COMPLETED),
        failed=statuses.count(RequestStatus.FAILED),
    )  # fmt: skip


def read_ranges(members: Sequence[Request], reader: Reader) -> dict[str, bytes]:
    """The members' result lines by their ids, read in as few requests as the gaps between them allow."""
    placed = sorted(
        (r.result.key, r.result.start, r.result.stop, r.id) for r in members if r.result is not None
    )
    found: dict[str, bytes] = {}
    for stretch in _stretches(placed):
        key, first, last = stretch[0][0], stretch[0][1], stretch[-1][2]
        try:
            data = reader.read(key, first, last)
        except NotFound:
            logger.error("%s is not there any more", key)
            continue
        for _, start, stop, request_id in stretch:
            found[request_id] = data[start - first : stop - first]
    return found


_Placed = tuple[str, int, int, str]


def _stretches(placed: Sequence[_Placed]) -> Iterator[list[_Placed]]:
    near: list[_Placed] = []
    for each in placed:
        key, start, stop, _ = each
        if near and (
            key != near[-1][0]
            or start - near[-1][2] > GAP_BYTES_MAX
            or stop - near[0][1] > STRETCH_BYTES_MAX
        ):
            yield near
            near = []
        near.append(each)
    if near:
        yield near
