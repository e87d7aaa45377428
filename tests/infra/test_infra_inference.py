from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app import ROOT
from infra.bundles import Bundles
from infra.model_checks import UnfitModel
from offpeak.core.base_image import WORKER_PIN, parse_base_image
from offpeak.core.catalogue import Catalogue, Model, parse_catalogue
from offpeak.core.pricing import Prices
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
        assert client == {"MaxConcurrentInvocationsPerInstance": model.concurrency + 1}
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


def test_weights_that_are_mounted_need_no_hub_and_no_token(bundles: Bundles) -> None:
    catalogue = Catalogue((_model(source="s3://weights/org/model"),))
    stage = synthesise("dev", bundles, catalogue, hub_token_secret="hub-token")
    container = _only(stage, "model", "AWS::SageMaker::Model")["PrimaryContainer"]
    assert container["Environment"]["HF_HUB_OFFLINE"] == "1"
    assert "OFFPEAK_HUB_TOKEN_SECRET" not in container["Environment"]
    assert "secretsmanager" not in json.dumps(stage.json("inference-model"))


@pytest.mark.parametrize(
    ("secret", "resource"),
    [
        ("hub/token", ":secret:hub/token-??????"),
        ("arn:aws:secretsmanager:eu-west-1:123456789012:secret:hub-AbCdEf", "secret:hub-AbCdEf"),
    ],
)
def test_a_gated_models_container_reads_its_token_and_no_other_secret(
    bundles: Bundles, secret: str, resource: str
) -> None:
    stage = synthesise("dev", bundles, Catalogue((_model(),)), hub_token_secret=secret)
    container = _only(stage, "model", "AWS::SageMaker::Model")["PrimaryContainer"]
    assert container["Environment"]["OFFPEAK_HUB_TOKEN_SECRET"] == secret
    statements = _only(stage, "model", "AWS::IAM::Policy")["PolicyDocument"]["Statement"]
    [reading] = [s for s in statements if s["Action"] == "secretsmanager:GetSecretValue"]
    assert resource in json.dumps(reading["Resource"])


def test_without_a_configured_secret_no_role_reads_one(prod: Synthesised) -> None:
    for part in prod.inference:
        assert "secretsmanager" not in json.dumps(prod.json(part))


def test_an_update_starts_a_new_fleet_and_keeps_the_count_that_scaling_chose(
    prod: Synthesised,
) -> None:
    endpoint = _only(prod, "phi-4", "AWS::SageMaker::Endpoint")
    assert endpoint["RetainAllVariantProperties"] is True
    update = endpoint["DeploymentConfig"]["BlueGreenUpdatePolicy"]
    assert update["TrafficRoutingConfiguration"] == {
        "Type": "ALL_AT_ONCE",
        "WaitIntervalInSeconds": 0,
    }
    [variant] = _only(prod, "phi-4", "AWS::SageMaker::EndpointConfig")["ProductionVariants"]
    starting = sum(
        variant[seconds]
        for seconds in (
            "ContainerStartupHealthCheckTimeoutInSeconds",
            "ModelDataDownloadTimeoutInSeconds",
            "VariantInstanceProvisionTimeoutInSeconds",
        )
    )
    assert update["MaximumExecutionTimeoutInSeconds"] >= (
        starting + update["TerminationWaitInSeconds"]
    )


def test_what_can_not_change_in_place_gets_a_new_name_by_itself(prod: Synthesised) -> None:
    """CloudFormation replaces models and configurations, and could not do so under a name that is taken."""
    assert "ModelName" not in _only(prod, "phi-4", "AWS::SageMaker::Model")
    assert "EndpointConfigName" not in _only(prod, "phi-4", "AWS::SageMaker::EndpointConfig")


def test_an_instance_has_the_time_to_start_that_its_model_asks_for(bundles: Bundles) -> None:
    stage = _synthesise(bundles, _model(startup_seconds_max=1_200, download_seconds_max=900))
    [variant] = _only(stage, "model", "AWS::SageMaker::EndpointConfig")["ProductionVariants"]
    assert variant["ContainerStartupHealthCheckTimeoutInSeconds"] == 1_200
    assert variant["ModelDataDownloadTimeoutInSeconds"] == 900
    assert "VolumeSizeInGB" not in variant


def _build_args(stage: Synthesised, pool: str) -> Mapping[str, str]:
    [path] = Path(stage.app.synth().directory).glob(f"*-inference-{pool}.assets.json")
    [image] = json.loads(path.read_text())["dockerImages"].values()
    return image["source"]["dockerBuildArgs"]  # type: ignore[no-any-return]


def test_the_image_is_built_on_the_pinned_base(prod: Synthesised) -> None:
    pin = parse_base_image((ROOT / WORKER_PIN).read_text())
    assert _build_args(prod, "phi-4")["BASE_IMAGE"] == pin.reference


def test_an_image_knows_its_own_model_alone(prod: Synthesised, every_model: Catalogue) -> None:
    text = base64.b64decode(_build_args(prod, "phi-4")["MODELS_BASE64"]).decode()
    [known] = parse_catalogue(text).models
    model = every_model.of_pool("phi-4")
    assert (known.id, known.source, known.endpoints) == (model.id, model.source, model.endpoints)
    assert known.engine_arguments == model.engine_arguments
    assert known.completion_tokens_default == model.completion_tokens_default


def test_a_new_price_or_bound_is_no_new_image_and_new_engine_arguments_are(
    bundles: Bundles,
) -> None:
    def image(**changes: Any) -> object:
        stage = _synthesise(bundles, _model(**changes))
        return _only(stage, "model", "AWS::SageMaker::Model")["PrimaryContainer"]["Image"]

    dear = Prices(input=9, output=9, cached_input_write=9, cached_input_read=9)
    assert image() == image(prices=dear, aliases=("m",), instances_max=9)
    assert image() != image(engine_args={"max-num-seqs": 8})


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
