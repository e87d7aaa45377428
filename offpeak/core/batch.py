"""A batch: the API's object, and the moves its life may make.

                    ┌────────── bad lines ──────────► failed
    validating ─────┤
        │           └──► in_progress ──► finalizing ──► completed
        │                     │              └────────► expired      (its window ran out)
        └──── cancel ─────────┴──► cancelling ────────► cancelled

Done lines are kept in every ending but `failed`, which comes before any line ran. A move that is not drawn raises
StateConflict. Counts and usage of a batch that runs are its runs' and open shards'; they are written here at the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Literal

from offpeak.core.account import Billing
from offpeak.core.drop import DropSource
from offpeak.core.errors import StateConflict
from offpeak.core.footprint import Footprint
from offpeak.core.schedule import SCHEDULE_DEFAULT, Schedule
from offpeak.core.usage import Counts, Usage


class BatchStatus(StrEnum):
    VALIDATING = "validating"
    FAILED = "failed"
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    EXPIRED = "expired"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"


TERMINAL = frozenset(
    {BatchStatus.FAILED, BatchStatus.COMPLETED, BatchStatus.EXPIRED, BatchStatus.CANCELLED}
)
_MOVES = {
    BatchStatus.VALIDATING: {BatchStatus.FAILED, BatchStatus.IN_PROGRESS, BatchStatus.CANCELLING},
    BatchStatus.IN_PROGRESS: {BatchStatus.FINALIZING, BatchStatus.CANCELLING},
    BatchStatus.FINALIZING: {BatchStatus.COMPLETED, BatchStatus.EXPIRED},
    BatchStatus.CANCELLING: {BatchStatus.CANCELLED},
}
OnInvalid = Literal["fail", "skip"]
Accent = Literal["openai", "together", "drop", "exxa"]
"""How a batch came: it says what its lines may leave out, and who shows it."""
TASK_TOKENS_MAX = 21
"""As many as RunShards is tried: any of its calls may come late, and only one token is waited on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One batch's row. Times are whole seconds since the epoch. `errors_key` points at the list of bad lines.
    `earlier_tokens` are those that RunShards waited on before it was retried. `input_etag` pins an input that its owner
    may replace; `drop` is where a batch came from that nobody created by a call. `enqueued_tokens` are its input's by
    model, estimated: roughly while it is validated, line by line once planned, and then `holds_enqueued` says whether
    they are in the account's row of such until it ends. The account's billing mode when the batch was planned holds
    to its end; `held_microdollars` is what is set aside for it until then. `at_risk_at`: since when it is expected to
    miss `expires_at`; None while it isn't, and once its runs have ended."""

    id: str
    account_id: str
    input_file_id: str
    input_key: str
    input_bytes: int
    endpoint: str
    completion_window: str
    created_at: int
    expires_at: int
    accent: Accent = "openai"
    on_invalid: OnInvalid = "fail"
    schedule: Schedule = SCHEDULE_DEFAULT
    metadata: Mapping[str, str] | None = None
    output_expires_after: int | None = None
    input_etag: str | None = None
    drop: DropSource | None = None
    status: BatchStatus = BatchStatus.VALIDATING
    model: str | None = None
    counts: Counts = Counts()
    usage: Usage | None = None
    enqueued_tokens: Mapping[str, int] = field(default_factory=dict)
    holds_enqueued: bool = False
    invalid_lines: int = 0
    errors_key: str | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    billing: Billing = Billing.OFF
    held_microdollars: int = 0
    cost_microdollars: int | None = None
    footprint: Footprint | None = None
    in_progress_at: int | None = None
    finalizing_at: int | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    expired_at: int | None = None
    cancelling_at: int | None = None
    cancelled_at: int | None = None
    at_risk_at: int | None = None
    task_token: str | None = None
    earlier_tokens: tuple[str, ...] = ()
    version: int = 0

    @property
    def is_terminal(self) -> bool:
        return self.status in TERMINAL

    def failed(self, *, errors_key: str, counts: Counts, now: int) -> Batch:
        moved = self._moved(BatchStatus.FAILED)
        return replace(moved, errors_key=errors_key, counts=counts, failed_at=now)

    def planned(
        self, *, model: str | None, total: int, invalid_lines: int, now: int,
        enqueued_tokens: Mapping[str, int] | None = None, holds_enqueued: bool = False,
        billing: Billing = Billing.OFF, held_microdollars: int = 0,
    ) -> Batch:  # fmt: skip
        """Validated and cut into runs. A batch cancelled meanwhile stays `cancelling`."""
        moved = (
            self if self.status is BatchStatus.CANCELLING else self._moved(BatchStatus.IN_PROGRESS)
        )
        return replace(
            moved, model=model, invalid_lines=invalid_lines, in_progress_at=self.in_progress_at or now,
            counts=Counts(total=total, failed=invalid_lines),
            enqueued_tokens=enqueued_tokens or {}, holds_enqueued=holds_enqueued,
            billing=billing, held_microdollars=held_microdollars,
        )  # fmt: skip

    def awaiting(self, task_token: str) -> Batch:
        """RunShards waits on this token. When it was retried, a late call of its first try may come after the second's:
        which token still waits can't be told, so all are kept, and all are answered."""
        if task_token in self.task_tokens:
            return self
        earlier = self.task_tokens[-(TASK_TOKENS_MAX - 1) :]
        return replace(self, task_token=task_token, earlier_tokens=earlier)

    @property
    def task_tokens(self) -> tuple[str, ...]:
        return (*self.earlier_tokens, self.task_token) if self.task_token else ()

    def finalizing(self, now: int) -> Batch:
        """A batch that is being cancelled stays so; `finalizing_at` is set all the same."""
        moved = (
            self if self.status is BatchStatus.CANCELLING else self._moved(BatchStatus.FINALIZING)
        )
        return replace(moved, finalizing_at=self.finalizing_at or now, at_risk_at=None)

    def cancelling(self, now: int) -> Batch:
        return replace(self._moved(BatchStatus.CANCELLING), cancelling_at=now, at_risk_at=None)

    def at_risk(self, now: int) -> Batch:
        """It is expected to miss its deadline. Raises StateConflict unless its runs are at work."""
        if self.status is not BatchStatus.IN_PROGRESS:
            raise StateConflict(f"Batch {self.id} is {self.status}.", code="batch_" + self.status)
        return replace(self, at_risk_at=self.at_risk_at or now)

    def recovered(self) -> Batch:
        """It is expected to end in its window after all."""
        return replace(self, at_risk_at=None)

    def ended(
        self, status: BatchStatus, *, counts: Counts, usage: Usage | None, output_file_id: str | None,
        error_file_id: str | None, now: int, cost_microdollars: int | None = None,
        footprint: Footprint | None = None,
    ) -> Batch:  # fmt: skip
        """To `completed`, `expired` or `cancelled`, with what was produced."""
        return replace(
            self._moved(status), counts=counts, usage=usage, output_file_id=output_file_id,
            error_file_id=error_file_id, task_token=None, earlier_tokens=(), at_risk_at=None,
            cost_microdollars=cost_microdollars, held_microdollars=0, holds_enqueued=False,
            footprint=footprint,
            completed_at=now if status is BatchStatus.COMPLETED else None,
            expired_at=now if status is BatchStatus.EXPIRED else None,
            cancelled_at=now if status is BatchStatus.CANCELLED else None,
        )  # fmt: skip

    def _moved(self, status: BatchStatus) -> Batch:
        if status not in _MOVES.get(self.status, ()):
            raise StateConflict(
                f"Batch {self.id} is {self.status}; it can't become {status}.",
                code="batch_" + self.status,
            )
        return replace(self, status=status)
