"""Encryption at rest: the stage's own key, and who may use it through which service.

Nobody uses the key by itself. A role may have something decrypted, or encrypted, by the services that hold what it may
touch (`kms:ViaService`), and only those; AWS services that act by themselves are named in the key's policy. Objects
take S3's bucket keys, queues and topics keep a data key for an hour, DynamoDB asks once in five minutes for each role
and table: so calls to the key go by time, and not by request lines.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from aws_cdk import Aws
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.stage import Stage

READS = ("kms:Decrypt", "kms:DescribeKey")
WRITES = (
    "kms:Encrypt",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
    "kms:GenerateDataKey",
    "kms:GenerateDataKeyWithoutPlaintext",
)
DATA_KEY_SECONDS = 3_600
# What sends to an encrypted queue by itself: notices of invocations, of dropped objects, of batches' ends.
SENDERS = ("sns", "s3", "events")


class Encryption(Construct):
    """`key`, of a stage with `customer_key`. It rotates once a year, and goes as the data do that it encrypts."""

    def __init__(self, scope: Construct, id: str, *, stage: Stage) -> None:
        super().__init__(scope, id)
        self.key = kms.Key(
            self,
            "Key",
            alias=f"offpeak-{stage.name}",
            description=f"Offpeak {stage.name}: what is stored",
            enable_key_rotation=True,
            removal_policy=stage.removal_policy,
        )
        for service in SENDERS:
            self._admit_service(service)
        self._admit_logs(stage)

    def _admit_service(self, service: str) -> None:
        self.key.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal(f"{service}.amazonaws.com")],
                actions=["kms:Decrypt", "kms:GenerateDataKey"],
                resources=["*"],  # this key: a key's policy is about nothing else
                conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}},
            )
        )

    def _admit_logs(self, stage: Stage) -> None:
        """CloudWatch Logs, for the log groups of this stage alone."""
        logs = f"arn:{Aws.PARTITION}:logs:{Aws.REGION}:{Aws.ACCOUNT_ID}:log-group:"
        names = [
            *(f"{folder}/{stage.named('*')}" for folder in LOG_FOLDERS),
            f"API-Gateway-Execution-Logs_*/{stage.name}",
        ]
        self.key.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal(f"logs.{Aws.REGION}.amazonaws.com")],
                actions=[
                    "kms:Decrypt",
                    "kms:DescribeKey",
                    "kms:Encrypt",
                    "kms:GenerateDataKey",
                    "kms:GenerateDataKeyWithoutPlaintext",
                    "kms:ReEncryptFrom",
                    "kms:ReEncryptTo",
                ],
                resources=["*"],
                conditions={
                    "ArnLike": {
                        "kms:EncryptionContext:aws:logs:arn": [logs + name for name in names]
                    }
                },
            )
        )


LOG_FOLDERS = (
    "/aws/lambda",
    "/aws/apigateway",
    "/aws/vendedlogs/states",
    "/aws/sagemaker/Endpoints",
    "/ecs",
)


def encrypt_queue(queue: sqs.Queue, key: kms.IKey | None) -> None:
    """Without the construct's own way, whose grants would give roles the key by itself."""
    if key is not None:
        resource = cast("sqs.CfnQueue", queue.node.default_child)
        resource.kms_master_key_id = key.key_arn
        resource.kms_data_key_reuse_period_seconds = DATA_KEY_SECONDS
        resource.sqs_managed_sse_enabled = None


def encrypt_topic(topic: sns.Topic, key: kms.IKey | None) -> None:
    if key is not None:
        cast("sns.CfnTopic", topic.node.default_child).kms_master_key_id = key.key_arn


def encrypt_secret(secret: secretsmanager.Secret, key: kms.IKey | None) -> None:
    if key is not None:
        cast("secretsmanager.CfnSecret", secret.node.default_child).kms_key_id = key.key_arn


def through(
    key: kms.IKey | None, services: Iterable[str], actions: Iterable[str], alias: str | None = None
) -> Iterable[iam.PolicyStatement]:
    """The right to these actions, when one of the services asks for them on the role's behalf, in the key's region.
    `alias` is what a key is known by whose ARN another region's stack can't know."""
    region = Aws.REGION if key is None or alias is None else key.env.region
    names = [f"{service}.{region}.amazonaws.com" for service in services]
    known = {} if alias is None else {"ForAnyValue:StringEquals": {"kms:ResourceAliases": alias}}
    if key is not None and names:
        yield iam.PolicyStatement(
            actions=list(actions),
            resources=[key.key_arn],
            conditions={"StringEquals": {"kms:ViaService": names}, **known},
        )
