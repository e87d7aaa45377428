"""What a stage costs in a month in which nobody uses it: counted in its templates, priced, and summed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra.access import Access
from infra.bundles import Bundles
from infra.roles import ACCESS
from offpeak.aws.deliveries import BUCKETS
from offpeak.core.catalogue import Catalogue
from tests.infra.synthesised import Synthesised, synthesise

BEGIN, END = "<!-- idle cost: written by `make snapshots` -->", "<!-- end of idle cost -->"
HOURS = 730
MINUTES = HOURS * 60
# us-east-1, dollars. Free tiers are left out.
LAMBDA_CALL = 0.20 / 1e6
LAMBDA_GB_SECOND = 16.67 / 1e6 * 0.8  # arm64
DYNAMODB_READ = 0.125 / 1e6
SQS_CALL = 0.40 / 1e6
ALARM_METRIC = 0.10
CUSTOM_METRIC = 0.30
PUT_METRIC_DATA = 0.01 / 1_000
DASHBOARD = 3.00
LOG_GB = 0.50
ECR_GB = 0.10
SECRET = 0.40
KMS_KEY = 1.00
KMS_CALL = 0.03 / 10_000
# What the templates don't say.
IDLE_SECONDS = 0.5  # a scheduled function's time with nothing to do
LOG_KB = 1.0  # what it logs each time
POLLS_A_MINUTE = 5 * 3  # Lambda keeps five pollers at a queue, each asking for 20 s
METRICS_A_POOL = 4
INDEX_READS_A_POOL = 8  # a minute: `sweep`, `measure_pools` and `plan_capacity` look at runs and shards, and the plan
# Open batches (`sweep`, `show_drops`), open gatherings and groups, the parts of the due deliveries.
INDEX_READS = 4 + BUCKETS
IMAGE_GB = 10
KEY_MINUTES = 5  # DynamoDB asks for a table's key again, for each role that reads it


@dataclass(frozen=True, slots=True)
class Row:
    component: str
    reckoning: str
    dollars: float


def rows(stage: Synthesised) -> list[Row]:
    """Of a stage with the pools that it has, their instances at zero."""
    calls = dict(_scheduled(stage))
    pools = len(stage.inference)
    gb_seconds = sum(a_month * IDLE_SECONDS * mb / 1024 for mb, a_month in calls.values())
    invocations = sum(a_month for _, a_month in calls.values())
    queues = len(_all(stage, "AWS::Lambda::EventSourceMapping"))
    alarm_metrics = sum(
        len([m for m in alarm.get("Metrics", [{"MetricStat": 1}]) if "MetricStat" in m])
        for alarm in _all(stage, "AWS::CloudWatch::Alarm")
    )
    # Application Auto Scaling makes two alarms of its own for a target that it tracks.
    alarm_metrics += 2 * sum(
        policy["PolicyType"] == "TargetTrackingScaling"
        for policy in _all(stage, "AWS::ApplicationAutoScaling::ScalingPolicy")
    )
    secrets = len(_all(stage, "AWS::SecretsManager::Secret"))
    reads = MINUTES * (INDEX_READS_A_POOL * pools + INDEX_READS) + MINUTES * 2 / 5
    running = invocations * LAMBDA_CALL + gb_seconds * LAMBDA_GB_SECOND
    polling = queues * POLLS_A_MINUTE * MINUTES * SQS_CALL
    metrics = pools * METRICS_A_POOL + 1  # and the plans' age
    measuring = metrics * CUSTOM_METRIC + 2 * MINUTES * PUT_METRIC_DATA
    log_gb = invocations * LOG_KB / 1e6
    keys = len(_all(stage, "AWS::KMS::Key"))
    decrypted = keys * sum(len(access.tables) for access in _by_the_clock(stage))
    key_calls = decrypted * MINUTES / KEY_MINUTES
    return [
        Row("SageMaker", f"pools at zero instances: {pools}", 0.0),
        Row("Lambda", f"{invocations:,.0f} calls by the clock, {gb_seconds:,.0f} GB-s", running),
        Row("SQS", f"{queues} queues, {POLLS_A_MINUTE} polls a minute each", polling),
        Row("DynamoDB", f"{reads:,.0f} looks into indexes by the clock", reads * DYNAMODB_READ),
        Row("Secrets Manager", f"{secrets} secrets", secrets * SECRET),
        Row(
            "KMS",
            f"{keys} key, {key_calls:,.0f} calls by the clock",
            keys * KMS_KEY + key_calls * KMS_CALL,
        ),
        Row("CloudWatch alarms", f"{alarm_metrics} alarm metrics", alarm_metrics * ALARM_METRIC),
        Row("CloudWatch dashboard", "1", DASHBOARD),
        Row("CloudWatch metrics", f"{metrics} of pools and plans, two calls a minute", measuring),
        Row("CloudWatch Logs", f"{log_gb:.2f} GB", log_gb * LOG_GB),
        Row("ECR", f"the container's image, {IMAGE_GB} GB", IMAGE_GB * ECR_GB),
        Row("API Gateway, Step Functions, SNS, EventBridge", "no calls", 0.0),
    ]


def render(found: Sequence[Row]) -> str:
    """A table whose last line is the sum of the amounts as they stand in it."""
    lines = ["| component | a month | $ |", "|---|---|---:|"]
    lines += [f"| {row.component} | {row.reckoning} | {row.dollars:.2f} |" for row in found]
    total = sum(round(row.dollars, 2) for row in found)
    return "\n".join([*lines, f"| **sum** | | **{total:.2f}** |"])


def put_into(guide: str, bundles: Bundles, catalogue: Catalogue) -> str:
    """The guide with the table of a production stage that serves one pool."""
    one = Catalogue(catalogue.models[:1])
    table = render(rows(synthesise("prod", bundles, one)))
    return re.sub(
        f"{re.escape(BEGIN)}.*?{re.escape(END)}", f"{BEGIN}\n{table}\n{END}", guide, flags=re.S
    )


def _by_the_clock(stage: Synthesised) -> Iterator[Access]:
    """What the functions may touch that a clock calls."""
    for folder, access in ACCESS.items():
        rule = stage.stage.named(folder.replace("_", "-"))
        if any(
            r["Name"] == rule and "ScheduleExpression" in r
            for r in _all(stage, "AWS::Events::Rule")
        ):
            yield access


def _all(stage: Synthesised, kind: str) -> list[Mapping[str, Any]]:
    return [
        resource["Properties"]
        for template in stage.templates.values()
        for resource in template.find_resources(kind).values()
    ]


def _a_month(rate: re.Match[str]) -> float:
    return (MINUTES if rate[2] == "minute" else HOURS) / int(rate[1])


def _scheduled(stage: Synthesised) -> Iterator[tuple[str, tuple[int, float]]]:
    """Function → its memory in MB, and how often it is called in a month."""
    for template in stage.templates.values():
        functions = template.find_resources("AWS::Lambda::Function")
        for rule in template.find_resources("AWS::Events::Rule").values():
            expression = rule["Properties"].get("ScheduleExpression", "")
            rate = re.fullmatch(r"rate\((\d+) (minute|hour)s?\)", expression)
            if rate is None:
                continue
            for target in rule["Properties"]["Targets"]:
                name = target["Arn"]["Fn::GetAtt"][0]
                yield name, (functions[name]["Properties"]["MemorySize"], _a_month(rate))
