"""From S3's notice of a new object in the drop folder to the queue that `ingest_drop` reads.

Straight to the queue, and of the drop folder alone: EventBridge would be told of every object in the bucket, and each
checkpoint of every shard would be paid for as an event (decision 0014).
"""

from __future__ import annotations

from aws_cdk import Aws, Duration
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.encryption import encrypt_queue
from infra.queues import DEAD_DAYS, RECEIVES_MAX
from infra.sizes import SIZES
from infra.stage import Stage
from offpeak.core.drop import DROP_PREFIX, INPUT_SUFFIXES


class Drops(Construct):
    """`queue`, `dead` (the name of the queue of what was given up), and the bucket's `notification`.

    It lies beside the bucket: S3 asks for the queue, and for its leave to send, before it takes the notification.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        stage: Stage,
        bucket_name: str,
        key: kms.IKey | None = None,
    ) -> None:
        super().__init__(scope, id)
        self.dead = stage.named("dropped-dead")
        dead = sqs.Queue(
            self,
            "Dead",
            queue_name=self.dead,
            retention_period=Duration.days(DEAD_DAYS),
            enforce_ssl=not stage.emulated,
        )
        # What fails is tried again when it is visible again: not hours later, though the function may take long.
        self.queue = sqs.Queue(
            self,
            "Queue",
            queue_name=stage.named("dropped"),
            visibility_timeout=Duration.seconds(SIZES["ingest_drop"].timeout_seconds + 60),
            enforce_ssl=not stage.emulated,
            dead_letter_queue=sqs.DeadLetterQueue(queue=dead, max_receive_count=RECEIVES_MAX),
        )
        for queue in (self.queue, dead):
            encrypt_queue(queue, key)
        self.queue.add_to_resource_policy(
            iam.PolicyStatement(
                actions=["sqs:SendMessage"],
                resources=[self.queue.queue_arn],
                principals=[iam.ServicePrincipal("s3.amazonaws.com")],
                conditions={
                    "ArnEquals": {"aws:SourceArn": f"arn:{Aws.PARTITION}:s3:::{bucket_name}"},
                    "StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID},
                },
            )
        )

    @property
    def notification(self) -> s3.CfnBucket.NotificationConfigurationProperty:
        """Inputs by their suffixes. Our results end as inputs do, and the function passes over them: S3 can't ask for
        a name that doesn't end so."""
        return s3.CfnBucket.NotificationConfigurationProperty(
            queue_configurations=[self._of(suffix) for suffix in INPUT_SUFFIXES]
        )

    def _of(self, suffix: str) -> s3.CfnBucket.QueueConfigurationProperty:
        rules = [
            s3.CfnBucket.FilterRuleProperty(name=name, value=value)
            for name, value in (("prefix", DROP_PREFIX), ("suffix", suffix))
        ]
        return s3.CfnBucket.QueueConfigurationProperty(
            event="s3:ObjectCreated:*",
            queue=self.queue.queue_arn,
            filter=s3.CfnBucket.NotificationFilterProperty(
                s3_key=s3.CfnBucket.S3KeyFilterProperty(rules=rules)
            ),
        )
