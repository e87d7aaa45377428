"""A shard: the unit of work. A few thousand request lines of one model, worked by one invocation at a time.

    (no row) ──dispatch──► dispatched ──claim──► claimed ──finish──────────────────────► done
                             ▲   │                 │ │                                    ▲
                             │   └──lease lost──┐  │ └──run closing──► closed ──harvest───┘
                             │                  ▼  ▼                     ▲
                             └────redispatch── waiting ──run closing─────┤
                                                 │   └──failed too often─┤
                                                 └─bisected──► waiting ──┘

A row is born at its first dispatch, or closed when it is harvested without one. `attempt` counts dispatches and
harvests, and fences: whoever holds an older attempt can change nothing. `dispatched`, `claimed` and `waiting` are
*open*. Every move is a conditional write on `version`. A shard that keeps failing is *bisected*: its attempts work one
of its `probes` each, until every line has its result or is known to be to blame (planner/bisect_shard.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from offpeak.core.errors import StateConflict
from offpeak.core.footprint import Metered
from offpeak.core.usage import Counts, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Consecutive request lines: the bytes [start, stop) of an object, the first of them line `first_line` (from 1).
    `etag` pins an object that its owner may replace.

    Where lines were rewritten in another order each carries its number, and only bounds are known here: `first_line`
    is the lowest that it may have, `last_line` the highest."""

    key: str
    start: int
    stop: int
    first_line: int
    lines: int
    etag: str | None = None
    last_line: int | None = None

    @property
    def is_numbered(self) -> bool:
        """Whether each line carries its number."""
        return self.last_line is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedShard:
    """A shard as its run's manifest holds it: cut, but not dispatched. It has segments: in line order, unless its run
    was reordered. None of its lines is outside `first_line` to `last_line`."""

    number: int
    segments: tuple[Segment, ...]

    @property
    def first_line(self) -> int:
        return min(segment.first_line for segment in self.segments)

    @property
    def last_line(self) -> int:
        return max(each.last_line or each.first_line + each.lines - 1 for each in self.segments)

    @property
    def lines(self) -> int:
        return sum(segment.lines for segment in self.segments)

    @property
    def bytes(self) -> int:
        return sum(segment.stop - segment.start for segment in self.segments)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultObject:
    """Finished result lines in S3, in input order."""

    key: str
    bytes: int
    lines: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What one attempt at a bisected shard works: its lines `first` to before `stop`, counted from 0 in the order of
    its segments. `failures` are those of this very probe."""

    first: int
    stop: int
    failures: int = 0

    @property
    def lines(self) -> int:
        return self.stop - self.first


class ShardStatus(StrEnum):
    DISPATCHED = "dispatched"
    CLAIMED = "claimed"
    WAITING = "waiting"
    DONE = "done"
    CLOSED = "closed"


OPEN = frozenset({ShardStatus.DISPATCHED, ShardStatus.CLAIMED, ShardStatus.WAITING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """One shard's row. `due_at` is when somebody must look again: the end of the lease of a dispatched or claimed
    shard, the earliest re-dispatch of a waiting one. Times are seconds since the epoch. `engine_failed` says why a
    closed shard was closed: its attempts failed too often, its run may be going on. `routed`: a gathering's shard, its
    results have reached the requests they answer. `seconds` is how long a done shard took since the dispatch of its
    last attempt, `dispatched_at`; 0 where that isn't known. `express`: its run is of that tier. `pool` is its model's,
    `region` the one whose instances have its last attempt; None is home. `progress_tokens` are the output tokens of its
    finished lines and of those that ran when its worker last told; `metered` is what its attempts took of instances.
    `probes` are what is left to try of a bisected shard, the next one first; none of any other."""

    batch_id: str
    account_id: str
    run: int
    number: int
    pool: str
    manifest_start: int
    manifest_stop: int
    first_line: int
    last_line: int
    lines: int
    status: ShardStatus
    attempt: int
    due_at: int
    failures: int = 0
    engine_failed: bool = False
    worker: str | None = None
    progress: Counts = Counts()
    progress_tokens: int = 0
    counts: Counts = Counts()
    usage: Usage = Usage()
    output: ResultObject | None = None
    errors: ResultObject | None = None
    report_key: str | None = None
    routed: bool = False
    express: bool = False
    dispatched_at: int = 0
    region: str | None = None
    seconds: int = 0
    metered: Metered | None = None
    probes: tuple[Probe, ...] = ()
    version: int = 0

    @property
    def id(self) -> str:
        return f"{self.batch_id}.{self.run}.{self.number}"

    @property
    def invocation_id(self) -> str:
        """SageMaker's InferenceId: the shard and its attempt (at most 64 characters)."""
        return f"{self.id}.{self.attempt}"

    @property
    def is_open(self) -> bool:
        return self.status in OPEN

    def claimed(self, attempt: int, worker: str, lease_until: int) -> Shard:
        """A worker takes attempt `attempt`. Raises StateConflict when that attempt is stale or taken."""
        if self.attempt != attempt or self.status is not ShardStatus.DISPATCHED:
            raise StateConflict(
                f"Shard {self.id} is {self.status} at attempt {self.attempt}, not waiting for attempt {attempt}.",
                code="superseded",
            )
        return replace(self, status=ShardStatus.CLAIMED, worker=worker, due_at=lease_until)

    def renewed(self, lease_until: int, progress: Counts, progress_tokens: int = 0) -> Shard:
        self._require(ShardStatus.CLAIMED)
        return replace(self, due_at=lease_until, progress=progress, progress_tokens=progress_tokens)

    def waiting(self, *, retry_at: int, failed: bool) -> Shard:
        """Back to the dispatcher: the attempt was lost or failed, or stopped half way (`failed=False`)."""
        self._require(ShardStatus.DISPATCHED, ShardStatus.CLAIMED)
        return replace(
            self,
            status=ShardStatus.WAITING,
            due_at=retry_at,
            worker=None,
            failures=self.failures + int(failed),
        )

    def probing(self, probes: tuple[Probe, ...]) -> Shard:
        """These are left to try, of its lines that have no result. With none left it is over: see `closed`."""
        self._require(ShardStatus.WAITING)
        return replace(self, probes=probes)

    @property
    def probe(self) -> Probe | None:
        """What its present or next attempt works, where that is not all of it."""
        return self.probes[0] if self.probes else None

    def redispatched(
        self, claim_until: int, dispatched_at: int = 0, region: str | None = None
    ) -> Shard:
        self._require(ShardStatus.WAITING)
        return replace(
            self, status=ShardStatus.DISPATCHED, attempt=self.attempt + 1, due_at=claim_until,
            dispatched_at=dispatched_at, region=region,
        )  # fmt: skip

    def done(
        self,
        *,
        counts: Counts,
        usage: Usage,
        output: ResultObject | None,
        errors: ResultObject | None,
        report_key: str | None,
        seconds: int = 0,
    ) -> Shard:
        """Every line has its result. The objects named here win over those of any other attempt."""
        if self.status is ShardStatus.DONE:
            raise StateConflict(f"Shard {self.id} is already done.", code="superseded")
        if counts.finished != self.lines:
            raise StateConflict(
                f"Shard {self.id} has {self.lines} lines, its report {counts.finished}.",
                code="report_incomplete",
            )
        return replace(
            self, status=ShardStatus.DONE, counts=counts, usage=usage, progress=counts,
            output=output, errors=errors, report_key=report_key, worker=None, seconds=seconds,
        )  # fmt: skip

    def also_metered(self, metered: Metered) -> Shard:
        """What one more attempt took of its instance."""
        return replace(self, metered=metered + (self.metered or Metered()))

    def as_routed(self) -> Shard:
        self._require(ShardStatus.DONE)
        return replace(self, routed=True)

    def closed(self, *, engine_failed: bool = False) -> Shard:
        """It ends early; what its checkpoints hold is harvested when the batch is finalised."""
        self._require(*OPEN)
        return replace(self, status=ShardStatus.CLOSED, worker=None, engine_failed=engine_failed)

    def harvesting(self) -> Shard:
        """A harvest takes the next attempt: workers and earlier harvests of this shard can change nothing any more."""
        self._require(ShardStatus.CLOSED)
        return replace(self, attempt=self.attempt + 1)

    def _require(self, *statuses: ShardStatus) -> None:
        if self.status not in statuses:
            raise StateConflict(f"Shard {self.id} is {self.status}.", code="superseded")
