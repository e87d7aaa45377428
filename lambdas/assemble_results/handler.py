"""The state AssembleResults, once per chunk.

`{"account_id", "batch_id", "kind", "level", "number", "start", "stop"}`."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from offpeak.aws.connect import Aws
from offpeak.planner.cut_results import LIMITS
from offpeak.steps.assemble_results import assemble_results

logger = Logger(service="assemble_results")
aws = Aws.from_environment()


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> None:  # noqa: ARG001
    logger.append_keys(batch_id=event["batch_id"], kind=event["kind"], level=event["level"])
    assemble_results(
        event["account_id"], event["batch_id"], event["kind"], event["level"], event["number"],
        event["start"], event["stop"], batches=aws.batches, reader=aws.reader, writer=aws.writer,
        multipart=aws.multipart, assembly_limits=LIMITS,
    )  # fmt: skip
    logger.info("assembled", extra={"chunk": event["number"]})
