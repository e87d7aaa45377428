"""A run: one batch's work for one model. It is what is scheduled; shards are cut from it by its cursor.

    held ──release──► ready ──all shards ended──► (ended: open == 0 and cursor == shards)
      └─────close──────► closing ──open ones ended──► (ended: open == 0)

The manifest in S3 holds one shard a line; the cursor is the next shard's number and its byte offset in it.
`open` counts this run's open shards; a shard's birth or end and the run's counts change in one transaction.
How urgent a run is among its account's is its *tier*, and within it the earliest deadline comes first:

    express   one shard of a few lines. It has slots of its own, and otherwise comes after `late`
    late      must be dispatched now to end in its window (planner/at_risk.py); the sweep says so
    short     a few shards: it holds the pool up for a moment, and somebody waits for it
    long      the rest
    offpeak   waits for the hours that the plan gives its pools (core/pool.py), until it is `late`
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum

from offpeak.core.errors import StateConflict
from offpeak.core.footprint import Metered
from offpeak.core.lengths import Lengths, together
from offpeak.core.pricing import Prices
from offpeak.core.schedule import SCHEDULE_DEFAULT, Schedule
from offpeak.core.shard import PlannedShard, Shard, ShardStatus
from offpeak.core.usage import Counts, Usage


class RunStatus(StrEnum):
    HELD = "held"
    READY = "ready"
    CLOSING = "closing"


class CloseReason(StrEnum):
    CANCELLED = "cancelled"
    EXPIRED = "expired"


EXPRESS_LINES_MAX = 100
"""About a minute's work of a shard's ten: what may have an express slot and not be in anybody's way."""
SHORT_SHARDS_MAX = 4
EXACT_SHARDS_MAX = 16
FORETOLD_AT = (0.1, 0.5)
"""Shares of its lines: what was estimated there is held against the end (steps/estimate_errors.py)."""


