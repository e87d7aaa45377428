"""Who besides this AWS account may put objects into the drop folder, each into one account's part of it."""

from __future__ import annotations

from aws_cdk import Aws
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3

from infra.stage import Stage
from offpeak.core.drop import DROP_PREFIX


def admit_producers(stage: Stage, bucket: s3.Bucket, key: kms.IKey | None = None) -> None:
    """Lets each put objects under its account's prefix, and nothing else. The bucket's owner owns what they put. Where
    it is encrypted with the stage's key, they may have S3 do so, for this bucket (and read parts back: that is how S3
    joins them)."""
    for account_id, producers in stage.drop_producers.items():
        bucket.add_to_resource_policy(
            iam.PolicyStatement(
                actions=["s3:PutObject"],
                resources=[bucket.arn_for_objects(f"{DROP_PREFIX}{account_id}/*")],
                principals=[_principal(producer) for producer in producers],
            )
        )
        if key is not None:
            key.add_to_resource_policy(
                iam.PolicyStatement(
                    actions=["kms:Decrypt", "kms:GenerateDataKey"],
                    resources=["*"],
                    principals=[_principal(producer) for producer in producers],
                    conditions={
                        "StringEquals": {
                            "kms:ViaService": f"s3.{Aws.REGION}.amazonaws.com",
                            # With bucket keys that is what S3 says it encrypts.
                            "kms:EncryptionContext:aws:s3:arn": _bucket_arn(stage),
                        }
                    },
                )
            )


def _bucket_arn(stage: Stage) -> str:
    """By its name: the bucket names the key already."""
    return f"arn:{Aws.PARTITION}:s3:::{stage.bucket_name}"


def _principal(producer: str) -> iam.IPrincipal:
    return iam.AccountPrincipal(producer) if producer.isdecimal() else iam.ArnPrincipal(producer)
