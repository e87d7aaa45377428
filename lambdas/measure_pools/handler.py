"""Every minute: publishes how much work each deployed pool has. What it is scaled by, and what its alarms watch."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from offpeak.aws.connect import Aws
from offpeak.core.pool import pools_of
from offpeak.steps.measure_pools import measure_pools

logger = Logger(service="measure_pools")
aws = Aws.from_environment()


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> None:  # noqa: ARG001
    pools = [pool for model in aws.catalogue.served for pool in pools_of(model)]
    measures = measure_pools(
        pools, clock=aws.clock, runs=aws.runs, shards=aws.shards, metrics=aws.metrics
    )
    busy = [asdict(measure) for measure in measures if measure.waiting_shards]
    logger.info("measured", extra={"pools": len(measures), "busy": busy})
