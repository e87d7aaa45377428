"""A stand-alone request: sent by itself, addressed by itself, worked in a shard with whatever else waits.

    registered ──its shard has its result──► completed | failed
        ├──────────── cancel ──────────────► cancelled
        └── its window ran out, no result ─► failed (request_expired)

*In progress* is never stored: it is where a request's gathering is, and telling it costs no write. The row knows where
the result lies (`ResultRange`), never the result and never the body. It is written twice in its life: when it is
registered, and when it ends; whoever ends it second changes nothing, so a request has one result whatever was doubled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from offpeak.core.errors import StateConflict

KEPT_SECONDS = 14 * 86_400
"""How long a request and its result can be asked for after its window: as long as `work/` is kept."""


class RequestStatus(StrEnum):
    REGISTERED = "registered"
    IN_PROGRESS = "in progress"
    CANCELLED = "cancelled"
    COMPLETED = "completed"
    FAILED = "failed"


ENDED = frozenset({RequestStatus.CANCELLED, RequestStatus.COMPLETED, RequestStatus.FAILED})


@dataclass(frozen=True, slots=True)
class ResultRange:
    """A result line: the bytes [start, stop) of an object of a shard's results."""

    key: str
    start: int
    stop: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestEnding:
    """How a request ended. `result` is None where there is no line: `error_code` then says why."""

    request_id: str
    status: RequestStatus
    at: int
    result: ResultRange | None = None
    error_code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request's row. Times are whole seconds since the epoch. `accent` is the dialect it was sent in, and its
    callback is told in. `claim` is the call that put it into the group `group_id`; it counts once that call is
    committed (see `core/group.py`)."""

    id: str
    account_id: str
    model: str
    endpoint: str
    completion_window: str
    created_at: int
    expires_at: int
    accent: str = "exxa"
    metadata: Mapping[str, str] | None = None
    callback: str | None = None
    status: RequestStatus = RequestStatus.REGISTERED
    ended_at: int | None = None
    result: ResultRange | None = None
    error_code: str | None = None
    group_id: str | None = None
    claim: str | None = None
    version: int = 0

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED

    def ended(self, ending: RequestEnding) -> Request:
        """Raises StateConflict when it has ended before, the same way or another."""
        if self.has_ended:
            raise StateConflict(
                f"Request {self.id} is {self.status}.", code=f"request_{self.status}"
            )
        return replace(
            self, status=ending.status, ended_at=ending.at, result=ending.result,
            error_code=ending.error_code,
        )  # fmt: skip

    def ended_as(self, ending: RequestEnding) -> bool:
        """Whether `ending` is how it ended: told again, it changes nothing."""
        return (self.status, self.result, self.error_code) == (
            ending.status,
            ending.result,
            ending.error_code,
        )
