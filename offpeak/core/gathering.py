"""A gathering: stand-alone requests of one lane, waiting together until they are worth a run.

    open ──full, due, or something runs anyway──► sealed: a batch of its own, without a file, and its run

A lane is what can share a run: a model, an endpoint, and a completion window, so that deadlines lie near. All
accounts share it: that is what fills a shard. The batch belongs to `GATHERING_ACCOUNT`, which has no keys, so nobody
sees it; its id begins with `gather_`, by which every step on the road knows it. What was appended is on the row, in one
conditional write: that, and nothing else, is what makes a request *collected*.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from offpeak.core.errors import StateConflict

GATHERING_ACCOUNT = "acct_gathering"
SEGMENTS_MAX = 400
"""Their list is the row: 400 are about 20 kB of it."""


def is_gathering(batch_id: str) -> bool:
    return batch_id.startswith("gather_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """`window_seconds` is the completion window of its requests."""

    model: str
    pool: str
    endpoint: str
    window_seconds: int

    @property
    def id(self) -> str:
        return f"{self.model}#{self.endpoint}#{self.window_seconds}"


@dataclass(frozen=True, slots=True, kw_only=True)
class GatheredSegment:
    """Request lines in the bytes [start, stop) of `work/segments/{name}.jsonl`."""

    name: str
    start: int
    stop: int
    lines: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What one collection brings into one lane: its segments, the ids at both ends, the deadlines at both ends, and
    the sum of what its requests may generate at most."""

    segments: tuple[GatheredSegment, ...]
    oldest: str
    newest: str
    first_deadline: int
    last_deadline: int
    completion_tokens: int

    @property
    def lines(self) -> int:
        return sum(segment.lines for segment in self.segments)

    @property
    def bytes(self) -> int:
        return sum(segment.stop - segment.start for segment in self.segments)


class GatheringStatus(StrEnum):
    OPEN = "open"
    SEALED = "sealed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathering:
    """One gathering's row. It is sealed at `due_at` at the latest. Times are seconds since the epoch."""

    id: str
    lane: Lane
    opened_at: int
    due_at: int
    status: GatheringStatus = GatheringStatus.OPEN
    segments: tuple[GatheredSegment, ...] = ()
    lines: int = 0
    bytes: int = 0
    completion_tokens: int = 0
    oldest: str = ""
    newest: str = ""
    first_deadline: int = 0
    last_deadline: int = 0
    sealed_at: int | None = None
    version: int = 0

    @property
    def is_open(self) -> bool:
        return self.status is GatheringStatus.OPEN

    def has_room(self, collected: Collected) -> bool:
        return self.is_open and len(self.segments) + len(collected.segments) <= SEGMENTS_MAX

    def appended(self, collected: Collected, due_at: int) -> Gathering:
        """Raises StateConflict when it is sealed."""
        if not self.is_open:
            raise StateConflict(f"Gathering {self.id} is sealed.")
        empty = not self.segments
        return replace(
            self, segments=self.segments + collected.segments,
            lines=self.lines + collected.lines, bytes=self.bytes + collected.bytes,
            completion_tokens=self.completion_tokens + collected.completion_tokens,
            oldest=collected.oldest if empty else min(self.oldest, collected.oldest),
            newest=max(self.newest, collected.newest),
            first_deadline=collected.first_deadline if empty
            else min(self.first_deadline, collected.first_deadline),
            last_deadline=max(self.last_deadline, collected.last_deadline),
            due_at=min(self.due_at, due_at),
        )  # fmt: skip

    def sealed(self, now: int) -> Gathering:
        if not self.is_open or not self.segments:
            raise StateConflict(f"Gathering {self.id} is {self.status}, {self.lines} lines.")
        return replace(self, status=GatheringStatus.SEALED, sealed_at=now)

    def spans(self, request_id: str) -> bool:
        """Whether it may hold this request: ids sort by birth, and a queue keeps nearly that order."""
        return self.oldest <= request_id <= self.newest
