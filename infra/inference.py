"""A pool: the SageMaker asynchronous endpoint that serves one model, and what makes it grow and shrink."""

from __future__ import annotations

from typing import Any

from aws_cdk import Aws
from aws_cdk import aws_ecr_assets as ecr_assets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sagemaker as sagemaker
from aws_cdk import aws_sns as sns
from constructs import Construct

from infra.access import WORKER_ACCESS, Resources, environment, grant
from infra.scaling import Scaling
from offpeak.core.catalogue import Model

VARIANT = "AllTraffic"
AMI = "al2023-ami-sagemaker-inference-gpu-4-1"  # the one whose driver runs CUDA 13
STARTUP_SECONDS_MAX = (
    3_600  # SageMaker's most: a large model's weights come from afar before the first ping
)
INSTANCE_TYPES_MAX = 5  # that one variant takes
ENDPOINT_NAME_CHARS_MAX = 63
S3_SCHEME = "s3://"


class UnfitModel(ValueError):
    """The catalogue's model can't be deployed as it stands; the message says why."""


class Pool(Construct):
    """Weights in S3 (`source = "s3://…"`) are mounted by SageMaker; any other source the container loads itself."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        model: Model,
        image: ecr_assets.DockerImageAsset,
        resources: Resources,
        success: sns.ITopic,
        failure: sns.ITopic,
    ) -> None:
        super().__init__(scope, id)
        name = resources.stage.named(model.pool)
        _check(model, name)
        self.role = self._role(name, model, image, resources, (success, failure))
        served = sagemaker.CfnModel(
            self,
            "Model",
            execution_role_arn=self.role.role_arn,
            primary_container=sagemaker.CfnModel.ContainerDefinitionProperty(
                image=image.image_uri,
                environment={
                    **environment(WORKER_ACCESS, resources),
                    "OFFPEAK_MODEL": model.id,
                    "OFFPEAK_ENGINE": "vllm",
                },
                model_data_source=_weights(model),
            ),
        )
        served.node.add_dependency(
            self.role
        )  # SageMaker checks at once that the role can pull the image
        config = sagemaker.CfnEndpointConfig(
            self,
            "Config",
            production_variants=[_variant(model, served)],
            async_inference_config=_async_config(model, resources, success, failure),
        )
        endpoint = sagemaker.CfnEndpoint(
            self,
            "Endpoint",
            endpoint_name=name,
            endpoint_config_name=config.attr_endpoint_config_name,
        )
        Scaling(self, "Scaling", model=model, endpoint=endpoint, variant=VARIANT)

    def _role(
        self,
        name: str,
        model: Model,
        image: ecr_assets.DockerImageAsset,
        resources: Resources,
        topics: tuple[sns.ITopic, ...],
    ) -> iam.Role:
        role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("sagemaker.amazonaws.com"))
        grant(role, WORKER_ACCESS, resources)
        image.repository.grant_pull(role)
        for topic in topics:
            role.add_to_policy(
                iam.PolicyStatement(actions=["sns:Publish"], resources=[topic.topic_arn])
            )
        group = f"arn:{Aws.PARTITION}:logs:{Aws.REGION}:{Aws.ACCOUNT_ID}:log-group:/aws/sagemaker/Endpoints/{name}"
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"],
                resources=[group, f"{group}:*"],
            )
        )
        if model.source.startswith(S3_SCHEME):
            for statement in _weights_readable(model.source.removeprefix(S3_SCHEME)):
                role.add_to_policy(statement)
        return role


def _check(model: Model, endpoint_name: str) -> None:
    if len(endpoint_name) > ENDPOINT_NAME_CHARS_MAX:
        raise UnfitModel(
            f"models.toml: model {model.id!r}: the endpoint's name {endpoint_name!r} is over "
            f"{ENDPOINT_NAME_CHARS_MAX} characters; shorten its pool."
        )
    if not 1 <= len(model.instance_types) <= INSTANCE_TYPES_MAX:
        raise UnfitModel(
            f"models.toml: model {model.id!r}: give 1 to {INSTANCE_TYPES_MAX} instance_types "
            f"(it has {len(model.instance_types)})."
        )


def _variant(
    model: Model, served: sagemaker.CfnModel
) -> sagemaker.CfnEndpointConfig.ProductionVariantProperty:
    """One instance type, or several in order of preference, so that a missing one falls to the next."""
    types: dict[str, Any] = {"instance_type": model.instance_types[0]}
    if len(model.instance_types) > 1:
        types = {
            "instance_pools": [
                sagemaker.CfnEndpointConfig.InstancePoolProperty(
                    instance_type=instance_type, priority=priority
                )
                for priority, instance_type in enumerate(model.instance_types, start=1)
            ]
        }
    return sagemaker.CfnEndpointConfig.ProductionVariantProperty(
        variant_name=VARIANT,
        model_name=served.attr_model_name,
        initial_instance_count=1,  # SageMaker takes no less; scaling lets it go when it is idle
        inference_ami_version=AMI,
        container_startup_health_check_timeout_in_seconds=STARTUP_SECONDS_MAX,
        model_data_download_timeout_in_seconds=STARTUP_SECONDS_MAX,
        **types,
    )


def _async_config(
    model: Model, resources: Resources, success: sns.ITopic, failure: sns.ITopic
) -> sagemaker.CfnEndpointConfig.AsyncInferenceConfigProperty:
    config = sagemaker.CfnEndpointConfig
    folder = f"{S3_SCHEME}{resources.bucket.bucket_name}/work/invocations/{model.pool}"
    return config.AsyncInferenceConfigProperty(
        client_config=config.AsyncInferenceClientConfigProperty(
            max_concurrent_invocations_per_instance=model.concurrency
        ),
        output_config=config.AsyncInferenceOutputConfigProperty(
            s3_output_path=f"{folder}/reports",
            s3_failure_path=f"{folder}/failures",
            notification_config=config.AsyncInferenceNotificationConfigProperty(
                success_topic=success.topic_arn, error_topic=failure.topic_arn
            ),
        ),
    )


def _weights(model: Model) -> sagemaker.CfnModel.ModelDataSourceProperty | None:
    if not model.source.startswith(S3_SCHEME):
        return None
    return sagemaker.CfnModel.ModelDataSourceProperty(
        s3_data_source=sagemaker.CfnModel.S3DataSourceProperty(
            compression_type="None",
            s3_data_type="S3Prefix",
            s3_uri=f"{model.source.rstrip('/')}/",
        )
    )


def _weights_readable(location: str) -> list[iam.PolicyStatement]:
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
