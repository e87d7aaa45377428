"""Where a pool's weights come from: S3 (`source = "s3://…"`), which SageMaker mounts; or a hub, from which the
container loads them itself, with a token from a secret where one is given."""

from __future__ import annotations

from collections.abc import Iterator

from aws_cdk import Aws
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sagemaker as sagemaker

from offpeak.core.catalogue import Model

S3_SCHEME = "s3://"


def hub_token(model: Model, secret: str | None) -> str | None:
    """The secret with the hub's token, for a model that is loaded from there."""
    return None if model.source.startswith(S3_SCHEME) else secret


def environment(model: Model, secret: str | None) -> dict[str, str]:
    if model.source.startswith(S3_SCHEME):
        return {"HF_HUB_OFFLINE": "1"}  # all is mounted: nothing asks the hub, not even for news
    return {} if secret is None else {"OFFPEAK_HUB_TOKEN_SECRET": secret}


def data_source(model: Model) -> sagemaker.CfnModel.ModelDataSourceProperty | None:
    if not model.source.startswith(S3_SCHEME):
        return None
    return sagemaker.CfnModel.ModelDataSourceProperty(
        s3_data_source=sagemaker.CfnModel.S3DataSourceProperty(
            compression_type="None",
            s3_data_type="S3Prefix",
            s3_uri=f"{model.source.rstrip('/')}/",
        )
    )


def rights(model: Model, secret: str | None, home: str | None) -> Iterator[iam.PolicyStatement]:
    """To read the weights, or the token in the region `home` (None is the pool's own)."""
    if model.source.startswith(S3_SCHEME):
        yield from _readable(model.source.removeprefix(S3_SCHEME))
    if secret is not None:
        yield iam.PolicyStatement(
            actions=["secretsmanager:GetSecretValue"], resources=[_secret_arn(secret, home)]
        )


def _readable(location: str) -> list[iam.PolicyStatement]:
    bucket, _, prefix = location.rstrip("/").partition("/")
    arn = f"arn:{Aws.PARTITION}:s3:::{bucket}"
    return [
        iam.PolicyStatement(actions=["s3:GetObject"], resources=[f"{arn}/{prefix}/*"]),
        iam.PolicyStatement(
            actions=["s3:ListBucket"],
            resources=[arn],
            conditions={"StringLike": {"s3:prefix": [f"{prefix}/*"]}},
        ),
    ]


def _secret_arn(secret: str, region: str | None) -> str:
    """A secret's ARN ends in six characters that its name doesn't."""
    if secret.startswith("arn:"):
        return secret
    name = f"secret:{secret}-??????"
    return f"arn:{Aws.PARTITION}:secretsmanager:{region or Aws.REGION}:{Aws.ACCOUNT_ID}:{name}"
