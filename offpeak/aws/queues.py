"""The queues of stand-alone requests: records for the collector, and groups to look at."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from offpeak.aws.errors import translated

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

INDEX_LAG_SECONDS = 2
"""Whoever asks has just changed rows, and the index of open members follows a moment later."""


class SqsRequestQueue:
    def __init__(self, client: SQSClient, queue_url: str) -> None:
        self._client = client
        self._queue_url = queue_url

    def send(self, record: str, delay_seconds: int = 0) -> None:
        with translated("request queue"):
            self._client.send_message(
                QueueUrl=self._queue_url, MessageBody=record, DelaySeconds=delay_seconds
            )


class SqsGroupChecks:
    def __init__(self, client: SQSClient, queue_url: str) -> None:
        self._client = client
        self._queue_url = queue_url

    def ask(self, account_id: str, group_id: str) -> None:
        with translated(f"queue of groups for {group_id}"):
            self._client.send_message(
                QueueUrl=self._queue_url,
                MessageBody=json.dumps({"account_id": account_id, "group_id": group_id}),
                DelaySeconds=INDEX_LAG_SECONDS,
            )
