"""A pool's measures as CloudWatch metrics of our own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from offpeak.aws.errors import translated
from offpeak.core.pool import split_pool
from offpeak.core.ports.metrics import (
    NAMESPACE,
    PLAN_AGE_SECONDS,
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
    """`client` gives a region's; None is the home region's."""

    def __init__(self, client: Callable[[str | None], CloudWatchClient], stage: str) -> None:
        self._client = client
        self._stage = stage

    def publish(self, *measures: PoolMeasure) -> None:
        of_region: dict[str | None, list[MetricDatumTypeDef]] = defaultdict(list)
        for measure in measures:
            of_region[split_pool(measure.pool)[1]] += self._data(measure)
        for region, data in of_region.items():
            self._put(region, data)

    def publish_plan_age(self, seconds: int, measured_at: int) -> None:
        datum: MetricDatumTypeDef = {
            "MetricName": PLAN_AGE_SECONDS,
            "Dimensions": [{"Name": STAGE_DIMENSION, "Value": self._stage}],
            "Timestamp": datetime.fromtimestamp(measured_at, UTC),
            "Value": float(seconds),
            "Unit": "Seconds",
        }
        self._put(None, [datum])

    def _put(self, region: str | None, data: Sequence[MetricDatumTypeDef]) -> None:
        for start in range(0, len(data), DATA_MAX):
            with translated(f"metrics {NAMESPACE}"):
                self._client(region).put_metric_data(
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
