"""Every SageMaker, Application Auto Scaling and CloudWatch call that we make, or that CloudFormation makes for us, held
to botocore's own service models: names, types, required ones, ranges, lengths, patterns and enumerations.

For every model of models.toml, deployed or not: a value that AWS would refuse fails here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import botocore.session
import pytest
from botocore.model import ListShape, MapShape, Shape, StringShape, StructureShape
from botocore.validate import ParamValidator

from infra.bundles import Bundles
from offpeak.core.catalogue import Catalogue
from offpeak.local.templates import Resolver
from tests.infra.synthesised import Synthesised, synthesise

ACCOUNT, REGION = "123456789012", "us-east-1"
SESSION = botocore.session.get_session()
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


def faults(service: str, operation: str, parameters: Mapping[str, Any]) -> list[str]:
    """What AWS would not take: botocore's findings, and those that it leaves to the service."""
    shape = SESSION.get_service_model(service).operation_model(operation).input_shape
    assert shape is not None
    report = ParamValidator().validate(dict(parameters), shape)
    found = [report.generate_report()] if report.has_errors() else []
    return found + list(_beyond(shape, parameters, operation))


def _beyond(shape: Shape, value: Any, where: str) -> Iterator[str]:
    """Patterns, longest lengths, greatest values and enumerations, which botocore's validator doesn't look at."""
    if isinstance(shape, StructureShape) and isinstance(value, Mapping):
        for name, each in value.items():
            if name in shape.members:
                yield from _beyond(shape.members[name], each, f"{where}.{name}")
    elif isinstance(shape, MapShape) and isinstance(value, Mapping):
        yield from _sizes(shape, len(value), where)
        for name, each in value.items():
            yield from _beyond(shape.key, name, f"{where} key")
            yield from _beyond(shape.value, each, f"{where}.{name}")
    elif isinstance(shape, ListShape) and isinstance(value, list):
        yield from _sizes(shape, len(value), where)
        for each in value:
            yield from _beyond(shape.member, each, f"{where}[]")
    elif isinstance(shape, StringShape) and isinstance(value, str):
        yield from _text(shape, value, where)
    elif isinstance(value, int | float):
        yield from _sizes(shape, value, where)


def _text(shape: StringShape, value: str, where: str) -> Iterator[str]:
    yield from _sizes(shape, len(value), where)
    pattern = str(shape.metadata.get("pattern", ""))
    is_ours = pattern and "\\p{" not in pattern and "\\u" not in pattern  # as Python writes them
    if is_ours and not re.fullmatch(pattern, value):
        yield f"{where}: {value!r} does not match {pattern}"
    if shape.enum and value not in shape.enum:
        yield f"{where}: {value!r} is none of {shape.enum}"


def _sizes(shape: Shape, size: float, where: str) -> Iterator[str]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if (low is not None and size < low) or (high is not None and size > high):
        yield f"{where}: {size} is not in {low}–{high}"


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
