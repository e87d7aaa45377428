"""How a pool's instances follow its work: from `instances_min`, which may be zero, to `instances_max` and back.

One metric of our own decides, `WaitingShards` (core/ports/metrics.py): the shards that wait for an instance or hold
one. SageMaker's backlog can't: we invoke only what the pool takes, and it falls when work is picked up, not when it is
done. Two alarms on its maximum over the last `hold` minutes act through two step policies:

    Busy   maximum ≥ 1   set the capacity that this many shards fill: ceil(shards / concurrency), within the bounds
    Idle   maximum < 1   set `instances_min`

So a pool wakes to the size it needs at once (a second step would be a second cold start), within two or three minutes:
one until the metric is published, one or two until the alarm has seen it. It grows when more work comes. It shrinks to
what the busiest of the last `hold` minutes needed, and to `instances_min` when not one shard was there in all that
time: an instance that works is a shard in the metric. Which instance leaves a pool that shrinks and still works is not
ours to choose; its worker gets SIGTERM, writes a checkpoint and reports, and the shard goes on elsewhere.

An alarm's window slides, and its actions on a scaling policy repeat every minute while it lasts: what one evaluation
could not do, since the endpoint was just being updated, the next one does. Missing data breaches neither alarm: a pool
that nobody measures stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator

from aws_cdk import aws_applicationautoscaling as autoscaling
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from infra.stage import Stage
from offpeak.core.catalogue import Model
from offpeak.core.pool import pool_id
from offpeak.core.ports.metrics import NAMESPACE, POOL_DIMENSION, STAGE_DIMENSION, WAITING_SHARDS

DIMENSION = "sagemaker:variant:DesiredInstanceCount"
HOLD_SECONDS_MIN = 900
"""A shard's longest planned time: what the pool shrinks to has room for all that was open when it does."""
COOLDOWN_SECONDS = 60
STEPS_MAX = 20
"""Application Auto Scaling's limit for one policy."""

Policy = autoscaling.CfnScalingPolicy


class Scaling(Construct):
    """`busy` and `idle` are the alarms that act."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        model: Model,
        stage: Stage,
        endpoint: sagemaker.CfnEndpoint,
        variant: str,
        region: str | None = None,
    ) -> None:
        """`region` is a further one; its pool's metric is published there."""
        super().__init__(scope, id)
        self._pool = pool_id(model.pool, region)
        self._model = model
        self._stage = stage
        self._target = autoscaling.CfnScalableTarget(
            self,
            "Target",
            service_namespace="sagemaker",
            scalable_dimension=DIMENSION,
            resource_id=f"endpoint/{endpoint.attr_endpoint_name}/variant/{variant}",
            min_capacity=model.instances_min,
            max_capacity=model.instances_max,
        )
        self.busy = self._alarm(
            "Busy",
            "Its instances are set to what its shards fill",
            "GreaterThanOrEqualToThreshold",
            self._policy("Fill", list(_fill_steps(model))),
        )
        self.idle = self._alarm(
            "Idle",
            "It is let go to its fewest instances",
            "LessThanThreshold",
            self._policy("Release", [_step(model.instances_min, upper=0)]),
        )

    def _policy(self, name: str, steps: list[Policy.StepAdjustmentProperty]) -> Policy:
        return Policy(
            self,
            name,
            policy_name=self._stage.named(f"{self._model.pool}-{name.lower()}"),
            policy_type="StepScaling",
            scaling_target_id=self._target.ref,
            step_scaling_policy_configuration=Policy.StepScalingPolicyConfigurationProperty(
                adjustment_type="ExactCapacity",
                cooldown=COOLDOWN_SECONDS,
                metric_aggregation_type="Maximum",
                step_adjustments=steps,
            ),
        )

    def _alarm(self, id: str, says: str, comparison: str, policy: Policy) -> cloudwatch.CfnAlarm:
        dimensions = {STAGE_DIMENSION: self._stage.name, POOL_DIMENSION: self._pool}
        return cloudwatch.CfnAlarm(
            self,
            id,
            alarm_name=self._stage.named(f"{self._model.pool}-{id.lower()}"),
            alarm_description=f"Scaling of pool {self._model.pool}, no fault. {says}.",
            namespace=NAMESPACE,
            metric_name=WAITING_SHARDS,
            dimensions=[
                cloudwatch.CfnAlarm.DimensionProperty(name=name, value=value)
                for name, value in dimensions.items()
            ],
            statistic="Maximum",
            period=hold_seconds(self._model),
            evaluation_periods=1,
            threshold=1,
            comparison_operator=comparison,
            treat_missing_data="notBreaching",
            alarm_actions=[policy.ref],
        )


def hold_seconds(model: Model) -> int:
    """For how long the busiest minute counts. A large model's start takes longer and is paid for like work, so its
    instances are held longer: a third of what they may take to start. A whole number of minutes."""
    return max(HOLD_SECONDS_MIN, model.startup_seconds_max // 180 * 60)


def capacities(model: Model) -> list[int]:
    """The instance counts that the pool is set to while it is busy, ascending, at most STEPS_MAX: every one, or evenly
    spread where there are more."""
    least, most = max(1, model.instances_min), model.instances_max
    gaps = min(STEPS_MAX - 1, most - least)
    return [least + (most - least) * gap // gaps for gap in range(gaps)] + [most]


def _fill_steps(model: Model) -> Iterator[Policy.StepAdjustmentProperty]:
    """Bounds are of the metric above the alarm's threshold, which is 1: the lower inclusive, the upper exclusive."""
    lower = 0
    sizes = capacities(model)
    for size in sizes[:-1]:
        yield _step(size, lower=lower, upper=size * model.concurrency)
        lower = size * model.concurrency
    yield _step(sizes[-1], lower=lower)


def _step(
    instances: int, *, lower: int | None = None, upper: int | None = None
) -> Policy.StepAdjustmentProperty:
    return Policy.StepAdjustmentProperty(
        scaling_adjustment=instances,
        metric_interval_lower_bound=lower,
        metric_interval_upper_bound=upper,
    )
