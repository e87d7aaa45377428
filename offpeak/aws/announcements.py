"""Ended batches as events on EventBridge: what they are and where they stand, never what was asked or answered."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from offpeak.aws.errors import translated
from offpeak.core.batch import Batch
from offpeak.core.completion import Completion
from offpeak.core.errors import Unavailable

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient

SOURCE = "offpeak"


class EventBridgeAnnouncements:
    def __init__(self, client: EventBridgeClient, bus: str) -> None:
        self._client = client
        self._bus = bus

    def announce(self, kind: str, batch: Batch, completion: Completion | None = None) -> None:
        with translated(f"event bus {self._bus}"):
            answer = self._client.put_events(
                Entries=[
                    {
                        "EventBusName": self._bus,
                        "Source": SOURCE,
                        "DetailType": kind,
                        "Detail": json.dumps(detail_of(batch, completion)),
                    }
                ]
            )
        if answer["FailedEntryCount"]:
            code = answer["Entries"][0].get("ErrorCode")
            raise Unavailable(f"The event {kind} of {batch.id} was not taken: {code}.")


def detail_of(batch: Batch, completion: Completion | None = None) -> dict[str, Any]:
    """The event's `detail`. Times are seconds since the epoch; a file that was not made is null."""
    counts = batch.counts
    return {
        "batch_id": batch.id,
        "account_id": batch.account_id,
        "status": str(batch.status),
        "model": batch.model,
        "endpoint": batch.endpoint,
        "input_file_id": batch.input_file_id,
        "output_file_id": batch.output_file_id,
        "error_file_id": batch.error_file_id,
        "request_counts": {
            "total": counts.total,
            "completed": counts.completed,
            "failed": counts.failed,
        },
        "created_at": batch.created_at,
        "estimated_completion": None if completion is None else asdict(completion),
    }
