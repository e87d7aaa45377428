"""Instances of SageMaker's endpoints, bounded through Application Auto Scaling.

A bound is set twice: at once, and as a scheduled action that undoes it at `until`. Each bound puts the action off. So
when nobody plans any more, AWS itself gives the pool back to its own policies (infra/scaling.py), whatever of ours is
broken. Those policies also act every minute, within the bounds: what a bound alone may not move, they do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from botocore.exceptions import ClientError

from offpeak.aws.errors import code_of, translated
from offpeak.core.errors import NotFound
from offpeak.core.pool import split_pool
from offpeak.core.ports import Bounds, InstanceCounts

if TYPE_CHECKING:
    from mypy_boto3_application_autoscaling import ApplicationAutoScalingClient
    from mypy_boto3_application_autoscaling.type_defs import ScalableTargetActionTypeDef
    from mypy_boto3_sagemaker import SageMakerClient

VARIANT = "AllTraffic"
ACTION = "offpeak-unplanned"
_MISSING = ("ValidationException", "ValidationError", "ObjectNotFoundException")
_NAMESPACE: Literal["sagemaker"] = "sagemaker"
_DIMENSION: Literal["sagemaker:variant:DesiredInstanceCount"] = (
    "sagemaker:variant:DesiredInstanceCount"
)


class SageMakerCapacity:
    """`scaling` and `sagemaker` give a region's client; None is the home region's."""

    def __init__(
        self,
        scaling: Callable[[str | None], ApplicationAutoScalingClient],
        sagemaker: Callable[[str | None], SageMakerClient],
        prefix: str,
    ) -> None:
        self._scaling = scaling
        self._sagemaker = sagemaker
        self._prefix = prefix

    def counts(self, pool: str) -> InstanceCounts:
        name, region = split_pool(pool)
        with _of(pool):
            found = self._sagemaker(region).describe_endpoint(EndpointName=self._prefix + name)
        [variant] = found["ProductionVariants"]
        running = variant.get("CurrentInstanceCount", 0)
        return InstanceCounts(running=running, ordered=variant.get("DesiredInstanceCount", running))

    def bound(self, pool: str, bounds: Bounds, *, until: int, then: Bounds) -> None:
        name, region = split_pool(pool)
        resource = f"endpoint/{self._prefix}{name}/variant/{VARIANT}"
        client = self._scaling(region)
        with _of(pool):
            # First what undoes it, so that no bound is ever without.
            client.put_scheduled_action(
                ServiceNamespace=_NAMESPACE, ResourceId=resource, ScalableDimension=_DIMENSION,
                ScheduledActionName=ACTION,
                Schedule=f"at({datetime.fromtimestamp(until, UTC):%Y-%m-%dT%H:%M:%S})",
                ScalableTargetAction=_action(then),
            )  # fmt: skip
            client.register_scalable_target(
                ServiceNamespace=_NAMESPACE, ResourceId=resource, ScalableDimension=_DIMENSION,
                MinCapacity=bounds.least, MaxCapacity=bounds.most,
            )  # fmt: skip


@contextmanager
def _of(pool: str) -> Iterator[None]:
    """Neither service has an error of its own for an endpoint that isn't there."""
    what = f"endpoint of pool {pool}"
    try:
        with translated(what):
            yield
    except ClientError as error:
        if code_of(error) not in _MISSING:
            raise
        raise NotFound(f"There is no {what}: {error.response['Error'].get('Message')}") from error


def _action(bounds: Bounds) -> ScalableTargetActionTypeDef:
    return {"MinCapacity": bounds.least, "MaxCapacity": bounds.most}
