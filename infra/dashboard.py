"""One page that answers: is anything late, is anything broken, what does it cost? Its graphs are searches, so that they
never lag behind the pools and functions that there are."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from infra.alarms import NAMESPACE
from infra.rights import Resources

COLUMNS = 24
WIDGET_ALARMS_MAX = 100  # that CloudWatch shows in one widget
TOKENS = ("PromptTokens", "CachedTokens", "CompletionTokens")
SECONDS = ("LoadSeconds", "QueuedSeconds", "DrainSeconds")
_HEIGHT = 6
_MINUTE = Duration.minutes(1)
_FIVE = Duration.minutes(5)


class Dashboard(Construct):
    """`resource`. A row for each of: the alarms; the pools' work; what was foretold; their instances; what work took of
    the engines; the batches and the API; the functions."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        resources: Resources,
        alarms: Sequence[cloudwatch.IAlarm],
    ) -> None:
        super().__init__(scope, id)
        stage = resources.stage
        prefix = stage.named("")
        in_stage = f'Stage="{stage.name}"'
        self.resource = cloudwatch.Dashboard(
            self,
            "Dashboard",
            dashboard_name=f"offpeak-{stage.name}",
            default_interval=Duration.hours(12),
            widgets=[
                _statuses(alarms),
                _work(in_stage),
                _forecasts(in_stage),
                _instances(prefix),
                _engines(in_stage),
                _batches(resources),
                _calls(prefix),
            ],
        )


def _work(in_stage: str) -> list[cloudwatch.IWidget]:
    """What waits and what is late, pool by pool."""
    return [
        _graph("Shards that wait or hold an instance", _pools("WaitingShards", in_stage, "Maximum")),
        _graph("Least slack, s", _pools("LeastSlackSeconds", in_stage, "Minimum")),
        _graph("Oldest wait, s", _pools("OldestWaitSeconds", in_stage, "Maximum")),
        _graph(
            "Failed attempts at shards, batches at risk",
            _pools("FailedShards", in_stage, "Maximum"),
            _pools("AtRiskBatches", in_stage, "Maximum"),
        ),
    ]  # fmt: skip


def _forecasts(in_stage: str) -> list[cloudwatch.IWidget]:
    """How far off estimated ends were, and how fresh the signals are that plans are made by."""
    return [
        _graph(
            "How far off estimated ends were, % (at 10 % of a batch, at 50 %)",
            _pools("EstimateErrorAt10", in_stage, "Average"),
            _pools("EstimateErrorAt50", in_stage, "Average"),
        ),
        _graph("Signals that fell back, by region", _regions("SignalFallback", in_stage, "Maximum")),
        _graph("Age of signals, s", _regions("SignalAgeSeconds", in_stage, "Maximum")),
    ]  # fmt: skip


def _instances(prefix: str) -> list[cloudwatch.IWidget]:
    return [
        _graph("Instances", _endpoints("CPUUtilization", prefix, "SampleCount")),
        _graph("GPU use, %", _endpoints("GPUUtilization", prefix, "Average")),
        _graph("GPU memory, %", _endpoints("GPUMemoryUtilization", prefix, "Average")),
    ]  # fmt: skip


def _engines(in_stage: str) -> list[cloudwatch.IWidget]:
    """What work took of the engines."""
    return [
        _graph(
            "Tokens a minute, of shards that ended",
            *(_pools(name, in_stage, "Sum") for name in TOKENS),
        ),
        _graph("Prompt tokens from the prefix cache, share", _pools("CacheHitRate", in_stage, "Average")),
        _graph("Occupied places on the engine, share", _pools("Occupancy", in_stage, "Average")),
        _graph(
            "Seconds of a shard's load, queue and drain",
            *(_pools(name, in_stage, "Average") for name in SECONDS),
        ),
    ]  # fmt: skip


def _batches(resources: Resources) -> list[cloudwatch.IWidget]:
    """The batches, the queues and the API."""
    stage = resources.stage
    prefix = stage.named("")
    return [
        _graph(
            "Executions of process_batch",
            *(
                cloudwatch.Metric(
                    namespace="AWS/States", metric_name=name, statistic="Sum", period=_FIVE,
                    dimensions_map={"StateMachineArn": resources.state_machine_arn},
                )
                for name in ("ExecutionsStarted", "ExecutionsSucceeded", "ExecutionsFailed")
            ),
        ),
        _graph(
            "Records that wait in queues",
            _search("{AWS/SQS,QueueName}", "ApproximateNumberOfMessagesVisible", f'"{prefix}"', "Maximum"),
        ),
        _graph(
            "Requests to the API, and its errors",
            *(_api(name, stage.name, "Sum") for name in ("Count", "4XXError", "5XXError")),
        ),
        _graph("The API's latency, ms", *(_api("Latency", stage.name, s) for s in ("p50", "p99"))),
    ]  # fmt: skip


def _calls(prefix: str) -> list[cloudwatch.IWidget]:
    return [
        _graph("Errors of functions", _functions("Errors", prefix, "Sum")),
        _graph("Duration of functions, ms", _functions("Duration", prefix, "p99")),
        _graph("Executions of functions at once", _functions("ConcurrentExecutions", prefix, "Maximum")),
    ]  # fmt: skip


def _statuses(alarms: Sequence[cloudwatch.IAlarm]) -> list[cloudwatch.IWidget]:
    parts = [alarms[i : i + WIDGET_ALARMS_MAX] for i in range(0, len(alarms), WIDGET_ALARMS_MAX)]
    return [
        cloudwatch.AlarmStatusWidget(
            alarms=list(part), title="Alarms", width=COLUMNS, height=_HEIGHT
        )
        for part in parts
    ]


def _graph(title: str, *metrics: cloudwatch.IMetric) -> cloudwatch.GraphWidget:
    return cloudwatch.GraphWidget(title=title, left=list(metrics), width=6, height=_HEIGHT)


def _search(schema: str, metric: str, matching: str, statistic: str) -> cloudwatch.MathExpression:
    query = f'{schema} MetricName="{metric}" {matching}'
    return cloudwatch.MathExpression(
        expression=f"SEARCH('{query}', '{statistic}', 60)",
        using_metrics={},
        period=_MINUTE,
        label="",
    )


def _pools(metric: str, matching: str, statistic: str) -> cloudwatch.MathExpression:
    return _search(f"{{{NAMESPACE},Stage,Pool}}", metric, matching, statistic)


def _regions(metric: str, matching: str, statistic: str) -> cloudwatch.MathExpression:
    return _search(f"{{{NAMESPACE},Stage,Region}}", metric, matching, statistic)


def _endpoints(metric: str, prefix: str, statistic: str) -> cloudwatch.MathExpression:
    schema = "{/aws/sagemaker/Endpoints,EndpointName,VariantName}"
    return _search(schema, metric, f'"{prefix}"', statistic)


def _functions(metric: str, prefix: str, statistic: str) -> cloudwatch.MathExpression:
    return _search("{AWS/Lambda,FunctionName}", metric, f'"{prefix}"', statistic)


def _api(metric: str, stage: str, statistic: str) -> cloudwatch.Metric:
    return cloudwatch.Metric(
        namespace="AWS/ApiGateway", metric_name=metric, statistic=statistic, period=_FIVE,
        dimensions_map={"ApiName": f"offpeak-{stage}", "Stage": stage}, label=f"{metric} {statistic}",
    )  # fmt: skip
