"""What workers took of their engines, how old signals are and what is at risk, as CloudWatch metrics in the embedded
metric format: a line in a function's log, which CloudWatch takes apart by itself. A shard's ten metrics cost no call.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import TextIO

from offpeak.core.invocation import ShardWork
from offpeak.core.ports.metrics import (
    AT_RISK_BATCHES,
    NAMESPACE,
    POOL_DIMENSION,
    REGION_DIMENSION,
    STAGE_DIMENSION,
    UNSHARED_THROTTLES,
    values_of,
)


class LoggedMetrics:
    """`out` is the function's log, None being its standard output."""

    def __init__(self, stage: str, out: TextIO | None = None) -> None:
        self._stage = stage
        self._out = out

    def publish_work(self, pool: str, measured_at: int, work: ShardWork) -> None:
        self._publish({POOL_DIMENSION: pool}, measured_at, values_of(work))

    def publish_estimates(self, pool: str, measured_at: int, errors: Mapping[str, float]) -> None:
        self._publish({POOL_DIMENSION: pool}, measured_at, errors)

    def publish_at_risk(self, pool: str, measured_at: int, batches: int) -> None:
        self._publish({POOL_DIMENSION: pool}, measured_at, {AT_RISK_BATCHES: batches})

    def publish_unshared_throttles(self, measured_at: int) -> None:
        self._publish({}, measured_at, {UNSHARED_THROTTLES: 1})

    def publish_signal(self, region: str, measured_at: int, values: Mapping[str, float]) -> None:
        self._publish({REGION_DIMENSION: region}, measured_at, values)

    def _publish(
        self, about: Mapping[str, str], measured_at: int, values: Mapping[str, float]
    ) -> None:
        directive = {
            "Namespace": NAMESPACE,
            "Dimensions": [[STAGE_DIMENSION, *about]],
            "Metrics": [{"Name": name, "Unit": _unit(name)} for name in values],
        }
        line = {
            "_aws": {"Timestamp": measured_at * 1_000, "CloudWatchMetrics": [directive]},
            STAGE_DIMENSION: self._stage, **about, **values,
        }  # fmt: skip
        print(json.dumps(line), file=self._out or sys.stdout, flush=True)


def _unit(name: str) -> str:
    if name.endswith("PerSecond"):
        return "Count/Second"
    if name.endswith("Seconds"):
        return "Seconds"
    if name.startswith("EstimateError"):
        return "Percent"
    return "Count" if name.endswith(("Tokens", "Batches")) else "None"