class Tier(IntEnum):
    """Lower is more urgent, but for `express`, whose order among the others the dispatcher decides."""

    EXPRESS = 0
    LATE = 1
    SHORT = 2
    LONG = 3
    OFFPEAK = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run's row. `deadline` is the batch's `expires_at`, `close_by` the end of the grace that claimed shards get
    when it closes; seconds since the epoch. `prices` are what its batch pays, whatever the catalogue says later;
    `input_bytes` those of its lines, `completion_tokens` the sum of what they may generate at most. `is_reordered`: its
    lines were put in the order of their prompts' prefixes, so that its shards' lines lie among each other's.
    `shard_seconds` is how long `shards_timed` of its shards took from their dispatch to their end, added up; `metered`
    is what those that have ended took of instances, in all of their attempts. `foretold` is when its end was expected
    at each of `FORETOLD_AT`, in seconds since the epoch; 0 where it went past too fast. `lengths` is how long
    answers were."""

    batch_id: str
    account_id: str
    number: int
    model: str
    pool: str
    endpoint: str
    manifest_key: str
    manifest_bytes: int
    shards: int
    lines: int
    deadline: int
    created_at: int
    input_bytes: int = 0
    status: RunStatus = RunStatus.HELD
    close_reason: CloseReason | None = None
    close_by: int | None = None
    cursor: int = 0
    cursor_byte: int = 0
    open: int = 0
    counts: Counts = Counts()
    usage: Usage = Usage()
    prices: Prices | None = None
    completion_tokens: int = 0
    is_reordered: bool = False
    late: bool = False
    schedule: Schedule = SCHEDULE_DEFAULT
    shard_seconds: int = 0
    shards_timed: int = 0
    metered: Metered | None = None
    foretold: tuple[int, ...] = ()
    lengths: Lengths = ()
    version: int = 0

    @property
    def id(self) -> str:
        return f"{self.batch_id}.{self.number}"

    @property
    def ended(self) -> bool:
        exhausted = self.status is RunStatus.CLOSING or self.cursor == self.shards
        return self.open == 0 and exhausted and self.status is not RunStatus.HELD

    @property
    def has_more(self) -> bool:
        """Shards that were never dispatched and may be."""
        return self.status is RunStatus.READY and self.cursor < self.shards

    @property
    def tier(self) -> Tier:
        if self.schedule is Schedule.OFFPEAK:
            return Tier.LATE if self.late else Tier.OFFPEAK
        if self.shards == 1 and self.lines <= EXPRESS_LINES_MAX:
            return Tier.EXPRESS
        if self.late:
            return Tier.LATE
        return Tier.SHORT if self.shards <= SHORT_SHARDS_MAX else Tier.LONG

    @property
    def shards_left(self) -> int:
        """Shards never dispatched, rounded up to three binary digits above `EXACT_SHARDS_MAX`: at most an eighth too
        many. It stands in an index, which is written each time that it changes: some eighty times in 5,000 shards."""
        left = self.shards - self.cursor
        if left < EXACT_SHARDS_MAX:
            return left
        step: int = 2 ** (left.bit_length() - 4)
        return min(self.shards, -(-left // step) * step)

    def released(self) -> Run:
        if self.status is not RunStatus.HELD:
            raise StateConflict(f"Run {self.id} is {self.status}.")
        return replace(self, status=RunStatus.READY)

    def marked_late(self, late: bool) -> Run:
        """It goes before others of its account, or no longer."""
        if not self.has_more:
            raise StateConflict(f"Run {self.id} has no shard to dispatch.")
        return replace(self, late=late)

    def closing(self, reason: CloseReason, close_by: int) -> Run:
        if self.status is RunStatus.CLOSING:
            raise StateConflict(f"Run {self.id} is already closing.")
        return replace(self, status=RunStatus.CLOSING, close_reason=reason, close_by=close_by)

    def advanced(self, cursor_byte: int) -> Run:
        """The shard under the cursor is dispatched; `cursor_byte` is where the next one's manifest line begins."""
        if not self.has_more:
            raise StateConflict(f"Run {self.id} has no shard to dispatch.")
        return replace(self, cursor=self.cursor + 1, cursor_byte=cursor_byte, open=self.open + 1)

    def with_lengths(self, lengths: Lengths) -> Run:
        """And those of one more attempt."""
        return replace(self, lengths=together(self.lengths, lengths)) if lengths else self

    def awaits_foretelling(self) -> bool:
        """Whether it has come past a mark at which its end is to be foretold."""
        marks = FORETOLD_AT[len(self.foretold) :]
        return bool(marks) and self.counts.finished >= marks[0] * self.lines and not self.ended

    def with_foretold(self, end: int) -> Run:
        """At the furthest mark that it has passed; those before it were passed at once."""
        passed = sum(self.counts.finished >= mark * self.lines for mark in FORETOLD_AT)
        skipped = (0,) * (passed - 1 - len(self.foretold))
        return replace(self, foretold=(*self.foretold, *skipped, end))

    def first_row(
        self, planned: PlannedShard, *, manifest_start: int, manifest_stop: int, status: ShardStatus,
        due_at: int, dispatched_at: int = 0, region: str | None = None,
    ) -> Shard:  # fmt: skip
        """The row that one of its shards is born with. Its manifest line is at [manifest_start, manifest_stop)."""
        return Shard(
            batch_id=self.batch_id, account_id=self.account_id, run=self.number,
            number=planned.number, pool=self.pool, manifest_start=manifest_start,
            manifest_stop=manifest_stop, first_line=planned.first_line,
            last_line=planned.last_line, lines=planned.lines, status=status, attempt=1,
            due_at=due_at, dispatched_at=dispatched_at, express=self.tier is Tier.EXPRESS,
            region=region,
        )  # fmt: skip

    def shard_ended(
        self, counts: Counts, usage: Usage, seconds: int = 0, metered: Metered | None = None
    ) -> Run:
        """An open shard is done, `seconds` after its dispatch where that is known; or closed with what its worker had
        told of its progress: counts for showing, then; the batch's own are added up from its shards when it is
        finalised."""
        return replace(
            self, open=self.open - 1, counts=self.counts + counts, usage=self.usage + usage,
            shard_seconds=self.shard_seconds + seconds,
            shards_timed=self.shards_timed + (1 if seconds else 0),
            metered=self.metered if metered is None else metered + (self.metered or Metered()),
        )  # fmt: skip
