"""The alarms: what must wake somebody. Each is of one kind (`infra/alarm_kinds.py`).

They name what they watch instead of referring to it: a stack that others import from can't change what they import.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aws_cdk import ArnFormat, Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_elasticloadbalancingv2 as elb
from aws_cdk import aws_sns as sns
from constructs import Construct

from infra.alarm_kinds import KINDS
from infra.rights import Resources
from infra.roles import ACCESS
from infra.stage import Stage
from offpeak.core.pool import PLAN_SECONDS_MAX
from offpeak.core.ports.metrics import AT_RISK_BATCHES, PLAN_AGE_SECONDS

NAMESPACE, ELB = "Offpeak", "AWS/ApplicationELB"
# Functions that a clock calls: what others do waits for them, and what got lost is found by them.
EVERY_MINUTE = (
    "sweep", "measure_pools", "plan_capacity", "sweep_requests", "requeue_deliveries", "show_drops",
)  # fmt: skip
EVERY_FIVE_MINUTES = ("expire_files",)
FAILED_SHARDS_MAX = 3
SERVER_ERRORS_MAX = 5
THROTTLES_MAX = 10
_MINUTE, _FIVE, _QUARTER = Duration.minutes(1), Duration.minutes(5), Duration.minutes(15)
_DAY = Duration.days(1)


class Alarms(Construct):
    """`all`: of the whole stage, of every pool, and of the door. They tell `topic` when they go off and when they are
    over."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        resources: Resources,
        dead_letter_queues: Sequence[str],
        topic: sns.ITopic,
    ) -> None:
        super().__init__(scope, id)
        self.all: list[cloudwatch.IAlarm] = []
        self._resources = resources
        self._stage: Stage = resources.stage
        self._topic = topic
        self._watch_batches()
        self._watch_api()
        self._watch_functions()
        self._watch_plan()
        for name in dead_letter_queues:
            self._watch_dead_letters(name)
        for pool in resources.pools:
            self._watch_pool(pool)
        if self._stage.door:
            self._watch_door()

    def _watch_pool(self, pool: str) -> None:
        stage = self._stage
        dimensions = {"Stage": stage.name, "Pool": pool}
        self._add(
            "shards-late", _metric(NAMESPACE, "LeastSlackSeconds", dimensions, "Minimum", _MINUTE),
            subject=pool, below=stage.slack_seconds_min, periods=5,
        )  # fmt: skip
        self._add(
            "shards-failed", _metric(NAMESPACE, "FailedShards", dimensions, "Maximum", _QUARTER),
            subject=pool, at_least=FAILED_SHARDS_MAX,
        )  # fmt: skip
        self._add(
            "batches-at-risk", _metric(NAMESPACE, AT_RISK_BATCHES, dimensions, "Maximum", _MINUTE),
            subject=pool, at_least=1, periods=5,
        )  # fmt: skip
        if stage.gpu_hours_per_day_max is not None:
            self._add(
                "gpu-hours", instance_hours(stage.named(pool), _DAY), subject=pool,
                at_least=stage.gpu_hours_per_day_max,
            )  # fmt: skip

    def _watch_plan(self) -> None:
        """Silence is as bad: whoever tells of the plan's age is who makes it."""
        age = _metric(NAMESPACE, PLAN_AGE_SECONDS, {"Stage": self._stage.name}, "Maximum")
        self._add("plan-stale", age, at_least=PLAN_SECONDS_MAX, periods=3, silence_is_trouble=True)

    def _watch_door(self) -> None:
        """Every task tells of its CPU once a minute. The load balancer's metrics go by a name that AWS gives it, so the
        alarm on them is in the door's stack."""
        name = self._stage.named("door")
        dimensions = {"ClusterName": name, "ServiceName": name}
        tasks = _metric("AWS/ECS", "CPUUtilization", dimensions, "SampleCount")
        self._add("door-down", tasks, below=1, silence_is_trouble=True)
        errors = Stack.of(self).format_arn(
            service="cloudwatch", resource="alarm", resource_name=self._stage.named("door-errors"),
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )  # fmt: skip
        self.all.append(cloudwatch.Alarm.from_alarm_arn(self, "door-errors", errors))

    def _watch_batches(self) -> None:
        machine = {"StateMachineArn": self._resources.state_machine_arn}
        ends = ("ExecutionsFailed", "ExecutionsTimedOut", "ExecutionsAborted")
        metrics = {f"m{i}": _metric("AWS/States", end, machine) for i, end in enumerate(ends)}
        ended_badly = cloudwatch.MathExpression(
            expression="SUM(METRICS())", using_metrics=metrics, period=_FIVE, label="not succeeded"
        )
        self._add("executions-failed", ended_badly, at_least=1)
        self._add(
            "batches-failed-by-us", self._of_function("fail_batch", "Invocations"), at_least=1
        )

    def _watch_api(self) -> None:
        dimensions = {"ApiName": f"offpeak-{self._stage.name}", "Stage": self._stage.name}
        errors = _metric("AWS/ApiGateway", "5XXError", dimensions)
        self._add("api-errors", errors, at_least=SERVER_ERRORS_MAX)

    def _watch_functions(self) -> None:
        for folder in ACCESS:
            self._add(
                "function-errors", self._of_function(folder, "Errors"), subject=_dashed(folder),
                at_least=1, periods=3,
            )  # fmt: skip
        # Without a function's name: concurrency is the account's, and whoever takes it all takes it from us.
        throttles = _metric("AWS/Lambda", "Throttles", {})
        self._add("functions-throttled", throttles, at_least=THROTTLES_MAX)
        for folder in (folder for folder in EVERY_MINUTE if folder in ACCESS):
            self._add(
                "clock-stopped", self._of_function(folder, "Invocations"), subject=_dashed(folder),
                below=1, silence_is_trouble=True,
            )  # fmt: skip
        for folder in EVERY_FIVE_MINUTES:
            self._add(
                "clock-stopped", self._of_function(folder, "Invocations"), subject=_dashed(folder),
                below=1, periods=3, silence_is_trouble=True,
            )  # fmt: skip

    def _watch_dead_letters(self, queue: str) -> None:
        waiting = _metric(
            "AWS/SQS", "ApproximateNumberOfMessagesVisible", {"QueueName": queue}, "Maximum"
        )
        self._add(
            "dead-letters", waiting, subject=queue.removeprefix(self._stage.named("")), at_least=1
        )

    def _of_function(self, folder: str, name: str) -> cloudwatch.Metric:
        return _metric("AWS/Lambda", name, {"FunctionName": self._stage.named(_dashed(folder))})

    def _add(
        self,
        kind: str,
        metric: cloudwatch.IMetric,
        *,
        subject: str = "",
        at_least: float | None = None,
        below: float | None = None,
        periods: int = 1,
        silence_is_trouble: bool = False,
    ) -> None:
        alarm = _alarm(
            self, self._stage, kind, metric, topic=self._topic, subject=subject, at_least=at_least,
            below=below, periods=periods, silence_is_trouble=silence_is_trouble,
        )  # fmt: skip
        self.all.append(alarm)


