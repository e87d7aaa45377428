"""The state FinalizeBatch: `{"account_id", "batch_id", "in_chunks"}` ─► `{"next": "end" | "assemble", "chunks": […]}`.

Executions that began before there were chunks don't say `in_chunks`, and have no state for them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from offpeak.aws.connect import Aws
from offpeak.planner.cut_results import IN_ONE_CALL, LIMITS
from offpeak.steps.finalize_batch import finalize_batch

logger = Logger(service="finalize_batch")
aws = Aws.from_environment()


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001
    logger.append_keys(batch_id=event["batch_id"])
    finalized = finalize_batch(
        event["account_id"], event["batch_id"], clock=aws.clock, reader=aws.reader,
        writer=aws.writer, multipart=aws.multipart, accounts=aws.accounts, batches=aws.batches,
        runs=aws.runs, shards=aws.shards, changes=aws.changes, requests=aws.requests,
        group_checks=aws.group_checks, callbacks=aws.callbacks, ledger=aws.ledger,
        region=aws.region, catalogue=aws.catalogue, work_metrics=aws.work_metrics,
        assembly_limits=LIMITS if event.get("in_chunks") else IN_ONE_CALL,
    )  # fmt: skip
    if finalized.chunks:
        logger.info("to be assembled", extra={"chunks": len(finalized.chunks)})
        return {"next": "assemble", "chunks": [asdict(chunk) for chunk in finalized.chunks]}
    batch = finalized.batch
    logger.info("ended", extra={"status": batch.status, "counts": asdict(batch.counts)})
    return {"next": "end", "chunks": []}
