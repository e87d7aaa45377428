"""The state CloseBatch: `{"account_id", "batch_id"}` → `{"harvest": [{"run", "first", "last"}, …]}`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from offpeak.aws.connect import Aws
from offpeak.steps.close_batch import close_batch

logger = Logger(service="close_batch")
aws = Aws.from_environment()


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001
    logger.append_keys(batch_id=event["batch_id"])
    chunks = close_batch(
        event["account_id"], event["batch_id"], clock=aws.clock, batches=aws.batches,
        runs=aws.runs, shards=aws.shards, changes=aws.changes,
    )  # fmt: skip
    logger.info("closed", extra={"chunks": len(chunks)})
    return {"harvest": [asdict(chunk) for chunk in chunks]}
