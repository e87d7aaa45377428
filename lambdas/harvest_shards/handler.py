"""The state HarvestShards, once per chunk: `{"account_id", "batch_id", "run", "first", "last"}`."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from offpeak.aws.connect import Aws
from offpeak.steps.harvest_shards import harvest_shards

logger = Logger(service="harvest_shards")
aws = Aws.from_environment()


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> None:  # noqa: ARG001
    logger.append_keys(batch_id=event["batch_id"], run=event["run"])
    harvested = harvest_shards(
        event["account_id"], event["batch_id"], event["run"], event["first"], event["last"],
        clock=aws.clock, reader=aws.reader, writer=aws.writer, batches=aws.batches, runs=aws.runs,
        shards=aws.shards, changes=aws.changes,
    )  # fmt: skip
    logger.info("harvested", extra={"shards": harvested})
