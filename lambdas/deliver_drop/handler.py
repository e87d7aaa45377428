"""The state DeliverDrop: `{"account_id", "batch_id"}`."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from offpeak.aws.connect import Aws
from offpeak.steps.deliver_drop import deliver_drop

logger = Logger(service="deliver_drop")
aws = Aws.from_environment()


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> None:  # noqa: ARG001
    logger.append_keys(batch_id=event["batch_id"])
    delivered = deliver_drop(
        event["account_id"], event["batch_id"], clock=aws.clock, reader=aws.reader,
        writer=aws.writer, multipart=aws.multipart, batches=aws.batches,
    )  # fmt: skip
    logger.info("delivered", extra={"delivered": delivered})
