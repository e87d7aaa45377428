"""Every minute: plans the pools of every deployed model where a new plan is due, and orders their instances."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from offpeak.aws.connect import Aws
from offpeak.core.plan import Weights
from offpeak.steps.plan_capacity import PlanSettings, plan_capacity
from offpeak.steps.remembered_accounts import RememberedAccounts
from offpeak.steps.stored_signals import StoredSignals

logger = Logger(service="plan_capacity")
aws = Aws.from_environment()
remembered_accounts = RememberedAccounts()


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> None:  # noqa: ARG001
    settings = PlanSettings(
        home=aws.region, slot_seconds=int(os.environ["OFFPEAK_SLOT_SECONDS"]),
        weights=Weights(**json.loads(os.environ["OFFPEAK_PLAN_WEIGHTS"])),
    )  # fmt: skip
    planned = plan_capacity(
        settings=settings, clock=aws.clock, catalogue=aws.catalogue, accounts=aws.accounts,
        runs=aws.runs, shards=aws.shards, pools=aws.pools,
        signals=StoredSignals(aws.reader, aws.clock),
        capacity=aws.capacity, changes=aws.changes, dispatches=aws.dispatches,
        metrics=aws.metrics, remembered_accounts=remembered_accounts,
    )  # fmt: skip
    busy = [asdict(each) for each in planned if each.work or any(each.instances.values())]
    logger.info("planned", extra={"models": len(planned), "busy": busy})
