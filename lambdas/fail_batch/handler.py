"""The state FailBatch, reached from the Catch of ValidateInput and PlanShards: `{"account_id", "batch_id"}`."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from offpeak.aws.connect import Aws
from offpeak.steps.fail_batch import fail_batch

logger = Logger(service="fail_batch")
aws = Aws.from_environment()


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, str]:  # noqa: ARG001
    logger.append_keys(batch_id=event["batch_id"])
    following = fail_batch(
        event["account_id"], event["batch_id"], clock=aws.clock, batches=aws.batches,
        runs=aws.runs, changes=aws.changes, reader=aws.reader, writer=aws.writer,
    )  # fmt: skip
    logger.error("a fault in validation", extra={"execution_input": event, "next": following})
    return {"next": following}
