"""Every few minutes: deletes the files whose time is over."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from offpeak.aws.connect import Aws
from offpeak.steps.expire_files import expire_files

logger = Logger(service="expire_files")
aws = Aws.from_environment()


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> None:  # noqa: ARG001
    deleted = expire_files(
        clock=aws.clock, writer=aws.writer, multipart=aws.multipart, changes=aws.changes,
        files=aws.files, batches=aws.batches,
    )  # fmt: skip
    logger.info("expired", extra={"files": deleted})
