"""A pool's measures as CloudWatch metrics of our own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from offpeak.aws.errors import translated
from offpeak.core.ports.metrics import (
    NAMESPACE,
    POOL_DIMENSION,
    STAGE_DIMENSION,
    PoolMeasure,
)

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_cloudwatch.type_defs import MetricDatumTypeDef

DATA_MAX = 1_000
"""What one PutMetricData takes: so many data, and 1 MB. Ours are about 200 bytes each."""


class CloudWatchMetrics:
    def __init__(self, client: CloudWatchClient, stage: str) -> None:
        self._client = client
        self._stage = stage

    def publish(self, *measures: PoolMeasure) -> None:
        data = [datum for measure in measures for datum in self._data(measure)]
        for start in range(0, len(data), DATA_MAX):
            with translated(f"metrics {NAMESPACE}"):
                self._client.put_metric_data(
                    Namespace=NAMESPACE, MetricData=data[start : start + DATA_MAX]
                )

    def _data(self, measure: PoolMeasure) -> Iterator[MetricDatumTypeDef]:
        for name, value in measure.values.items():
            yield {
                "MetricName": name,
                "Dimensions": [
                    {"Name": STAGE_DIMENSION, "Value": self._stage},
                    {"Name": POOL_DIMENSION, "Value": measure.pool},
                ],
                "Timestamp": datetime.fromtimestamp(measure.measured_at, UTC),
                "Value": float(value),
                "Unit": "Seconds" if name.endswith("Seconds") else "Count",
            }
