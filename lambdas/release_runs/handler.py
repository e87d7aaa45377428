"""The state RunShards: `{"account_id", "batch_id", "task_token"}`. Its answer is the task token's, later."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from offpeak.aws.connect import Aws
from offpeak.steps.release_runs import release_runs

logger = Logger(service="release_runs")
aws = Aws.from_environment()


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> None:  # noqa: ARG001
    logger.append_keys(batch_id=event["batch_id"])
    release_runs(
        event["account_id"], event["batch_id"], event["task_token"], clock=aws.clock,
        batches=aws.batches, runs=aws.runs, shards=aws.shards, changes=aws.changes,
        workflows=aws.workflows, dispatches=aws.dispatches,
        announcements=aws.announcements, catalogue=aws.catalogue, pools=aws.pools,
    )  # fmt: skip
    logger.info("released")
