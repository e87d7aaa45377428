"""Every minute: finds what got lost of stand-alone requests. What one sweep could not do is left to the next."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from offpeak.aws.connect import Aws
from offpeak.steps.sweep_requests import sweep_requests

logger = Logger(service="sweep_requests")
aws = Aws.from_environment()


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> None:  # noqa: ARG001
    swept = sweep_requests(
        clock=aws.clock, catalogue=aws.catalogue, reader=aws.reader, writer=aws.writer,
        changes=aws.changes, requests=aws.requests, groups=aws.groups, gatherings=aws.gatherings,
        workflows=aws.workflows, group_checks=aws.group_checks, callbacks=aws.callbacks,
    )  # fmt: skip
    logger.info("swept", extra=asdict(swept))
