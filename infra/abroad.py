"""A further region: what SageMaker needs in its own region, and home as it is seen from there.

SageMaker writes an invocation's answer, and tells of it, in the endpoint's region alone. So a region has a bucket that
nobody reads, whose objects go after a day, and topics that deliver to the queue at home. All else a worker does at
home: it reads its lines there, and writes checkpoints, results and its report (docs/decisions/0024).
"""

from __future__ import annotations

import dataclasses

from aws_cdk import Aws, Duration, RemovalPolicy
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.rights import Resources
from infra.roles import WORKER_ACCESS
from infra.stage import Stage

ANSWER_DAYS = 1
SHARD_ENDED = "shard-ended"


class Abroad(Construct):
    """`success` and `failure` tell the queue at home; `answers` is the bucket that SageMaker writes to. The stage names
    its account and region."""

    def __init__(self, scope: Construct, id: str, *, stage: Stage) -> None:
        super().__init__(scope, id)
        self.answers = s3.Bucket(
            self,
            "Answers",
            bucket_name=f"{stage.named(str(stage.account))}-{Aws.REGION}",
            enforce_ssl=not stage.emulated,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            encryption=s3.BucketEncryption.S3_MANAGED,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            # Answers that a day takes away; a bucket that isn't empty outlives its stack.
            removal_policy=RemovalPolicy.DESTROY,
            lifecycle_rules=[s3.LifecycleRule(id="answers", expiration=Duration.days(ANSWER_DAYS))],
        )
        self.success = self._topic(stage, "Success", "shard-success")
        self.failure = self._topic(stage, "Failure", "shard-failure")

    def _topic(self, stage: Stage, id: str, name: str) -> sns.Topic:
        tls = None if stage.emulated else True
        topic = sns.Topic(self, id, topic_name=stage.named(name), enforce_ssl=tls)
        sns.CfnSubscription(
            self,
            f"{id}ToHome",
            topic_arn=topic.topic_arn,
            protocol="sqs",
            endpoint=_arn(stage, "sqs", stage.named(SHARD_ENDED)),
            raw_message_delivery=True,
        )
        return topic


def admit_topics(queue: sqs.Queue, stage: Stage, regions: tuple[str, ...]) -> None:
    """Lets the further regions' topics send to the queue at home."""
    topics = [
        f"arn:{Aws.PARTITION}:sns:{region}:{stage.account}:{stage.named(name)}"
        for region in regions
        for name in ("shard-success", "shard-failure")
    ]
    if topics:
        queue.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("sns.amazonaws.com")],
                actions=["sqs:SendMessage"],
                resources=[queue.queue_arn],
                conditions={"ArnEquals": {"aws:SourceArn": topics}},
            )
        )


def seen_from(scope: Construct, resources: Resources) -> Resources:
    """What a worker touches at home, by names: a stack can't refer to another region's."""
    stage = resources.stage
    bucket = s3.Bucket.from_bucket_name(
        scope, "HomeBucket", f"{stage.named(str(stage.account))}-{stage.region}"
    )
    tables = {
        name: dynamodb.Table.from_table_arn(
            scope,
            f"Home{name.capitalize()}",
            _arn(stage, "dynamodb", f"table/{stage.named(name)}"),
        )
        for name in WORKER_ACCESS.tables
    }
    key = None
    if resources.key is not None:
        key = kms.Key.from_key_arn(scope, "HomeKey", _arn(stage, "kms", "key/*"))
    return dataclasses.replace(
        resources, bucket=bucket, tables=tables, key=key, key_alias=f"alias/offpeak-{stage.name}"
    )


def _arn(stage: Stage, service: str, rest: str) -> str:
    return f"arn:{Aws.PARTITION}:{service}:{stage.region}:{stage.account}:{rest}"
