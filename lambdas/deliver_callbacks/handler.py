"""Records of the callback queue, an attempt each. What our own side failed at is delivered again."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from offpeak.aws.connect import Aws
from offpeak.core.delivery import AttemptAsk
from offpeak.steps.deliver_callbacks import Outcome, deliver_callbacks

logger = Logger(service="deliver_callbacks")
aws = Aws.from_environment()


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001
    asks: dict[str, AttemptAsk] = {}
    failed: list[str] = []
    for record in event["Records"]:
        try:
            asks[record["messageId"]] = msgspec.json.decode(record["body"], type=AttemptAsk)
        except msgspec.DecodeError:
            logger.exception("not an ask", extra={"record": record["messageId"]})
            failed.append(record["messageId"])
    outcomes = deliver_callbacks(
        list(asks.values()), clock=aws.clock, webhooks=aws.webhooks, deliveries=aws.deliveries,
        changes=aws.changes, callbacks=aws.callbacks, secrets=aws.secrets,
        destinations=aws.destinations, requests=aws.requests, reader=aws.reader,
    )  # fmt: skip
    logger.info("attempted", extra={"outcomes": dict(Counter(map(str, outcomes)))})
    broken = zip(asks, outcomes, strict=True)
    failed += [record for record, outcome in broken if outcome is Outcome.BROKEN]
    return {"batchItemFailures": [{"itemIdentifier": record} for record in failed]}
