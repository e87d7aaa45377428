"""A pool: the SageMaker asynchronous endpoint that serves one model, and what makes it grow and shrink."""

from __future__ import annotations

from typing import Any

from aws_cdk import Aws, RemovalPolicy
from aws_cdk import aws_ecr_assets as ecr_assets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sagemaker as sagemaker
from aws_cdk import aws_sns as sns
from constructs import Construct

from infra import weights
from infra.encryption import through
from infra.model_checks import check_endpoint, check_reach
from infra.network import Network
from infra.rights import Resources, environment, grant
from infra.roles import WORKER_ACCESS
from infra.scaling import Scaling
from offpeak.core.catalogue import Model
from offpeak.core.destination import Reach

VARIANT = "AllTraffic"
AMI = "al2023-ami-sagemaker-inference-gpu-4-1"  # the one whose driver runs CUDA 13
PROVISION_SECONDS_MAX = (
    1_800  # to find an instance of any of the pool's types, before it counts as failed
)
# After an update the old instances stay for a shard's longest planned time, and then get SIGTERM like any that leaves.
# What they still hold goes on elsewhere from its checkpoints.
OLD_FLEET_SECONDS = 900


class Pool(Construct):
    """`hub_token_secret` is the name or the ARN of a secret, for weights from a hub (`weights.py`).

    Model and endpoint configuration have no names of their own: neither can be changed in place, so CloudFormation
    makes new ones under new names, moves the endpoint over, and lets the old ones go when that has worked. The
    endpoint's name stays, and so does its variant's: that is what scaling and safe updates hold on to.
    """

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
        hub_token_secret: str | None = None,
        network: Network | None = None,
        region: str | None = None,
        answers: s3.IBucket | None = None,
    ) -> None:
        """`region` is a further one, None at home; `answers` is the bucket there that SageMaker writes to."""
        super().__init__(scope, id)
        self._home = resources.stage.region if region is not None else None
        bucket = answers or resources.bucket
        self._key = resources.key if answers is None else None  # of this region
        self._network = network
        name = resources.stage.named(model.pool)
        secret = weights.hub_token(model, hub_token_secret)
        check_endpoint(model, name)
        if network is not None:
            check_reach(model)
        self.role = self._role(name, model, image, resources, secret, (success, failure))
        served = self._model(model, image, resources, secret)
        config = sagemaker.CfnEndpointConfig(
            self,
            "Config",
            production_variants=[_variant(model, served)],
            async_inference_config=_async_config(model, bucket, self._key, success, failure),
        )
        endpoint = self._endpoint(name, config, model)
        endpoint.node.add_dependency(self._log_group(name, resources))
        Scaling(
            self,
            "Scaling",
            model=model,
            stage=resources.stage,
            endpoint=endpoint,
            variant=VARIANT,
            region=region,
        )
        if answers is not None:
            # SageMaker reads and writes there as this role.
            self.role.add_to_policy(
                iam.PolicyStatement(
                    actions=["s3:PutObject", "s3:GetObject"],
                    resources=[answers.arn_for_objects("work/invocations/*")],
                )
            )

    def _model(
        self,
        model: Model,
        image: ecr_assets.DockerImageAsset,
        resources: Resources,
        secret: str | None,
    ) -> sagemaker.CfnModel:
        served = sagemaker.CfnModel(
            self,
            "Model",
            execution_role_arn=self.role.role_arn,
            vpc_config=None if self._network is None else self._network.placement,
            primary_container=sagemaker.CfnModel.ContainerDefinitionProperty(
                image=image.image_uri,
                environment={
                    **environment(WORKER_ACCESS, resources),
                    "OFFPEAK_MODEL": model.id,
                    "OFFPEAK_ENGINE": "vllm",
                    **({} if self._home is None else {"OFFPEAK_HOME_REGION": self._home}),
                    **weights.environment(model, secret),
                    **({} if self._network is None else {"OFFPEAK_REACH": str(Reach.NOWHERE)}),
                },
                model_data_source=weights.data_source(model),
            ),
        )
        # SageMaker checks at once that the role can pull the image.
        served.node.add_dependency(self.role)
        return served

    def _endpoint(
        self, name: str, config: sagemaker.CfnEndpointConfig, model: Model
    ) -> sagemaker.CfnEndpoint:
        return sagemaker.CfnEndpoint(
            self,
            "Endpoint",
            endpoint_name=name,
            endpoint_config_name=config.attr_endpoint_config_name,
            # An update keeps as many instances as scaling has chosen, not the configuration's first one.
            retain_all_variant_properties=True,
            deployment_config=_safe_update(model),
        )

    def _log_group(self, name: str, resources: Resources) -> logs.LogGroup:
        """SageMaker would make this group itself, and keep it for ever."""
        return logs.LogGroup(
            self,
            "Logs",
            log_group_name=f"/aws/sagemaker/Endpoints/{name}",
            retention=resources.stage.log_retention,
            removal_policy=RemovalPolicy.DESTROY,
            encryption_key=self._key,
        )

    def _role(
        self,
        name: str,
        model: Model,
        image: ecr_assets.DockerImageAsset,
        resources: Resources,
        secret: str | None,
        topics: tuple[sns.ITopic, ...],
    ) -> iam.Role:
        role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("sagemaker.amazonaws.com"))
        grant(role, WORKER_ACCESS, resources)
        image.repository.grant_pull(role)
        for topic in topics:
            role.add_to_policy(
                iam.PolicyStatement(actions=["sns:Publish"], resources=[topic.topic_arn])
            )
        for statement in through(self._key, ["sns"], ("kms:Decrypt", "kms:GenerateDataKey")):
            role.add_to_policy(statement)  # the topics are encrypted, too
        group = f"arn:{Aws.PARTITION}:logs:{Aws.REGION}:{Aws.ACCOUNT_ID}:log-group:/aws/sagemaker/Endpoints/{name}"
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"],
                resources=[group, f"{group}:*"],
            )
        )
        for statement in weights.rights(model, secret, self._home):
            role.add_to_policy(statement)
        if self._network is not None:
            for statement in self._network.statements():
                role.add_to_policy(statement)
        return role


