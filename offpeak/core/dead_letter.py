"""What was given up: records that a function failed on too often, in the dead-letter queue beside their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

READERS: Mapping[str, str] = {
    "dispatch.fifo": "dispatch_shards",
    "shard-ended": "complete_shard",
    "batch-ended": "queue_deliveries",
    "callbacks": "deliver_callbacks",
    "requests": "collect_requests",
    "groups": "finalize_group",
    "dropped": "ingest_drop",
}
"""Every queue of a deployment, by its name without the deployment's, and the function that reads it."""
FIFO = ".fifo"


def dead_name(queue: str) -> str:
    stem = queue.removesuffix(FIFO)
    return f"{stem}-dead{queue.removeprefix(stem)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadQueue:
    """The dead-letter queue beside the queue that its `letters`, about so many, were `meant_for` (one of `READERS`)."""

    meant_for: str
    letters: int

    @property
    def name(self) -> str:
        """Without the deployment's."""
        return dead_name(self.meant_for)

    @property
    def reader(self) -> str:
        return READERS[self.meant_for]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """One record. `sent_at` is when it was first sent, seconds since the epoch. Its `body` may hold prompts: what
    may be shown of it is a `LetterSummary`."""

    id: str
    sent_at: int
    body: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterSummary:
    """What may be shown of a record."""

    id: str
    sent_at: int
    names: Mapping[str, str]