def watch_door_errors(
    scope: Construct, stage: Stage, load_balancer: elb.ApplicationLoadBalancer
) -> None:
    """The door's own 5xx, those it passes on, and the load balancer's. The topic goes by its name, in another stack."""
    arn = stage.alarm_topic_arn or Stack.of(scope).format_arn(
        service="sns", resource=stage.named("alarms")
    )
    dimensions = {"LoadBalancer": load_balancer.load_balancer_full_name}
    errors = ("HTTPCode_Target_5XX_Count", "HTTPCode_ELB_5XX_Count")
    metrics = {f"m{i}": _metric(ELB, name, dimensions) for i, name in enumerate(errors)}
    _alarm(
        scope, stage, "door-errors",
        cloudwatch.MathExpression(
            expression="SUM(METRICS())", using_metrics=metrics, period=_FIVE, label="5xx"
        ),
        topic=sns.Topic.from_topic_arn(scope, "Alarms", arn), at_least=SERVER_ERRORS_MAX,
    )  # fmt: skip


def _alarm(
    scope: Construct, stage: Stage, kind: str, metric: cloudwatch.IMetric, *, topic: sns.ITopic,
    subject: str = "", at_least: float | None = None, below: float | None = None, periods: int = 1,
    silence_is_trouble: bool = False,
) -> cloudwatch.Alarm:  # fmt: skip
    name = f"{kind}-{subject.replace('.', '-')}" if subject else kind
    operators, missing = cloudwatch.ComparisonOperator, cloudwatch.TreatMissingData
    alarm = cloudwatch.Alarm(
        scope,
        name,
        alarm_name=stage.named(name),
        alarm_description=(
            f"{KINDS[kind].means} First: {KINDS[kind].first} {stage.runbook_url}#{kind}"
        ),
        metric=metric,
        threshold=below if at_least is None else at_least,  # type: ignore[arg-type]
        comparison_operator=operators.LESS_THAN_THRESHOLD
        if at_least is None
        else operators.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
        evaluation_periods=periods,
        treat_missing_data=missing.BREACHING if silence_is_trouble else missing.NOT_BREACHING,
    )
    action = actions.SnsAction(topic)
    alarm.add_alarm_action(action)
    alarm.add_ok_action(action)
    return alarm


def instance_hours(endpoint: str, period: Duration) -> cloudwatch.MathExpression:
    """Every instance of an endpoint tells of its CPU once a minute: so the samples count instance minutes."""
    dimensions = {"EndpointName": endpoint, "VariantName": "AllTraffic"}
    minutes = _metric(
        "/aws/sagemaker/Endpoints", "CPUUtilization", dimensions, "SampleCount", period
    )
    return cloudwatch.MathExpression(
        expression="minutes / 60", using_metrics={"minutes": minutes}, period=period, label=endpoint
    )


def _metric(
    namespace: str,
    name: str,
    dimensions: Mapping[str, str],
    statistic: str = "Sum",
    period: Duration = _FIVE,
) -> cloudwatch.Metric:
    return cloudwatch.Metric(
        namespace=namespace, metric_name=name, dimensions_map=dict(dimensions) or None,
        statistic=statistic, period=period,
    )  # fmt: skip


def _dashed(folder: str) -> str:
    return folder.replace("_", "-")
