"""Every SageMaker, Application Auto Scaling and CloudWatch call that we make, or that CloudFormation makes for us, held
to botocore's own service models: names, types, required ones, ranges, lengths, patterns and enumerations.

For every model of models.toml, deployed or not: a value that AWS would refuse fails here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import pytest

from infra.bundles import Bundles
from offpeak.core.catalogue import Catalogue
from offpeak.local.templates import Resolver
from tests.aws_models import faults
from tests.infra.synthesised import Synthesised, synthesise

ACCOUNT, REGION = "123456789012", "us-east-1"
# Resource type → service, operation, and the properties that CloudFormation knows by another name or keeps to itself.
CALLS: Mapping[str, tuple[str, str, Mapping[str, str | None]]] = {
    "AWS::SageMaker::Model": ("sagemaker", "CreateModel", {}),
    "AWS::SageMaker::EndpointConfig": ("sagemaker", "CreateEndpointConfig", {}),
    "AWS::SageMaker::Endpoint": (
        "sagemaker",
        "CreateEndpoint",
        {"RetainAllVariantProperties": None},  # of UpdateEndpoint
    ),
    "AWS::ApplicationAutoScaling::ScalableTarget": (
        "application-autoscaling", "RegisterScalableTarget", {},
    ),
    "AWS::ApplicationAutoScaling::ScalingPolicy": (
        "application-autoscaling", "PutScalingPolicy", {"ScalingTargetId": None},
    ),
    "AWS::CloudWatch::Alarm": ("cloudwatch", "PutMetricAlarm", {}),
}  # fmt: skip
# What the call needs and CloudFormation makes up.
NAMES = {"CreateModel": "ModelName", "CreateEndpointConfig": "EndpointConfigName"}


@pytest.fixture(scope="module")
def everything(bundles: Bundles, every_model: Catalogue) -> Synthesised:
    return synthesise("prod", bundles, every_model, hub_token_secret="hub-token")


def _resolver(template: Mapping[str, Any]) -> Resolver:
    """Every reference by the longest kind of thing it can stand for here."""
    names = {
        "AWS::AccountId": ACCOUNT, "AWS::Region": REGION, "AWS::Partition": "aws",
        "AWS::URLSuffix": "amazonaws.com",
    }  # fmt: skip
    attributes: dict[str, str] = {}
    for logical, resource in template["Resources"].items():
        given = resource.get("Properties", {})
        names[logical] = f"arn:aws:anything:{REGION}:{ACCOUNT}:{logical}"
        attributes[f"{logical}.Arn"] = f"arn:aws:iam::{ACCOUNT}:role/{logical}"
        for attribute in ("ModelName", "EndpointConfigName", "EndpointName"):
            attributes[f"{logical}.{attribute}"] = given.get(attribute, logical[:63])
    return Resolver(names=names, attributes=attributes, imports=_Imports())


class _Imports(dict[str, str]):
    """An export of another stack: a topic where a topic is meant, else a bucket's or a table's name."""

    def __missing__(self, name: str) -> str:
        if "Topic" in name or "Success" in name or "Failure" in name:
            return f"arn:aws:sns:{REGION}:{ACCOUNT}:topic"
        return f"offpeak-prod-{ACCOUNT}-{REGION}"


def calls(stage: Synthesised) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Where it stands, service, operation and parameters of each call that a deploy makes."""
    for part in stage.templates:
        template = stage.json(part)
        resolver = _resolver(template)
        for logical, resource in template["Resources"].items():
            if resource["Type"] in CALLS:
                service, operation, renamed = CALLS[resource["Type"]]
                given = resolver.resolve(resource["Properties"])
                parameters = {
                    renamed.get(name) or name: value
                    for name, value in given.items()
                    if renamed.get(name, name) is not None
                }
                parameters.update(_completed(operation, resource, template, resolver, logical))
                yield f"{part}/{logical}", service, operation, parameters


