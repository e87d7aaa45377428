"""Cuts an input file into the byte ranges that are validated side by side: the input of `process_batch`."""

from __future__ import annotations

from typing import Any

from offpeak.core.batch import Batch

RANGE_BYTES = 64 << 20


def byte_ranges(size: int) -> list[dict[str, int]]:
    """Ranges [start, stop) that cover `size` bytes, not aligned to lines. An empty file has none."""
    return [
        {"index": index, "start": start, "stop": min(start + RANGE_BYTES, size)}
        for index, start in enumerate(range(0, size, RANGE_BYTES))
    ]


def workflow_input(batch: Batch) -> dict[str, Any]:
    """What an execution of `process_batch` for this batch is started with; its name is the batch's id.

    `dropped`, if it is there: its results are delivered to the drop folder, too.
    """
    payload: dict[str, Any] = {
        "account_id": batch.account_id,
        "batch_id": batch.id,
        "ranges": byte_ranges(batch.input_bytes),
    }
    return payload if batch.drop is None else {**payload, "dropped": True}
