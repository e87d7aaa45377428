"""The states PlanShards and, once lines were reordered, PlanReordered:
`{"account_id", "batch_id", "ranges", "is_reordered"}` → `{"next": "run" | "close" | "announce" | "reorder", "chunks":
[{"run", "chunk"}, …]}`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from offpeak.aws.connect import Aws
from offpeak.steps.plan_shards import plan_shards

logger = Logger(service="plan_shards")
aws = Aws.from_environment()


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001
    logger.append_keys(batch_id=event["batch_id"])
    planning = plan_shards(
        event["account_id"], event["batch_id"], event["ranges"], event["is_reordered"],
        clock=aws.clock, accounts=aws.accounts, batches=aws.batches, runs=aws.runs,
        changes=aws.changes, reader=aws.reader, writer=aws.writer, multipart=aws.multipart,
        catalogue=aws.catalogue, ledger=aws.ledger,
    )  # fmt: skip
    shares = {model: asdict(share) for model, share in planning.shares.items()}
    logger.info("planned", extra={"next": planning.next, "cached_share": shares})
    return {"next": planning.next, "chunks": [asdict(chunk) for chunk in planning.chunks]}
