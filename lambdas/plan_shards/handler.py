"""The state PlanShards: `{"account_id", "batch_id", "ranges"}` → `{"next": "run" | "close" | "announce"}`."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from offpeak.aws.connect import Aws
from offpeak.steps.plan_shards import plan_shards

logger = Logger(service="plan_shards")
aws = Aws.from_environment()


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, str]:  # noqa: ARG001
    logger.append_keys(batch_id=event["batch_id"])
    following = plan_shards(
        event["account_id"], event["batch_id"], event["ranges"], clock=aws.clock,
        accounts=aws.accounts, batches=aws.batches, runs=aws.runs, changes=aws.changes,
        reader=aws.reader, writer=aws.writer, multipart=aws.multipart, catalogue=aws.catalogue,
        ledger=aws.ledger,
    )  # fmt: skip
    logger.info("planned", extra={"next": following})
    return {"next": following}
