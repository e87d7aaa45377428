"""Records of the dispatch queue: `{"pool"}`. Of several that ask for one pool, one dispatch serves all."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from offpeak.aws.connect import Aws
from offpeak.steps.dispatch_shards import dispatch_shards
from offpeak.steps.remembered_accounts import RememberedAccounts
from offpeak.steps.remembered_pools import RememberedPools

logger = Logger(service="dispatch_shards")
aws = Aws.from_environment()
remembered_accounts = RememberedAccounts()
remembered_pools = RememberedPools()


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001
    asking: dict[str, list[str]] = defaultdict(list)
    for record in event["Records"]:
        asking[json.loads(record["body"])["pool"]].append(record["messageId"])
    failed: list[str] = []
    for pool, records in asking.items():
        try:
            invoked = dispatch_shards(
                pool, clock=aws.clock, catalogue=aws.catalogue, reader=aws.reader,
                accounts=aws.accounts, runs=aws.runs, shards=aws.shards, changes=aws.changes,
                dispatches=aws.dispatches, endpoints=aws.endpoints, pools=aws.pools,
                remembered_accounts=remembered_accounts, remembered_pools=remembered_pools,
            )  # fmt: skip
            logger.info("dispatched", extra={"pool": pool, "shards": invoked})
        except Exception:
            logger.exception("not dispatched", extra={"pool": pool})
            failed += records
    return {"batchItemFailures": [{"itemIdentifier": record} for record in failed]}
