"""Every minute: finds what got lost. What one sweep could not do is left to the next."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from offpeak.aws.connect import Aws
from offpeak.steps.sweep import sweep

logger = Logger(service="sweep")
aws = Aws.from_environment()


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> None:  # noqa: ARG001
    swept = sweep(
        clock=aws.clock, catalogue=aws.catalogue, batches=aws.batches, runs=aws.runs,
        shards=aws.shards, changes=aws.changes, workflows=aws.workflows,
        dispatches=aws.dispatches, announcements=aws.announcements, work_metrics=aws.work_metrics,
    )  # fmt: skip
    logger.info("swept", extra=asdict(swept))
