"""Asking for dispatch: a message on a FIFO queue, one group a pool, so that one dispatcher at a time serves a pool."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING

from offpeak.aws.errors import translated

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


class SqsDispatches:
    def __init__(self, client: SQSClient, queue_url: str) -> None:
        self._client = client
        self._queue_url = queue_url

    def ask(self, pool: str) -> None:
        """Never deduplicated: an ask that comes while the last one is served may know of newer work."""
        with translated(f"dispatch queue for pool {pool}"):
            self._client.send_message(
                QueueUrl=self._queue_url,
                MessageGroupId=pool,
                MessageDeduplicationId=secrets.token_hex(16),
                MessageBody=json.dumps({"pool": pool}),
            )
