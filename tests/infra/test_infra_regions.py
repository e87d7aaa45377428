"""Pools in further regions: what stands there, what it may touch at home, and who is told."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from aws_cdk import Stack

from infra.bundles import Bundles
from infra.stage import Stage
from infra.stages_file import StageError, check_regions
from offpeak.core.catalogue import Catalogue
from offpeak.core.model import Elsewhere, Model
from tests.infra.synthesised import STAGES, Synthesised, synthesise

ACCOUNT, HOME, FAR = "123456789012", "us-east-1", "eu-north-1"
STAGE = replace(STAGES["prod"], account=ACCOUNT, region=HOME)
MODEL = Model(
    id="org/model", pool="model", source="org/model", endpoints=("/v1/chat/completions",),
    context_tokens=8_192, instance_types=("ml.g6.xlarge", "ml.g5.xlarge"),
    regions={FAR: Elsewhere(instance_types=("ml.g6e.xlarge",), instances_max=3)},
)  # fmt: skip


@pytest.fixture(scope="module")
def stage(bundles: Bundles) -> Synthesised:
    return synthesise(STAGE, bundles, Catalogue((MODEL,)))


def resources(stage: Synthesised, part: str, kind: str) -> list[dict[str, Any]]:
    found = stage.json(part)["Resources"].values()
    return [each["Properties"] for each in found if each["Type"] == kind]


def test_each_region_has_a_stack_and_home_keeps_its_names(stage: Synthesised) -> None:
    assert {"inference-model", f"inference-model-{FAR}", f"abroad-{FAR}"} <= set(stage.templates)
    for part in ("inference-model", f"inference-model-{FAR}"):
        [endpoint] = resources(stage, part, "AWS::SageMaker::Endpoint")
        assert endpoint["EndpointName"] == "offpeak-prod-model"
    children = (each for each in stage.app.node.children if isinstance(each, Stack))
    stacks = {each.stack_name: each.region for each in children}
    assert stacks[f"offpeak-prod-inference-model-{FAR}"] == FAR
    assert stacks["offpeak-prod-inference-model"] == HOME


def test_a_region_has_its_own_types_and_bounds(stage: Synthesised) -> None:
    far = f"inference-model-{FAR}"
    [config] = resources(stage, far, "AWS::SageMaker::EndpointConfig")
    assert config["ProductionVariants"][0]["InstanceType"] == "ml.g6e.xlarge"
    [target] = resources(stage, far, "AWS::ApplicationAutoScaling::ScalableTarget")
    assert (target["MinCapacity"], target["MaxCapacity"]) == (0, 3)
    for alarm in resources(stage, far, "AWS::CloudWatch::Alarm"):
        assert {"Name": "Pool", "Value": f"model@{FAR}"} in alarm["Dimensions"]


def test_a_worker_elsewhere_works_at_home(stage: Synthesised) -> None:
    far = f"inference-model-{FAR}"
    [model] = resources(stage, far, "AWS::SageMaker::Model")
    given = model["PrimaryContainer"]["Environment"]
    assert given["OFFPEAK_HOME_REGION"] == HOME
    assert given["OFFPEAK_BUCKET"] == f"offpeak-prod-{ACCOUNT}-{HOME}"
    policies = json.dumps(resources(stage, far, "AWS::IAM::Policy"))
    assert f":dynamodb:{HOME}:{ACCOUNT}:table/offpeak-prod-shards" in policies
    assert f"offpeak-prod-{ACCOUNT}-{HOME}" in policies
    assert f"s3.{HOME}.amazonaws.com" in policies  # home's key, through home's services
    assert "alias/offpeak-prod" in policies
    [home] = resources(stage, "inference-model", "AWS::SageMaker::Model")
    assert "OFFPEAK_HOME_REGION" not in home["PrimaryContainer"]["Environment"]


def test_sagemaker_writes_and_tells_in_its_own_region(stage: Synthesised) -> None:
    [bucket] = resources(stage, f"abroad-{FAR}", "AWS::S3::Bucket")
    name = json.dumps(bucket["BucketName"])
    assert FAR in name or "AWS::Region" in name
    [rule] = bucket["LifecycleConfiguration"]["Rules"]
    assert rule["ExpirationInDays"] == 1
    [config] = resources(stage, f"inference-model-{FAR}", "AWS::SageMaker::EndpointConfig")
    output = json.dumps(config["AsyncInferenceConfig"]["OutputConfig"])
    assert HOME not in output
    assert "ImportValue" in output


def test_its_topics_deliver_to_the_queue_at_home_which_lets_them(stage: Synthesised) -> None:
    subscriptions = resources(stage, f"abroad-{FAR}", "AWS::SNS::Subscription")
    assert len(subscriptions) == 2
    for each in subscriptions:
        assert f":sqs:{HOME}:{ACCOUNT}:offpeak-prod-shard-ended" in json.dumps(each["Endpoint"])
        assert each["RawMessageDelivery"] is True
    policies = json.dumps(resources(stage, "lifecycle", "AWS::SQS::QueuePolicy"))
    for name in ("shard-success", "shard-failure"):
        assert f":sns:{FAR}:{ACCOUNT}:offpeak-prod-{name}" in policies


def test_who_invokes_and_who_plans_may_do_so_there(stage: Synthesised) -> None:
    for folder, action in (
        ("DispatchShards", "sagemaker:InvokeEndpointAsync"),
        ("PlanCapacity", "sagemaker:DescribeEndpoint"),
        ("PlanCapacity", "application-autoscaling:RegisterScalableTarget"),
    ):
        [policy] = [
            each
            for each in resources(stage, "lifecycle", "AWS::IAM::Policy")
            if f"{folder}Role" in json.dumps(each["Roles"])
        ]
        [statement] = [
            each
            for each in policy["PolicyDocument"]["Statement"]
            if action in json.dumps(each["Action"])
        ]
        assert FAR in json.dumps(statement["Resource"])


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"account": None, "region": None}, "give account and region"),
        ({"region": FAR}, "is the home region"),
        ({"private_network": True}, "private_network"),
    ],
)
def test_a_stage_that_can_have_no_pools_elsewhere_says_why(
    wrong: dict[str, Any], says: str
) -> None:
    stage: Stage = replace(STAGE, **wrong)
    with pytest.raises(StageError, match=says):
        check_regions(stage, [FAR])
