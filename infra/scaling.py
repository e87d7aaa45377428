"""How a pool's instances follow its work: from `instances_min`, which may be zero, to `instances_max` and back.

SageMaker's backlog counts what waits and what is being worked, and we invoke only what a *full* pool can take. So the
backlog is the demand, up to that: enough to choose a number of instances by, and zero exactly when nothing runs.
"""

from __future__ import annotations

from aws_cdk import aws_applicationautoscaling as autoscaling
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from offpeak.core.catalogue import Model

DIMENSION = "sagemaker:variant:DesiredInstanceCount"
# An instance takes minutes to come and its boot is paid for: don't ask twice for one that is on its way, and don't let
# one go that the next batch would boot again.
OUT_COOLDOWN_SECONDS = 300
IN_COOLDOWN_SECONDS = 600


class Scaling(Construct):
    """Two policies: one wakes an endpoint that sleeps, which has no "per instance"; one keeps it at its load."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        model: Model,
        endpoint: sagemaker.CfnEndpoint,
        variant: str,
    ) -> None:
        super().__init__(scope, id)
        self._endpoint_name = endpoint.attr_endpoint_name
        self._target = autoscaling.CfnScalableTarget(
            self,
            "Target",
            service_namespace="sagemaker",
            scalable_dimension=DIMENSION,
            resource_id=f"endpoint/{self._endpoint_name}/variant/{variant}",
            min_capacity=model.instances_min,
            max_capacity=model.instances_max,
        )
        self._follow_backlog(model)
        if model.instances_min == 0:
            self._wake()

    def _follow_backlog(self, model: Model) -> None:
        autoscaling.CfnScalingPolicy(
            self,
            "FollowBacklog",
            policy_name="follow-backlog",
            policy_type="TargetTrackingScaling",
            scaling_target_id=self._target.ref,
            target_tracking_scaling_policy_configuration=(
                autoscaling.CfnScalingPolicy.TargetTrackingScalingPolicyConfigurationProperty(
                    target_value=model.concurrency,  # every invocation finds a slot
                    scale_out_cooldown=OUT_COOLDOWN_SECONDS,
                    scale_in_cooldown=IN_COOLDOWN_SECONDS,
                    customized_metric_specification=(
                        autoscaling.CfnScalingPolicy.CustomizedMetricSpecificationProperty(
                            namespace="AWS/SageMaker",
                            metric_name="ApproximateBacklogSizePerInstance",
                            dimensions=[
                                autoscaling.CfnScalingPolicy.MetricDimensionProperty(
                                    name="EndpointName", value=self._endpoint_name
                                )
                            ],
                            statistic="Average",
                        )
                    ),
                )
            ),
        )

    def _wake(self) -> None:
        policy = autoscaling.CfnScalingPolicy(
            self,
            "Wake",
            policy_name="wake",
            policy_type="StepScaling",
            scaling_target_id=self._target.ref,
            step_scaling_policy_configuration=(
                autoscaling.CfnScalingPolicy.StepScalingPolicyConfigurationProperty(
                    adjustment_type="ChangeInCapacity",
                    cooldown=OUT_COOLDOWN_SECONDS,
                    metric_aggregation_type="Average",
                    step_adjustments=[
                        autoscaling.CfnScalingPolicy.StepAdjustmentProperty(
                            metric_interval_lower_bound=0, scaling_adjustment=1
                        )
                    ],
                )
            ),
        )
        # It never scales in: this metric falls as soon as an invocation is picked up, with its work still running.
        cloudwatch.CfnAlarm(
            self,
            "Asleep",
            alarm_description="Work waits at an endpoint that has no instance",
            namespace="AWS/SageMaker",
            metric_name="HasBacklogWithoutCapacity",
            dimensions=[
                cloudwatch.CfnAlarm.DimensionProperty(
                    name="EndpointName", value=self._endpoint_name
                )
            ],
            statistic="Average",
            period=60,
            evaluation_periods=1,
            threshold=1,
            comparison_operator="GreaterThanOrEqualToThreshold",
            treat_missing_data="notBreaching",
            alarm_actions=[policy.ref],
        )
