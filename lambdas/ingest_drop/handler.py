"""Records of the queue of S3's notices. One that fails is delivered again, the others are done."""

from __future__ import annotations

import os
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from offpeak.aws.connect import Aws
from offpeak.steps.ingest_drop import ingest_drop
from offpeak.wire.drop_events import parse_drop_event

logger = Logger(service="ingest_drop")
aws = Aws.from_environment()
bucket = os.environ["OFFPEAK_BUCKET"]


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001
    failed: list[str] = []
    for record in event["Records"]:
        try:
            ingest(record["body"])
        except Exception:
            logger.exception("not taken in", extra={"record": record["messageId"]})
            failed.append(record["messageId"])
    return {"batchItemFailures": [{"itemIdentifier": record} for record in failed]}


def ingest(body: str) -> None:
    for key in parse_drop_event(body, bucket):
        ingested = ingest_drop(
            key, clock=aws.clock, catalogue=aws.catalogue, accounts=aws.accounts, reader=aws.reader,
            writer=aws.writer, multipart=aws.multipart, changes=aws.changes, files=aws.files,
            batches=aws.batches, idempotency=aws.idempotency, workflows=aws.workflows,
            announcements=aws.announcements, drops=aws.drops,
        )  # fmt: skip
        logger.info("ingested", extra={"key": key, "ingested": ingested})