def _variant(
    model: Model, served: sagemaker.CfnModel
) -> sagemaker.CfnEndpointConfig.ProductionVariantProperty:
    """One instance type, or several in order of preference, so that a missing one falls to the next.

    No volume size: every GPU type of the catalogue has NVMe storage, which SageMaker then gives whole, and a size is
    for those without. No key for it either: such storage is encrypted by the instance's own hardware, with a key that
    goes with the instance, and SageMaker refuses a configuration that names another.
    """
    types: dict[str, Any] = {"instance_type": model.instance_types[0]}
    if len(model.instance_types) > 1:
        types = {
            "instance_pools": [
                sagemaker.CfnEndpointConfig.InstancePoolProperty(
                    instance_type=instance_type, priority=priority
                )
                for priority, instance_type in enumerate(model.instance_types, start=1)
            ],
            "variant_instance_provision_timeout_in_seconds": PROVISION_SECONDS_MAX,
        }
    return sagemaker.CfnEndpointConfig.ProductionVariantProperty(
        variant_name=VARIANT,
        model_name=served.attr_model_name,
        initial_instance_count=1,  # SageMaker takes no less; scaling lets it go when it is idle
        inference_ami_version=AMI,
        container_startup_health_check_timeout_in_seconds=model.startup_seconds_max,
        model_data_download_timeout_in_seconds=model.download_seconds_max,
        **types,
    )


def _safe_update(model: Model) -> sagemaker.CfnEndpoint.DeploymentConfigProperty:
    """A new fleet beside the old one, all of the traffic at once, and the old one let go a while later."""
    config = sagemaker.CfnEndpoint
    starting = PROVISION_SECONDS_MAX + model.download_seconds_max + model.startup_seconds_max
    return config.DeploymentConfigProperty(
        blue_green_update_policy=config.BlueGreenUpdatePolicyProperty(
            traffic_routing_configuration=config.TrafficRoutingConfigProperty(
                type="ALL_AT_ONCE",
                wait_interval_in_seconds=0,  # between steps, of which there is one
            ),
            termination_wait_in_seconds=OLD_FLEET_SECONDS,
            maximum_execution_timeout_in_seconds=starting + OLD_FLEET_SECONDS,
        )
    )


def _async_config(
    model: Model,
    bucket: s3.IBucket,
    key: kms.IKey | None,
    success: sns.ITopic,
    failure: sns.ITopic,
) -> sagemaker.CfnEndpointConfig.AsyncInferenceConfigProperty:
    config = sagemaker.CfnEndpointConfig
    folder = f"{weights.S3_SCHEME}{bucket.bucket_name}/work/invocations/{model.pool}"
    return config.AsyncInferenceConfigProperty(
        client_config=config.AsyncInferenceClientConfigProperty(
            max_concurrent_invocations_per_instance=model.invocations_per_instance
        ),
        output_config=config.AsyncInferenceOutputConfigProperty(
            s3_output_path=f"{folder}/reports",
            s3_failure_path=f"{folder}/failures",
            kms_key_id=None if key is None else key.key_arn,
            notification_config=config.AsyncInferenceNotificationConfigProperty(
                success_topic=success.topic_arn, error_topic=failure.topic_arn
            ),
        ),
    )
