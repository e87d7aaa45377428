"""Records of the queue of SageMaker's notices. One that fails is delivered again, the others are done."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from offpeak.aws.connect import Aws
from offpeak.steps.complete_shard import complete_shard
from offpeak.steps.grid_hours import GridHours
from offpeak.wire.notices import parse_notice

logger = Logger(service="complete_shard")
aws = Aws.from_environment()
grid_hours = GridHours()
bucket = os.environ["OFFPEAK_BUCKET"]


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001
    failed: list[str] = []
    for record in event["Records"]:
        try:
            complete(record["body"])
        except Exception:
            logger.exception("not taken in", extra={"record": record["messageId"]})
            failed.append(record["messageId"])
    return {"batchItemFailures": [{"itemIdentifier": record} for record in failed]}


def complete(body: str) -> None:
    notice = parse_notice(body, bucket)
    if notice is None:
        return
    moved = complete_shard(
        notice, clock=aws.clock, catalogue=aws.catalogue, reader=aws.reader, accounts=aws.accounts,
        batches=aws.batches, runs=aws.runs, shards=aws.shards, changes=aws.changes,
        workflows=aws.workflows, dispatches=aws.dispatches, requests=aws.requests,
        group_checks=aws.group_checks, callbacks=aws.callbacks, ledger=aws.ledger,
        work_metrics=aws.work_metrics, region=aws.region, grid_hours=grid_hours,
    )  # fmt: skip
    status = moved.status if moved else "unchanged"
    logger.info("noticed", extra={**asdict(notice), "status": status})
