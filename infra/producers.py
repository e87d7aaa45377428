"""Who besides this AWS account may put objects into the drop folder, each into one account's part of it."""

from __future__ import annotations

from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3

from infra.stage import Stage
from offpeak.core.drop import DROP_PREFIX


def admit_producers(stage: Stage, bucket: s3.Bucket) -> None:
    """Lets each put objects under its account's prefix, and nothing else. The bucket's owner owns what they put."""
    for account_id, producers in stage.drop_producers.items():
        bucket.add_to_resource_policy(
            iam.PolicyStatement(
                actions=["s3:PutObject"],
                resources=[bucket.arn_for_objects(f"{DROP_PREFIX}{account_id}/*")],
                principals=[_principal(producer) for producer in producers],
            )
        )


def _principal(producer: str) -> iam.IPrincipal:
    return iam.AccountPrincipal(producer) if producer.isdecimal() else iam.ArnPrincipal(producer)
