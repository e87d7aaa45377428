"""Stand-alone requests: their rows, groups and gatherings, and the queue they travel in.

A request is ended, claimed and released by a conditional update of its one row, without reading it first: that is what
keeps a request at two writes (see docs/decisions/0009). All else is changed by `Changes.commit`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from offpeak.core.gathering import Gathering
from offpeak.core.group import Group
from offpeak.core.request import Request, RequestEnding

QUEUE_DELAY_SECONDS_MAX = 900
"""What SQS takes."""


class Verdict(StrEnum):
    """changed: this very call moved the row. repeated: it stood so already. refused: it moves another way."""

    CHANGED = "changed"
    REPEATED = "repeated"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What became of one update, and the row as it is now; None for one that is not there."""

    verdict: Verdict
    request: Request | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupClaim:
    """Who puts requests into which group, in which call."""

    account_id: str
    group_id: str
    token: str


class Requests(Protocol):
    def get(self, account_id: str, request_id: str) -> Request: ...
    def get_many(self, request_ids: Sequence[str]) -> Sequence[Request]:
        """Those that are there, in any order. Strongly consistent."""
        ...

    def untold(self, window_ended_by: int, limit: int) -> Sequence[Request]:
        """Of all accounts, those with a callback that have not ended though their window has, by then: the longest
        ended first. May lag behind by a moment."""
        ...

    def end(self, endings: Sequence[RequestEnding]) -> Sequence[Moved]:
        """Each by itself; in the order of `endings`. One that has ended otherwise stays as it is."""
        ...

    def claim(self, claim: GroupClaim, request_ids: Sequence[str]) -> Sequence[Moved]:
        """Refused is one that is not there, not the account's, or claimed by another call."""
        ...

    def release(self, claim: GroupClaim, request_ids: Sequence[str]) -> None:
        """Takes the claim off those that carry it."""
        ...


class Groups(Protocol):
    def get(self, account_id: str, group_id: str) -> Group: ...
    def open(self) -> Iterator[Group]:
        """Every group that has not ended, of all accounts. May lag behind by a moment."""
        ...

    def has_open_members(self, group_id: str) -> bool:
        """May lag behind by a moment: a hint of when it is worth looking at each."""
        ...


class Gatherings(Protocol):
    def get(self, lane_id: str, gathering_id: str) -> Gathering: ...
    def newest(self, lane_id: str) -> Gathering | None:
        """The lane's last one, open or sealed. Strongly consistent."""
        ...

    def since(self, lane_id: str, gathering_id: str) -> Iterator[Gathering]:
        """The lane's from this id on, the oldest first. Strongly consistent."""
        ...

    def open(self) -> Iterator[Gathering]:
        """Of all lanes. May lag behind by a moment."""
        ...


class RequestQueue(Protocol):
    def send(self, record: str, delay_seconds: int = 0) -> None:
        """To `collect_requests`, in at most 900 s. May arrive twice, and in any order."""
        ...


class GroupChecks(Protocol):
    def ask(self, account_id: str, group_id: str) -> None:
        """Somebody should see whether this group has ended. Asking twice does no harm."""
        ...
