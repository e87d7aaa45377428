"""What workers took of their engines, as CloudWatch metrics in the embedded metric format: a line in a function's log,
which CloudWatch takes apart by itself. So a shard's ten metrics cost no call.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from __future__ import annotations

import json
import sys
from typing import TextIO

from offpeak.core.invocation import ShardWork
from offpeak.core.ports.metrics import NAMESPACE, POOL_DIMENSION, STAGE_DIMENSION, values_of


class LoggedMetrics:
    """`out` is the function's log, None being its standard output."""

    def __init__(self, stage: str, out: TextIO | None = None) -> None:
        self._stage = stage
        self._out = out

    def publish_work(self, pool: str, measured_at: int, work: ShardWork) -> None:
        values = values_of(work)
        directive = {
            "Namespace": NAMESPACE,
            "Dimensions": [[STAGE_DIMENSION, POOL_DIMENSION]],
            "Metrics": [{"Name": name, "Unit": _unit(name)} for name in values],
        }
        line = {
            "_aws": {"Timestamp": measured_at * 1_000, "CloudWatchMetrics": [directive]},
            STAGE_DIMENSION: self._stage, POOL_DIMENSION: pool, **values,
        }  # fmt: skip
        print(json.dumps(line), file=self._out or sys.stdout, flush=True)


def _unit(name: str) -> str:
    if name.endswith("PerSecond"):
        return "Count/Second"
    if name.endswith("Seconds"):
        return "Seconds"
    return "Count" if name.endswith("Tokens") else "None"
