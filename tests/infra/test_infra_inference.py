from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from infra.bundles import Bundles
from infra.inference import UnfitModel
from offpeak.core.catalogue import Catalogue, Model
from tests.infra.synthesised import Synthesised, synthesise


def _model(**changes: Any) -> Model:
    model = Model(
        id="org/model",
        pool="model",
        source="org/model",
        endpoints=("/v1/chat/completions",),
        context_tokens=8_192,
        instance_types=("ml.g6.xlarge",),
    )
    return replace(model, **changes)


def _synthesise(bundles: Bundles, model: Model) -> Synthesised:
    return synthesise("dev", bundles, Catalogue((model,)))


def _only(stage: Synthesised, pool: str, kind: str) -> Mapping[str, Any]:
    [resource] = stage.templates[f"inference-{pool}"].find_resources(kind).values()
    return resource["Properties"]  # type: ignore[no-any-return]


def test_each_model_of_the_catalogue_has_an_endpoint_named_for_its_pool(
    prod: Synthesised, catalogue: Catalogue
) -> None:
    assert {
        _only(prod, model.pool, "AWS::SageMaker::Endpoint")["EndpointName"]
        for model in catalogue.models
    } == {f"offpeak-prod-{model.pool}" for model in catalogue.models}


def test_an_endpoint_answers_in_work_and_tells_both_topics(
    prod: Synthesised, catalogue: Catalogue
) -> None:
    for model in catalogue.models:
        config = _only(prod, model.pool, "AWS::SageMaker::EndpointConfig")["AsyncInferenceConfig"]
        client, output = config["ClientConfig"], config["OutputConfig"]
        assert client == {"MaxConcurrentInvocationsPerInstance": model.concurrency}
        for path in ("S3OutputPath", "S3FailurePath"):
            assert f"/work/invocations/{model.pool}/" in json.dumps(output[path])
        assert set(output["NotificationConfig"]) == {"SuccessTopic", "ErrorTopic"}


def test_instance_types_are_tried_in_the_catalogues_order(prod: Synthesised) -> None:
    [variant] = _only(prod, "phi-4", "AWS::SageMaker::EndpointConfig")["ProductionVariants"]
    assert variant["InstancePools"] == [
        {"InstanceType": "ml.g6e.xlarge", "Priority": 1},
        {"InstanceType": "ml.g6e.2xlarge", "Priority": 2},
    ]
    assert "InstanceType" not in variant


def test_the_container_knows_its_model_and_its_tables(prod: Synthesised) -> None:
    container = _only(prod, "phi-4", "AWS::SageMaker::Model")["PrimaryContainer"]
    assert set(container["Environment"]) == {
        "OFFPEAK_STAGE", "OFFPEAK_BUCKET", "OFFPEAK_TABLE_RUNS", "OFFPEAK_TABLE_SHARDS",
        "OFFPEAK_MODEL", "OFFPEAK_ENGINE",
    }  # fmt: skip
    assert container["Environment"]["OFFPEAK_MODEL"] == "microsoft/phi-4"
    assert "ModelDataSource" not in container


def test_weights_in_s3_are_mounted_and_readable_by_that_prefix_only(bundles: Bundles) -> None:
    stage = _synthesise(bundles, _model(source="s3://weights/org/model"))
    container = _only(stage, "model", "AWS::SageMaker::Model")["PrimaryContainer"]
    source = container["ModelDataSource"]["S3DataSource"]
    assert source["S3Uri"] == "s3://weights/org/model/"
    assert source["CompressionType"] == "None"
    policy = json.dumps(_only(stage, "model", "AWS::IAM::Policy"))
    assert ":s3:::weights/org/model/*" in policy


def test_a_pool_scales_between_its_bounds_with_its_backlog(prod: Synthesised) -> None:
    target = _only(prod, "qwen2-5-7b-instruct", "AWS::ApplicationAutoScaling::ScalableTarget")
    assert (target["MinCapacity"], target["MaxCapacity"]) == (0, 4)
    assert target["ScalableDimension"] == "sagemaker:variant:DesiredInstanceCount"
    prod.templates["inference-qwen2-5-7b-instruct"].has_resource_properties(
        "AWS::ApplicationAutoScaling::ScalingPolicy",
        {
            "PolicyType": "TargetTrackingScaling",
            "TargetTrackingScalingPolicyConfiguration": {
                "TargetValue": 2,
                "CustomizedMetricSpecification": {
                    "MetricName": "ApproximateBacklogSizePerInstance"
                },
            },
        },
    )


def test_the_metric_that_wakes_a_pool_never_puts_it_to_sleep(prod: Synthesised) -> None:
    template = prod.templates["inference-phi-4"]
    alarm = _only(prod, "phi-4", "AWS::CloudWatch::Alarm")
    policies = template.find_resources("AWS::ApplicationAutoScaling::ScalingPolicy")
    assert alarm["MetricName"] == "HasBacklogWithoutCapacity"
    [action] = alarm["AlarmActions"]
    steps = policies[action["Ref"]]["Properties"]["StepScalingPolicyConfiguration"]
    assert [step["ScalingAdjustment"] for step in steps["StepAdjustments"]] == [1]
    assert not {"OKActions", "InsufficientDataActions"} & set(alarm)


def test_a_pool_that_never_sleeps_needs_no_waking(bundles: Bundles) -> None:
    stage = _synthesise(bundles, _model(instances_min=1, instances_max=2))
    assert not stage.templates["inference-model"].find_resources("AWS::CloudWatch::Alarm")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"instance_types": ()}, "give 1 to 5 instance_types"),
        ({"instance_types": ("ml.g6.xlarge",) * 6}, "give 1 to 5 instance_types"),
        ({"pool": "m" * 60}, "shorten its pool"),
    ],
)
def test_a_model_that_cannot_be_deployed_is_refused_with_a_sentence(
    bundles: Bundles, changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(UnfitModel, match=says):
        _synthesise(bundles, _model(**changes))
