"""The state ValidateInput, once per byte range: `{"account_id", "batch_id", "index", "start", "stop"}`."""

from __future__ import annotations

import os
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from offpeak.aws.connect import Aws
from offpeak.steps.validate_range import validate_range
from offpeak.wire.jsonl import LINE_BYTES_MAX

logger = Logger(service="validate_range")
aws = Aws.from_environment()
line_bytes_max = int(os.environ.get("OFFPEAK_LINE_BYTES_MAX", LINE_BYTES_MAX))


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> None:  # noqa: ARG001
    logger.append_keys(batch_id=event["batch_id"], range=event["index"])
    found = validate_range(
        event["account_id"], event["batch_id"], event["index"], event["start"], event["stop"],
        accounts=aws.accounts, batches=aws.batches, reader=aws.reader, writer=aws.writer,
        multipart=aws.multipart, catalogue=aws.catalogue, line_bytes_max=line_bytes_max,
    )  # fmt: skip
    logger.info(
        "validated",
        extra={
            "start": event["start"], "stop": event["stop"], "good_lines": found.good_lines,
            "bad_lines": found.bad_lines, "input_tokens": sum(found.input_tokens),
            "completion_tokens": sum(found.completion_tokens),
        },
    )  # fmt: skip
