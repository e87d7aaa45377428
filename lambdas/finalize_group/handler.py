"""Records of the queue of groups to look at: `{"account_id", "group_id"}`. Of several for one, one look serves."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from offpeak.aws.connect import Aws
from offpeak.steps.finalize_group import finalize_group

logger = Logger(service="finalize_group")
aws = Aws.from_environment()


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001
    asking: dict[tuple[str, str], list[str]] = defaultdict(list)
    for record in event["Records"]:
        asked = json.loads(record["body"])
        asking[asked["account_id"], asked["group_id"]].append(record["messageId"])
    failed: list[str] = []
    for (account_id, group_id), records in asking.items():
        try:
            group = finalize_group(
                account_id, group_id, clock=aws.clock, catalogue=aws.catalogue, reader=aws.reader,
                writer=aws.writer, multipart=aws.multipart, changes=aws.changes,
                requests=aws.requests, groups=aws.groups, callbacks=aws.callbacks,
            )  # fmt: skip
            logger.info("looked", extra={"group_id": group_id, "status": group.status})
        except Exception:
            logger.exception("not looked at", extra={"group_id": group_id})
            failed += records
    return {"batchItemFailures": [{"itemIdentifier": record} for record in failed]}
