"""The state ReorderShards, once per chunk: `{"account_id", "batch_id", "run", "chunk"}`."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from offpeak.aws.connect import Aws
from offpeak.steps.reorder_shards import reorder_shards

logger = Logger(service="reorder_shards")
aws = Aws.from_environment()


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> None:  # noqa: ARG001
    logger.append_keys(batch_id=event["batch_id"], run=event["run"], chunk=event["chunk"])
    lines = reorder_shards(
        event["account_id"], event["batch_id"], event["run"], event["chunk"], batches=aws.batches,
        reader=aws.reader, writer=aws.writer, multipart=aws.multipart,
    )  # fmt: skip
    logger.info("reordered", extra={"lines": lines})
