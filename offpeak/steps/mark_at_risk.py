"""Marks a batch that is expected to miss its deadline, tells of it, and takes the mark back when the risk is over."""

from __future__ import annotations

from offpeak.core.batch import Batch, BatchStatus
from offpeak.core.errors import StateConflict
from offpeak.core.gathering import is_gathering
from offpeak.core.ports import Announcements, Changes, Clock, Save
from offpeak.core.webhook import BATCH_AT_RISK
from offpeak.planner.at_risk import is_at_risk

ANNOUNCE_AGAIN_SECONDS = 150
"""For so long a mark is announced at each look: the row comes first, and who wrote it may have died before it told.
Receivers get one event all the same, by its id."""


def at_risk(batch: Batch, finishes_at: float | None, now: float) -> bool:
    """Whether the batch is, that is expected to end then; None: nothing of it is in a pool now. Those without a
    deadline of their own, or that are ending, never are."""
    if batch.status is not BatchStatus.IN_PROGRESS or is_gathering(batch.id):
        return False
    was = batch.at_risk_at is not None
    if now >= batch.expires_at:
        return was  # it ends for that very reason
    return is_at_risk(finishes_at, batch.expires_at, was=was)


def wants_mark(batch: Batch, finishes_at: float | None, now: float) -> bool:
    """Whether `mark_at_risk` has something to do."""
    at = batch.at_risk_at
    return at_risk(batch, finishes_at, now) is (at is None) or _is_new(batch, now)


def mark_at_risk(
    batch: Batch, finishes_at: float | None, *, clock: Clock, changes: Changes,
    announcements: Announcements | None,
) -> bool:  # fmt: skip
    """Whether its mark was changed. A batch that changes meanwhile is left to the next look."""
    now = int(clock.now())
    risk = at_risk(batch, finishes_at, now)
    marked = risk is (batch.at_risk_at is None)
    if marked:
        batch = batch.at_risk(now) if risk else batch.recovered()
        try:
            changes.commit(Save(batch))
        except StateConflict:
            return False
    if risk and _is_new(batch, now) and announcements is not None:
        announcements.announce(BATCH_AT_RISK, batch)
    return marked


def _is_new(batch: Batch, now: float) -> bool:
    return batch.at_risk_at is not None and now < batch.at_risk_at + ANNOUNCE_AGAIN_SECONDS
