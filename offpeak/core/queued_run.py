"""What the queue of a pool tells of a run: enough to choose by, and nothing that changes with each of its shards."""

from __future__ import annotations

from dataclasses import dataclass

from offpeak.core.run import Run, Tier


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedRun:
    """A ready run that has shards never dispatched: at most `shards_left` of its `shards`, and at least seven eighths
    as many. `begun`: some were. The other fields are the run's own."""

    batch_id: str
    number: int
    account_id: str
    tier: Tier
    deadline: int
    created_at: int
    shards: int
    shards_left: int
    begun: bool = False
    lines: int = 0
    input_bytes: int = 0
    completion_tokens: int = 0

    @property
    def id(self) -> str:
        return f"{self.batch_id}.{self.number}"

    @property
    def urgency(self) -> tuple[int, int, str]:
        """The order within an account: lower comes first."""
        return self.tier, self.deadline, self.id


def queued(run: Run) -> QueuedRun:
    return QueuedRun(
        batch_id=run.batch_id, number=run.number, account_id=run.account_id, tier=run.tier,
        deadline=run.deadline, created_at=run.created_at, shards=run.shards,
        shards_left=run.shards_left, begun=run.cursor > 0, lines=run.lines, input_bytes=run.input_bytes,
        completion_tokens=run.completion_tokens,
    )  # fmt: skip
