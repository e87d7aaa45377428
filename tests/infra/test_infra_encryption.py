"""Encryption at rest with the stage's own key: everything that stores something names it, and it serves only those."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from aws_cdk import App
from aws_cdk.assertions import Template

from infra.stacks import StorageStack
from infra.stages_file import StageError, parse_stages
from tests.infra.role_rights import rights
from tests.infra.synthesised import STAGES, Synthesised

# What stores something, and where its template names the key.
PLACES: Mapping[str, tuple[str, ...]] = {
    "AWS::DynamoDB::Table": ("SSESpecification", "KMSMasterKeyId"),
    "AWS::SQS::Queue": ("KmsMasterKeyId",),
    "AWS::SNS::Topic": ("KmsMasterKeyId",),
    "AWS::Logs::LogGroup": ("KmsKeyId",),
    "AWS::SecretsManager::Secret": ("KmsKeyId",),
    "AWS::SageMaker::EndpointConfig": ("AsyncInferenceConfig", "OutputConfig", "KmsKeyId"),
}
# What has another key, and why.
OTHERS = {
    "offpeak-prod-alarms": "what says that a key is wrong must not need it; it holds names of alarms",
}


def _stored(stage: Synthesised) -> Iterator[tuple[str, str, Any]]:
    """Kind, name, and the key that it names, of all that stores something but buckets."""
    for part in stage.templates:
        for logical, resource in stage.json(part)["Resources"].items():
            if resource["Type"] not in PLACES:
                continue
            found: Any = resource["Properties"]
            named = next((v for k, v in found.items() if k.endswith("Name")), logical)
            for step in PLACES[resource["Type"]]:
                found = found.get(step, {})
            yield resource["Type"], str(named), found or None


def test_everything_that_stores_something_is_encrypted_with_the_stages_key(
    with_door: Synthesised,
) -> None:
    stored = list(_stored(with_door))
    assert {kind for kind, _, _ in stored} == set(PLACES)
    lacking = {name for _, name, key in stored if "EncryptionKey" not in json.dumps(key)}
    assert lacking == set(OTHERS)


def test_the_bucket_asks_for_a_key_now_and_then_and_not_for_each_object(prod: Synthesised) -> None:
    buckets = prod.templates["storage"].find_resources("AWS::S3::Bucket").values()
    rules = {
        "logs" if "-logs" in str(b["Properties"]["BucketName"]) else "data": rule
        for b in buckets
        for rule in b["Properties"]["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    }
    assert rules["data"]["BucketKeyEnabled"] is True
    assert rules["data"]["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
    # S3 delivers its access logs to no bucket with a key of one's own.
    assert rules["logs"]["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"


def test_queues_keep_their_data_key_for_an_hour(prod: Synthesised) -> None:
    for part in ("storage", "lifecycle"):
        for queue in prod.templates[part].find_resources("AWS::SQS::Queue").values():
            assert queue["Properties"]["KmsDataKeyReusePeriodSeconds"] == 3_600


def test_no_endpoint_names_a_key_for_a_volume_that_encrypts_itself(prod: Synthesised) -> None:
    """SageMaker refuses a key for instances with NVMe storage, which is every GPU type of the catalogue."""
    for template in prod.inference.values():
        for config in template.find_resources("AWS::SageMaker::EndpointConfig").values():
            assert "KmsKeyId" not in config["Properties"]


def _storage(**settings: Any) -> Template:
    return Template.from_stack(StorageStack(App(), stage=replace(STAGES["prod"], **settings)))


def test_the_key_rotates_and_is_kept_as_long_as_the_data() -> None:
    for keep_data, fate in ((True, "Retain"), (False, "Delete")):
        [key] = _storage(keep_data=keep_data).find_resources("AWS::KMS::Key").values()
        assert key["Properties"]["EnableKeyRotation"] is True
        assert key["DeletionPolicy"] == fate


def test_a_role_uses_the_key_through_services_that_hold_what_it_may_touch_and_not_by_itself(
    with_door: Synthesised,
) -> None:
    with_key = [r for r in rights(with_door) if any(a.startswith("kms:") for a in r.actions)]
    assert with_key
    assert [r for r in with_key if "kms:ViaService StringEquals " not in r.condition] == []
    services: dict[str, set[str]] = {}
    for right in with_key:
        names = right.condition.removeprefix("kms:ViaService StringEquals ").split(", ")
        services.setdefault(right.role, set()).update(name.partition(".")[0] for name in names)
    assert services["LifecycleSweep"] == {"dynamodb", "sqs"}
    assert services["LifecycleMeasurePools"] == {"dynamodb"}
    assert services["LifecycleValidateRange"] == {"dynamodb", "s3"}
    assert services["ApiFunction"] == {"dynamodb", "s3", "sqs", "secretsmanager"}
    assert services["Pool"] == {"dynamodb", "s3", "sns"}
    encrypting = {r.role for r in with_key if "kms:GenerateDataKey" in r.actions}
    assert "LifecycleMeasurePools" not in encrypting  # it only reads


def test_who_receives_from_a_queue_may_have_it_decrypted(prod: Synthesised) -> None:
    receiving = {r.role for r in rights(prod) if "sqs:ReceiveMessage" in r.actions}
    decrypting = {
        r.role for r in rights(prod) if "kms:Decrypt" in r.actions and "sqs." in r.condition
    }
    assert receiving
    assert receiving <= decrypting


def test_services_use_the_key_for_this_account_and_this_stages_logs_alone(
    prod: Synthesised,
) -> None:
    [key] = prod.templates["storage"].find_resources("AWS::KMS::Key").values()
    root, services, logs = key["Properties"]["KeyPolicy"]["Statement"]
    assert root["Action"] == "kms:*"
    assert "root" in json.dumps(root["Principal"])
    assert services["Principal"]["Service"] == [
        "events.amazonaws.com", "s3.amazonaws.com", "sns.amazonaws.com",
    ]  # fmt: skip
    assert services["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    groups = json.dumps(logs["Condition"]["ArnLike"]["kms:EncryptionContext:aws:logs:arn"])
    named = [
        name
        for part in prod.templates
        for group in prod.templates[part].find_resources("AWS::Logs::LogGroup").values()
        if isinstance(name := group["Properties"]["LogGroupName"], str)
    ]
    for name in named:
        assert f"{name.partition('offpeak-prod-')[0]}offpeak-prod-*" in groups, name
    assert "API-Gateway-Execution-Logs_*/prod" in groups


def test_producers_of_other_accounts_may_have_s3_encrypt_for_this_bucket() -> None:
    producers = {"acct_0193a4c8f2d1": ["210987654321"]}
    [key] = _storage(drop_producers=producers).find_resources("AWS::KMS::Key").values()
    [theirs] = [
        s for s in key["Properties"]["KeyPolicy"]["Statement"] if "210987654321" in json.dumps(s)
    ]
    assert theirs["Action"] == ["kms:Decrypt", "kms:GenerateDataKey"]
    conditions = theirs["Condition"]["StringEquals"]
    assert "s3." in json.dumps(conditions["kms:ViaService"])
    assert "offpeak-prod-" in json.dumps(conditions["kms:EncryptionContext:aws:s3:arn"])


def test_a_stage_may_do_without_and_the_local_one_does_not(local: Synthesised) -> None:
    assert local.templates["storage"].find_resources("AWS::KMS::Key")
    assert "kms" not in json.dumps(_storage(customer_key=False).to_json()).lower()


def test_the_setting_is_a_truth_value() -> None:
    assert parse_stages("[qa]\ncustomer_key = false\n")["qa"].customer_key is False
    with pytest.raises(StageError, match="customer_key takes true or false"):
        parse_stages('[qa]\ncustomer_key = "yes"\n')
