"""Records of the queue of ended batches, and of those at risk, as EventBridge announces them. One that fails is
delivered again."""

from __future__ import annotations

import json
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from offpeak.aws.connect import Aws
from offpeak.steps.queue_deliveries import queue_deliveries

logger = Logger(service="queue_deliveries")
aws = Aws.from_environment()


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001
    failed: list[str] = []
    for record in event["Records"]:
        try:
            queue(json.loads(record["body"]))
        except Exception:
            logger.exception("not queued", extra={"record": record["messageId"]})
            failed.append(record["messageId"])
    return {"batchItemFailures": [{"itemIdentifier": record} for record in failed]}


def queue(announcement: dict[str, Any]) -> None:
    detail = announcement["detail"]
    queued = queue_deliveries(
        detail["account_id"], detail["batch_id"], announcement.get("detail-type"),
        clock=aws.clock, batches=aws.batches, webhooks=aws.webhooks, changes=aws.changes,
        callbacks=aws.callbacks,
    )  # fmt: skip
    logger.info("queued", extra={"batch_id": detail["batch_id"], "deliveries": queued})
