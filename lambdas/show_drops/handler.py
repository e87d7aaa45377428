"""Every minute: the status files of dropped objects whose batches run."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from offpeak.aws.connect import Aws
from offpeak.steps.show_drops import show_drops

logger = Logger(service="show_drops")
aws = Aws.from_environment()


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> None:  # noqa: ARG001
    written = show_drops(
        clock=aws.clock, reader=aws.reader, writer=aws.writer, batches=aws.batches, runs=aws.runs,
        shards=aws.shards,
    )  # fmt: skip
    logger.info("shown", extra={"written": written})
