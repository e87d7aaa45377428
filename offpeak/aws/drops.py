"""Putting a dropped object back into its queue, as a notice like S3's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import quote_plus

from offpeak.aws.errors import translated

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

PAUSE_SECONDS = 300


class SqsDrops:
    def __init__(self, client: SQSClient, queue_url: str, bucket: str) -> None:
        self._client = client
        self._queue_url = queue_url
        self._bucket = bucket

    def put_back(self, key: str) -> None:
        place = {"bucket": {"name": self._bucket}, "object": {"key": quote_plus(key, safe="/")}}
        event = {"Records": [{"s3": place}]}
        with translated(f"queue of drops for {key}"):
            self._client.send_message(
                QueueUrl=self._queue_url,
                MessageBody=json.dumps(event),
                DelaySeconds=PAUSE_SECONDS,
            )
