"""Stand-alone requests, their groups and gatherings in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from offpeak.core.errors import NotFound
from offpeak.core.gathering import Gathering
from offpeak.core.group import Group
from offpeak.core.ports import GroupClaim, Moved, Verdict
from offpeak.core.request import Request, RequestEnding
from offpeak.memory.rows import Tables

Judged = tuple[Verdict, Request | None]


class MemoryRequests:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def get(self, account_id: str, request_id: str) -> Request:
        found = self._tables.find(Request, request_id)
        if found.account_id != account_id:
            raise NotFound(f"There is no request {request_id}.")
        return found

    def get_many(self, request_ids: Sequence[str]) -> Sequence[Request]:
        wanted = set(request_ids)
        return self._tables.select(Request, lambda request: request.id in wanted)

    def untold(self, window_ended_by: int, limit: int) -> Sequence[Request]:
        found = self._tables.select(
            Request,
            lambda request: (
                not request.has_ended
                and request.callback is not None
                and request.expires_at <= window_ended_by
            ),
        )
        return sorted(found, key=lambda request: (request.expires_at, request.id))[:limit]

    def end(self, endings: Sequence[RequestEnding]) -> Sequence[Moved]:
        def judge(request: Request, ending: RequestEnding) -> Judged:
            if not request.has_ended:
                return Verdict.CHANGED, request.ended(ending)
            return Verdict.REPEATED if request.ended_as(ending) else Verdict.REFUSED, request

        return [
            self._update(ending.request_id, lambda row, ending=ending: judge(row, ending))  # type: ignore[misc]
            for ending in endings
        ]

    def claim(self, claim: GroupClaim, request_ids: Sequence[str]) -> Sequence[Moved]:
        def judge(request: Request) -> Judged:
            if request.account_id != claim.account_id:
                return Verdict.REFUSED, None
            if request.claim == claim.token:
                return Verdict.REPEATED, request
            if request.group_id is not None:
                return Verdict.REFUSED, request
            return Verdict.CHANGED, replace(request, group_id=claim.group_id, claim=claim.token)

        return [self._update(request_id, judge) for request_id in request_ids]

    def release(self, claim: GroupClaim, request_ids: Sequence[str]) -> None:
        def judge(request: Request) -> Judged:
            if request.claim != claim.token:
                return Verdict.REFUSED, request
            return Verdict.CHANGED, replace(request, group_id=None, claim=None)

        for request_id in request_ids:
            self._update(request_id, judge)

    def _update(self, request_id: str, judge: Callable[[Request], Judged]) -> Moved:
        """One row, looked at and changed under the lock, as a conditional update is."""
        with self._tables.lock:
            try:
                verdict, row = judge(self._tables.find(Request, request_id))
            except NotFound:
                return Moved(verdict=Verdict.REFUSED, request=None)
            if verdict is Verdict.CHANGED and row is not None:
                row = replace(row, version=row.version + 1)
                self._tables.rows[Request][row.id,] = row
        return Moved(verdict=verdict, request=row)


class MemoryGroups:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def get(self, account_id: str, group_id: str) -> Group:
        return self._tables.find(Group, account_id, group_id)

    def open(self) -> Iterator[Group]:
        yield from self._tables.select(
            Group, lambda group: not group.has_ended and bool(group.is_there or group.claims)
        )

    def has_open_members(self, group_id: str) -> bool:
        return bool(
            self._tables.select(
                Request, lambda request: request.group_id == group_id and not request.has_ended
            )
        )


class MemoryGatherings:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def get(self, lane_id: str, gathering_id: str) -> Gathering:
        return self._tables.find(Gathering, lane_id, gathering_id)

    def newest(self, lane_id: str) -> Gathering | None:
        found = self._of_lane(lane_id, "")
        return found[-1] if found else None

    def since(self, lane_id: str, gathering_id: str) -> Iterator[Gathering]:
        yield from self._of_lane(lane_id, gathering_id)

    def open(self) -> Iterator[Gathering]:
        yield from self._tables.select(Gathering, lambda gathering: gathering.is_open)

    def _of_lane(self, lane_id: str, first_id: str) -> list[Gathering]:
        return self._tables.select(Gathering, lambda g: g.lane.id == lane_id and g.id >= first_id)
