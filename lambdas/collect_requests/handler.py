"""Records of the queue of stand-alone requests. One that is not taken in is delivered again, the others are done."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from offpeak.aws.connect import Aws
from offpeak.steps.collect_requests import Received, collect_requests

logger = Logger(service="collect_requests")
aws = Aws.from_environment()


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001
    received = [
        Received(
            record_id=record["messageId"],
            text=record["body"],
            receives=int(record["attributes"]["ApproximateReceiveCount"]),
        )
        for record in event["Records"]
    ]
    failed = collect_requests(
        received, clock=aws.clock, catalogue=aws.catalogue, reader=aws.reader, writer=aws.writer,
        changes=aws.changes, requests=aws.requests, gatherings=aws.gatherings, runs=aws.runs,
        shards=aws.shards, workflows=aws.workflows, request_queue=aws.request_queue,
        callbacks=aws.callbacks,
    )  # fmt: skip
    logger.info("collected", extra={"records": len(received), "failed": len(failed)})
    return {"batchItemFailures": [{"itemIdentifier": record} for record in failed]}