def _completed(
    operation: str, resource: Any, template: Any, resolver: Resolver, logical: str
) -> dict[str, Any]:
    if operation == "PutScalingPolicy":
        target = template["Resources"][resource["Properties"]["ScalingTargetId"]["Ref"]]
        shared = ("ServiceNamespace", "ResourceId", "ScalableDimension")
        return {name: resolver.resolve(target["Properties"][name]) for name in shared}
    if operation == "RegisterScalableTarget":
        tags = resource["Properties"].get(
            "Tags", []
        )  # a list to CloudFormation, a map to the service
        return {"Tags": {tag["Key"]: tag["Value"] for tag in tags}}
    if operation in NAMES:
        return {NAMES[operation]: logical[:63]}
    if operation == "PutMetricAlarm" and "AlarmName" not in resource["Properties"]:
        return {"AlarmName": logical}
    return {}


def test_every_call_of_every_models_deploy_is_one_that_aws_takes(everything: Synthesised) -> None:
    found = list(calls(everything))
    wrong = {
        where: (operation, told)
        for where, service, operation, parameters in found
        if (told := faults(service, operation, parameters))
    }
    assert wrong == {}
    models = len(everything.inference)
    assert models >= 20
    operations = [operation for _, _, operation, _ in found]
    for operation in ("CreateModel", "CreateEndpointConfig", "CreateEndpoint"):
        assert operations.count(operation) == models
    assert operations.count("RegisterScalableTarget") == models
    assert operations.count("PutScalingPolicy") == 2 * models


def test_an_update_is_one_that_aws_takes(everything: Synthesised) -> None:
    for _, _, operation, parameters in calls(everything):
        if operation == "CreateEndpoint":
            update = {**parameters, "RetainAllVariantProperties": True}
            update.pop("Tags", None)
            assert faults("sagemaker", "UpdateEndpoint", update) == []


def test_an_alarms_window_is_within_cloudwatchs_day(everything: Synthesised) -> None:
    for where, _, operation, parameters in calls(everything):
        if operation == "PutMetricAlarm" and "Period" in parameters:
            assert parameters["Period"] % 60 == 0, where
            window = parameters["Period"] * parameters["EvaluationPeriods"]
            assert window <= (86_400 if parameters["Period"] < 3_600 else 604_800), where


def test_steps_follow_the_rules_of_their_service(everything: Synthesised) -> None:
    """No gap, no overlap, one open end on the side of the breach, at most twenty."""
    for where, _, operation, parameters in calls(everything):
        if operation != "PutScalingPolicy":
            continue
        steps = parameters["StepScalingPolicyConfiguration"]["StepAdjustments"]
        ends = [
            (s.get("MetricIntervalLowerBound"), s.get("MetricIntervalUpperBound")) for s in steps
        ]
        assert len(steps) <= 20, where
        assert all(one[1] == other[0] for one, other in pairwise(ends)), where
        assert (ends[0][0] is None) is not (ends[-1][1] is None), where
        assert all(low is None or high is None or low < high for low, high in ends), where


@pytest.mark.parametrize(
    ("service", "operation", "parameters", "says"),
    [
        (
            "sagemaker",
            "CreateEndpoint",
            {"EndpointName": "a" * 64, "EndpointConfigName": "c"},
            "64",
        ),
        (
            "sagemaker",
            "CreateEndpoint",
            {"EndpointName": "a_b", "EndpointConfigName": "c"},
            "match",
        ),
        ("sagemaker", "CreateEndpoint", {"EndpointName": "a"}, "EndpointConfigName"),
        ("sagemaker", "CreateModel", {"ModelName": "m", "ExecutionRole": "r"}, "Unknown"),
        (
            "cloudwatch",
            "PutMetricAlarm",
            {"AlarmName": "a", "EvaluationPeriods": 1, "ComparisonOperator": "Over"},
            "none of",
        ),
        ("cloudwatch", "PutMetricData", {"Namespace": "Offpeak", "MetricData": {}}, "MetricData"),
    ],
)
def test_this_check_finds_what_is_wrong(
    service: str, operation: str, parameters: dict[str, Any], says: str
) -> None:
    assert any(says in fault for fault in faults(service, operation, parameters))
