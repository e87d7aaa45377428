"""The state AnnounceBatch: `{"account_id", "batch_id"}`."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from offpeak.aws.connect import Aws
from offpeak.steps.announce_batch import announce_batch

logger = Logger(service="announce_batch")
aws = Aws.from_environment()


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> None:  # noqa: ARG001
    logger.append_keys(batch_id=event["batch_id"])
    kind = announce_batch(
        event["account_id"], event["batch_id"], writer=aws.writer, files=aws.files,
        batches=aws.batches, announcements=aws.announcements,
    )  # fmt: skip
    logger.info("announced", extra={"kind": kind})
