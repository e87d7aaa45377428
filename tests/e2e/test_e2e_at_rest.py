"""What a deployed stage says of itself: the key of what stores something; and that no bucket can be made public.

It is read back from the local cloud, which was made from the synthesised templates. What its emulator drops is in
docs/local.md; the templates hold that (tests/infra/test_infra_encryption.py, test_infra_storage.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from offpeak.local.cloud import LocalCloud
from tests.e2e.deployment import STAGE
from tests.infra.test_infra_encryption import PLACES

pytestmark = [pytest.mark.cloud]


@dataclass(frozen=True)
class Deployment:
    cloud: LocalCloud

    def client(self, service: str) -> Any:
        environment = self.cloud.environment
        return boto3.client(
            service,  # type: ignore[call-overload]
            endpoint_url=environment["AWS_ENDPOINT_URL"], region_name=environment["AWS_REGION"],
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        )  # fmt: skip

    def resources(self) -> list[tuple[str, str]]:
        """Type and physical id of all that the stage's stacks made."""
        cloudformation = self.client("cloudformation")
        pages = cloudformation.get_paginator("list_stacks").paginate()
        names = [each["StackName"] for page in pages for each in page["StackSummaries"]]
        ours = [name for name in names if name.startswith(f"offpeak-{STAGE}-")]
        return [
            (made["ResourceType"], made["PhysicalResourceId"])
            for name in ours
            for made in cloudformation.describe_stack_resources(StackName=name)["StackResources"]
        ]

    def named(self, kind: str) -> list[str]:
        return [physical for found, physical in self.resources() if found == kind]


@pytest.fixture(scope="module")
def deployment(cloud: LocalCloud) -> Deployment:
    return Deployment(cloud)


def _of_table(at: Deployment, name: str) -> str | None:
    table = at.client("dynamodb").describe_table(TableName=name)["Table"]
    key: str | None = table.get("SSEDescription", {}).get("KMSMasterKeyArn")
    return key


def _of_queue(at: Deployment, url: str) -> str | None:
    found = at.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    key: str | None = found["Attributes"].get("KmsMasterKeyId")
    return key


def _of_topic(at: Deployment, arn: str) -> str | None:
    found = at.client("sns").get_topic_attributes(TopicArn=arn)
    key: str | None = found["Attributes"].get("KmsMasterKeyId")
    return key


def _of_log_group(at: Deployment, name: str) -> str | None:
    groups = at.client("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    [group] = [each for each in groups if each["logGroupName"] == name]
    key: str | None = group.get("kmsKeyId")
    return key


def _of_secret(at: Deployment, arn: str) -> str | None:
    key: str | None = at.client("secretsmanager").describe_secret(SecretId=arn).get("KmsKeyId")
    return key


KEYS: Mapping[str, Callable[[Deployment, str], str | None]] = {
    "AWS::SQS::Queue": _of_queue,
    "AWS::Logs::LogGroup": _of_log_group,
    "AWS::SecretsManager::Secret": _of_secret,
}
DROPPED: Mapping[str, Callable[[Deployment, str], str | None]] = {
    "AWS::DynamoDB::Table": _of_table,
    "AWS::SNS::Topic": _of_topic,
}
SERVED_BY_THE_STAND_IN = {"AWS::SageMaker::EndpointConfig"}


def test_what_stores_something_is_encrypted_with_the_stages_key(deployment: Deployment) -> None:
    kms = deployment.client("kms")
    key = kms.describe_key(KeyId=f"alias/offpeak-{STAGE}")["KeyMetadata"]
    assert kms.get_key_rotation_status(KeyId=key["KeyId"])["KeyRotationEnabled"]
    assert set(PLACES) - SERVED_BY_THE_STAND_IN == {*KEYS, *DROPPED}
    stores = [made for made in deployment.resources() if made[0] in KEYS]
    assert {kind for kind, _ in stores} == set(KEYS)
    keys = {physical: KEYS[kind](deployment, physical) for kind, physical in stores}
    assert [name for name, found in keys.items() if found not in (key["Arn"], key["KeyId"])] == []


def test_no_bucket_can_be_made_public(deployment: Deployment) -> None:
    buckets = deployment.named("AWS::S3::Bucket")
    assert deployment.cloud.bucket in buckets
    for bucket in buckets:
        blocked = deployment.client("s3").get_public_access_block(Bucket=bucket)
        assert set(blocked["PublicAccessBlockConfiguration"].values()) == {True}


@pytest.mark.parametrize("kind", DROPPED)
def test_whose_key_the_emulator_drops_has_none_yet(deployment: Deployment, kind: str) -> None:
    """When this fails the emulator keeps it: move the kind to KEYS, and take it out of docs/local.md."""
    keys = {DROPPED[kind](deployment, physical) for physical in deployment.named(kind)}
    assert keys == {None}


def test_what_else_the_emulator_drops_is_not_there_yet(deployment: Deployment) -> None:
    """Likewise: a table's expiry, a bucket's own key, and the rules by which its objects expire."""
    dynamodb, s3 = deployment.client("dynamodb"), deployment.client("s3")
    for table in deployment.named("AWS::DynamoDB::Table"):
        found = dynamodb.describe_time_to_live(TableName=table)["TimeToLiveDescription"]
        assert found["TimeToLiveStatus"] == "DISABLED"
    bucket = deployment.cloud.bucket
    encryption = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]
    [rule] = encryption["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    with pytest.raises(ClientError, match="NoSuchLifecycleConfiguration"):
        s3.get_bucket_lifecycle_configuration(Bucket=bucket)
