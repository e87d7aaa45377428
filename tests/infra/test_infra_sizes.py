"""Limits of AWS that a deployment would only meet at its end. Each stands with the page that sets it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app import ROOT
from infra.bundles import Bundles, make_bundles
from offpeak.core.catalogue import Catalogue
from tests.infra.synthesised import STAGES, Synthesised, synthesise

# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
TEMPLATE_BYTES_MAX = 1_000_000
RESOURCES_MAX = 500
OUTPUTS_MAX = PARAMETERS_MAX = 200
OUTPUT_NAME_CHARS_MAX = 255
DESCRIPTION_BYTES_MAX = 1_024
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html: inline policies of a role, altogether; a
# managed policy. Whitespace doesn't count.
INLINE_POLICIES_CHARS_MAX = 10_240
MANAGED_POLICY_CHARS_MAX = 6_144
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
ENVIRONMENT_BYTES_MAX = 4_096
UNZIPPED_BYTES_MAX = 250 * 1024**2  # a function and its layers
RESOURCE_POLICY_BYTES_MAX = 20_480
# https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
DEFINITION_BYTES_MAX = 1024**2
# Names: the service's API reference, at the operation that creates the thing.
NAME_CHARS_MAX = {
    "AWS::Lambda::Function": ("FunctionName", 64),
    "AWS::SQS::Queue": ("QueueName", 80),
    "AWS::SNS::Topic": ("TopicName", 256),
    "AWS::DynamoDB::Table": ("TableName", 255),
    "AWS::S3::Bucket": ("BucketName", 63),
    "AWS::Events::Rule": ("Name", 64),
    "AWS::Events::EventBus": ("Name", 256),
    "AWS::StepFunctions::StateMachine": ("StateMachineName", 80),
    "AWS::SageMaker::Endpoint": ("EndpointName", 63),
    "AWS::Logs::LogGroup": ("LogGroupName", 512),
    "AWS::CloudWatch::Alarm": ("AlarmName", 255),
    "AWS::CloudWatch::Dashboard": ("DashboardName", 255),
    "AWS::Budgets::Budget": ("BudgetName", 100),
    "AWS::IAM::Role": ("RoleName", 64),
}
# What a reference may stand for, at its longest: an ARN of a table with its index, an address of a queue.
REFERENCE = "x" * 160
PSEUDO = {
    "AWS::AccountId": "123456789012",
    "AWS::Region": "ap-southeast-4",
    "AWS::Partition": "aws",
}


@pytest.fixture(scope="module")
def everything(bundles: Bundles, every_model: Catalogue) -> Synthesised:
    """The largest stage that there can be: every model, and all that monitoring can be told."""
    rich = replace(STAGES["prod"], budget_usd_per_month=900, gpu_hours_per_day_max=48)
    return synthesise(rich, bundles, every_model)


@pytest.fixture(params=["everything", "dev", "local"])
def stage(request: pytest.FixtureRequest) -> Synthesised:
    synthesised: Synthesised = request.getfixturevalue(request.param)
    return synthesised


def _written_out(value: Any) -> Any:
    """The value with every reference as long as what it stands for can be."""
    if isinstance(value, list):
        return [_written_out(each) for each in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"Ref"}:
        return PSEUDO.get(value["Ref"], REFERENCE)
    if "Fn::Join" in value:
        separator, parts = value["Fn::Join"]
        return separator.join(_written_out(part) for part in parts)
    if any(key.startswith("Fn::") for key in value):
        return REFERENCE
    return {key: _written_out(each) for key, each in value.items()}


def _size(value: Any) -> int:
    return len(json.dumps(_written_out(value), separators=(",", ":")).encode())


def _resources(stage: Synthesised, kind: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for part in stage.templates:
        for name, resource in stage.json(part)["Resources"].items():
            if resource["Type"] == kind:
                yield f"{part}.{name}", resource["Properties"]


def test_templates_are_far_from_cloudformations_limits(stage: Synthesised) -> None:
    for part in stage.templates:
        template = stage.json(part)
        assert len(json.dumps(template).encode()) < TEMPLATE_BYTES_MAX / 2, part
        assert len(template["Resources"]) < RESOURCES_MAX / 2, part
        assert len(template.get("Outputs", {})) < OUTPUTS_MAX / 2, part
        assert len(template.get("Parameters", {})) < PARAMETERS_MAX / 2, part
        assert all(len(name) <= OUTPUT_NAME_CHARS_MAX for name in template.get("Outputs", {}))
        assert len(template["Description"].encode()) <= DESCRIPTION_BYTES_MAX


def test_a_roles_policies_fit_into_what_iam_takes(stage: Synthesised) -> None:
    found: dict[str, int] = {}
    for name, policy in _resources(stage, "AWS::IAM::Policy"):
        for role in policy["Roles"]:
            key = f"{name.partition('.')[0]}.{role['Ref']}"
            found[key] = found.get(key, 0) + _size(policy["PolicyDocument"])
    assert found
    assert {role: size for role, size in found.items() if size >= INLINE_POLICIES_CHARS_MAX} == {}
    for name, policy in _resources(stage, "AWS::IAM::ManagedPolicy"):
        assert _size(policy["PolicyDocument"]) < MANAGED_POLICY_CHARS_MAX, name


def test_environments_fit_into_what_lambda_takes(stage: Synthesised) -> None:
    functions = dict(_resources(stage, "AWS::Lambda::Function"))
    assert functions
    for name, function in functions.items():
        assert _size(function["Environment"]["Variables"]) < ENVIRONMENT_BYTES_MAX, name


def test_a_function_may_be_called_by_as_many_as_its_resource_policy_holds(
    stage: Synthesised,
) -> None:
    sizes: dict[str, int] = {}
    for _, permission in _resources(stage, "AWS::Lambda::Permission"):
        function = str(permission["FunctionName"])
        sizes[function] = sizes.get(function, 0) + _size(permission)
    assert all(size < RESOURCE_POLICY_BYTES_MAX for size in sizes.values())


def test_state_machines_fit_into_what_step_functions_takes(stage: Synthesised) -> None:
    machines = dict(_resources(stage, "AWS::StepFunctions::StateMachine"))
    assert machines
    for name, machine in machines.items():
        definition = _written_out(machine["DefinitionString"])
        assert len(definition.encode()) < DEFINITION_BYTES_MAX / 2, name


@pytest.mark.parametrize("kind", NAME_CHARS_MAX)
def test_names_are_as_long_as_their_service_takes(kind: str, stage: Synthesised) -> None:
    field, chars_max = NAME_CHARS_MAX[kind]
    for name, properties in _resources(stage, kind):
        given = _written_out(properties.get(field))
        assert given is None or len(given) <= chars_max, (name, given)


def test_a_function_and_its_layer_fit_unzipped() -> None:
    made = make_bundles(ROOT, models=ROOT / "models.toml", target="lambda")
    code, layer, tokenizers = _bytes(made.code), _bytes(made.layer), _bytes(made.tokenizers)
    assert 0 < code < 10 * 1024**2
    assert 0 < layer < UNZIPPED_BYTES_MAX / 4
    assert 0 < tokenizers < 16 * 1024**2
    assert code + layer + tokenizers < UNZIPPED_BYTES_MAX
    packages = {path.name.partition("-")[0] for path in (made.tokenizers / "python").iterdir()}
    assert packages == {"tokenizers"}


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_what_is_written_out_is_never_shorter_than_it_will_be() -> None:
    joined = {
        "Fn::Join": ["", ["arn:", {"Ref": "AWS::Partition"}, ":x:", {"Fn::GetAtt": ["A", "Arn"]}]]
    }
    assert re.fullmatch(r"arn:aws:x:x{160}", _written_out(joined))


def test_no_widget_shows_more_alarms_than_cloudwatch_takes(everything: Synthesised) -> None:
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html"""
    alarms = list(_resources(everything, "AWS::CloudWatch::Alarm"))
    [(_, dashboard)] = _resources(everything, "AWS::CloudWatch::Dashboard")
    body = json.loads(_written_out(dashboard["DashboardBody"]))
    shown = [len(w["properties"]["alarms"]) for w in body["widgets"] if w["type"] == "alarm"]
    assert max(shown) <= 100
    monitored = [name for name, _ in alarms if name.startswith("monitoring.")]
    assert sum(shown) == len(monitored)
