"""What the door costs in a month in which nobody uses it: counted in its template, priced, and summed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from infra.bundles import Bundles
from offpeak.core.catalogue import Catalogue
from tests.infra.door_stage import DOOR_STAGE
from tests.infra.idle_cost import ECR_GB, HOURS, Row, render
from tests.infra.synthesised import Synthesised, synthesise

BEGIN, END = "<!-- door cost: written by `make snapshots` -->", "<!-- end of door cost -->"
# us-east-1, 2026-09, dollars. Free tiers are left out.
FARGATE_VCPU_HOUR = 0.04048  # x86
FARGATE_GB_HOUR = 0.004445
LOAD_BALANCER_HOUR = 0.0225
ADDRESS_HOUR = 0.005  # a public IPv4 address
ALARM_METRIC = 0.10  # a month; an alarm costs as many as it looks at
# What the template doesn't say.
IMAGE_GB = 0.1
ALARMS_A_POLICY = 2  # Application Auto Scaling makes them for a target that it tracks


def rows(stage: Synthesised) -> list[Row]:
    """Of as many tasks as there are at the least."""
    task = _only(stage, "AWS::ECS::TaskDefinition")
    cores, gb = int(task["Cpu"]) / 1_024, int(task["Memory"]) / 1_024
    tasks = int(_only(stage, "AWS::ApplicationAutoScaling::ScalableTarget")["MinCapacity"])
    subnets = len(_only(stage, "AWS::ElasticLoadBalancingV2::LoadBalancer")["Subnets"])
    addresses = subnets + tasks
    policies = stage.templates["door"].find_resources("AWS::ApplicationAutoScaling::ScalingPolicy")
    alarms = ALARMS_A_POLICY * len(policies)
    own = stage.templates["door"].find_resources("AWS::CloudWatch::Alarm").values()
    metrics = sum("MetricStat" in each for alarm in own for each in alarm["Properties"]["Metrics"])
    running = tasks * (cores * FARGATE_VCPU_HOUR + gb * FARGATE_GB_HOUR) * HOURS
    return [
        Row("Fargate", f"{tasks} task of {cores:g} vCPU and {gb:g} GB", running),
        Row("Load balancer", "1, without load", LOAD_BALANCER_HOUR * HOURS),
        Row(
            "Public addresses",
            f"{subnets} of the load balancer, {tasks} of the task",
            addresses * ADDRESS_HOUR * HOURS,
        ),
        Row(
            "CloudWatch alarms",
            f"{alarms} of scaling, {metrics} metrics of its own",
            (alarms + metrics) * ALARM_METRIC,
        ),
        Row("ECR", f"the image, about {IMAGE_GB} GB", IMAGE_GB * ECR_GB),
    ]


def put_into(guide: str, bundles: Bundles, catalogue: Catalogue) -> str:
    stage = synthesise(DOOR_STAGE, bundles, Catalogue(catalogue.models[:1]))
    table = render(rows(stage))
    return re.sub(
        f"{re.escape(BEGIN)}.*?{re.escape(END)}", f"{BEGIN}\n{table}\n{END}", guide, flags=re.S
    )


def _only(stage: Synthesised, kind: str) -> Mapping[str, Any]:
    [found] = stage.templates["door"].find_resources(kind).values()
    properties: Mapping[str, Any] = found["Properties"]
    return properties
