"""Every hour: what the electricity of our regions emits and costs, by services and by operators' curves."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from offpeak.aws.connect import Aws
from offpeak.steps.fetch_signals import fetch_signals

logger = Logger(service="fetch_signals")
aws = Aws.from_environment()


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> None:  # noqa: ARG001
    further = (region for model in aws.catalogue.served for region in model.regions)
    regions = dict.fromkeys((aws.region, *further))
    fetched = fetch_signals(
        list(regions), clock=aws.clock, reader=aws.reader, writer=aws.writer,
        sources=aws.signal_sources, metrics=aws.work_metrics,
    )  # fmt: skip
    logger.info("fetched", extra={"regions": [asdict(each) for each in fetched]})
