"""Waiting for a batch, with a limit."""

from __future__ import annotations

import time
from collections.abc import Callable

from openai import OpenAI
from openai.types import Batch

ENDED = frozenset({"completed", "failed", "expired", "cancelled"})


def until(
    client: OpenAI,
    batch_id: str,
    reached: Callable[[Batch], bool],
    seconds_max: float = 60.0,
    *,
    meanwhile: Callable[[], None] = lambda: None,
) -> Batch:
    """The batch, as soon as `reached` is true of it; `meanwhile` is called between two looks."""
    give_up_at = time.monotonic() + seconds_max
    while True:
        batch = client.batches.retrieve(batch_id)
        if reached(batch):
            return batch
        counts = batch.request_counts
        assert time.monotonic() < give_up_at, (
            f"{batch_id} is {batch.status} ({counts}) after {seconds_max} s"
        )
        assert batch.status not in ENDED, (
            f"{batch_id} ended {batch.status} ({counts}, {batch.errors})"
        )
        meanwhile()
        time.sleep(0.2)


def until_ended(
    client: OpenAI,
    batch_id: str,
    seconds_max: float = 60.0,
    *,
    meanwhile: Callable[[], None] = lambda: None,
) -> Batch:
    return until(
        client, batch_id, lambda batch: batch.status in ENDED, seconds_max, meanwhile=meanwhile
    )


def completed(count: int) -> Callable[[Batch], bool]:
    """At least so many lines are done."""
    return lambda batch: (
        batch.request_counts is not None and batch.request_counts.completed >= count
    )
