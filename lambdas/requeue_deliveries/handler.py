"""Every minute: asks for the attempts whose time has come."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from offpeak.aws.connect import Aws
from offpeak.steps.requeue_deliveries import requeue_deliveries

logger = Logger(service="requeue_deliveries")
aws = Aws.from_environment()


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> None:  # noqa: ARG001
    asked = requeue_deliveries(
        clock=aws.clock, deliveries=aws.deliveries, changes=aws.changes, callbacks=aws.callbacks
    )
    logger.info("requeued", extra={"deliveries": asked})
