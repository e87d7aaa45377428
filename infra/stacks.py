"""The stacks: they compose constructs and grant, and decide nothing else."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from aws_cdk import CfnOutput, Environment, Stack
from aws_cdk import aws_ecr_assets as ecr_assets
from aws_cdk import aws_events as events
from constructs import Construct

from infra.abroad import Abroad, admit_topics, seen_from
from infra.api import Api
from infra.bundles import Bundles
from infra.door import Door
from infra.function import Assets
from infra.inference import Pool
from infra.lifecycle import Lifecycle
from infra.monitoring import Monitoring
from infra.network import Network
from infra.producers import admit_producers
from infra.queues import Notices, Queues
from infra.rights import Resources
from infra.stage import Stage
from infra.storage import Storage
from infra.waf import Waf
from offpeak.core.base_image import BaseImage
from offpeak.core.catalogue import Model
from offpeak.core.models_text import worker_facts, write_models


class StorageStack(Stack):
    """State. It outlives every deployment of the rest."""

    def __init__(self, scope: Construct, *, stage: Stage) -> None:
        super().__init__(
            scope,
            stage.named("storage"),
            description="Offpeak: bucket and tables",
            env=stage.environment,
        )
        self.storage = Storage(self, "Storage", stage=stage)
        admit_producers(stage, self.storage.bucket, self.storage.key)
        CfnOutput(self, "BucketName", value=self.storage.bucket.bucket_name)


class LifecycleStack(Stack):
    """From a batch's creation to its end. It knows the pools, since their endpoints are invoked from here."""

    def __init__(
        self,
        scope: Construct,
        *,
        stage: Stage,
        storage: Storage,
        models: Sequence[Model],
        line_bytes_max: int,
        bundles: Bundles,
    ) -> None:
        super().__init__(
            scope,
            stage.named("lifecycle"),
            description="Offpeak: process_batch",
            env=stage.environment,
        )
        queues = Queues(self, "Queues", stage=stage, key=storage.key)
        self.dead_letter_queues = [*queues.dead, storage.drops.dead]
        self.notices = Notices(
            self,
            "Notices",
            stage=stage,
            queue=queues.shard_ended,
            dead=queues.dead_of[queues.shard_ended],
            key=storage.key,
        )
        further = sorted({region for model in models for region in model.regions})
        admit_topics(queues.shard_ended, stage, tuple(further))
        self.resources = Resources(
            stage=stage,
            bucket=storage.bucket,
            tables=storage.tables,
            dispatch_queue=queues.dispatch,
            drop_queue=storage.drops.queue,
            request_queue=queues.requests,
            group_queue=queues.groups,
            callback_queue=queues.callbacks,
            signing_secret=storage.signing_secret,
            key_pepper=storage.key_pepper,
            event_bus=events.EventBus(self, "Events", event_bus_name=f"offpeak-{stage.name}"),
            pools=tuple(model.pool for model in models),
            regions={model.pool: tuple(model.regions) for model in models if model.regions},
            key=storage.key,
        )
        lifecycle = Lifecycle(
            self,
            "Lifecycle",
            assets=Assets(self, "Assets", bundles=bundles),
            resources=self.resources,
            queues=queues,
            line_bytes_max=line_bytes_max,
        )
        CfnOutput(self, "StateMachineArn", value=lifecycle.state_machine.state_machine_arn)


class ApiStack(Stack):
    """The HTTPS door."""

    def __init__(self, scope: Construct, *, resources: Resources, bundles: Bundles) -> None:
        stage = resources.stage
        super().__init__(
            scope, stage.named("api"), description="Offpeak: HTTPS API", env=stage.environment
        )
        self.api = api = Api(
            self, "Api", assets=Assets(self, "Assets", bundles=bundles), resources=resources
        )
        domain = api.rest_api.domain_name
        named = domain is not None or (stage.door and stage.domain_name is not None)
        url = f"https://{stage.domain_name}/" if named else api.rest_api.url
        CfnOutput(self, "BaseUrl", value=url, description="Without /v1")
        if domain:
            target = domain.domain_name_alias_domain_name
            CfnOutput(self, "DomainTarget", value=target, description="For the name's CNAME record")
        CfnOutput(self, "RestApiId", value=api.rest_api.rest_api_id)
        CfnOutput(self, "StageName", value=api.rest_api.deployment_stage.stage_name)


class DoorStack(Stack):
    """Files of any size, at the stage's own host name. Whether there is one is a stage's `door`."""

    def __init__(
        self,
        scope: Construct,
        *,
        resources: Resources,
        api: Api,
        bundles: Bundles,
        base_image: BaseImage,
    ) -> None:
        stage = resources.stage
        super().__init__(
            scope, stage.named("door"), description="Offpeak: the door", env=stage.environment
        )
        image = ecr_assets.DockerImageAsset(
            self,
            "Image",
            directory=str(bundles.door),
            file="containers/door/Dockerfile",
            build_args={"BASE_IMAGE": base_image.reference},
            exclude=["models.toml"],
            platform=ecr_assets.Platform.LINUX_AMD64,
        )
        self.door = door = Door(
            self, "Door", image=image, resources=resources, rest_api=api.rest_api
        )
        target = door.load_balancer.load_balancer_dns_name
        CfnOutput(self, "DomainTarget", value=target, description="For the name's CNAME record")


class WafStack(Stack):
    """What stands before the API, and before the door. Whether it does is a stage's `waf`."""

    def __init__(self, scope: Construct, *, stage: Stage, api: Api, door: Door | None) -> None:
        super().__init__(
            scope, stage.named("waf"), description="Offpeak: web ACL", env=stage.environment
        )
        before = {"Api": api.rest_api.deployment_stage.stage_arn}
        if door is not None:
            before["Door"] = door.load_balancer.load_balancer_arn
        Waf(self, "Waf", stage=stage, resource_arns=before)


class NetworkStack(Stack):
    """Where GPU instances stand that must not reach the internet: a stage's `private_network`."""

    def __init__(self, scope: Construct, *, resources: Resources, models: Sequence[Model]) -> None:
        stage = resources.stage
        super().__init__(
            scope, stage.named("network"), description="Offpeak: network", env=stage.environment
        )
        self.network = Network(self, "Network", resources=resources, models=models)


class AbroadStack(Stack):
    """What all pools of a further region share."""

    def __init__(self, scope: Construct, *, stage: Stage, region: str) -> None:
        super().__init__(
            scope,
            stage.named(f"abroad-{region}"),
            description=f"Offpeak: answers and notices in {region}",
            env=Environment(account=stage.account, region=region),
        )
        self.abroad = Abroad(self, "Abroad", stage=stage)


class InferenceStack(Stack):
    """One model's pool in one region. A stack of its own: models come, go and fail one by one."""

    def __init__(
        self,
        scope: Construct,
        *,
        model: Model,
        resources: Resources,
        notices: Notices,
        bundles: Bundles,
        base_image: BaseImage,
        hub_token_secret: str | None = None,
        network: Network | None = None,
        region: str | None = None,
        abroad: Abroad | None = None,
    ) -> None:
        """`region` is a further one, with what its pools share there; `model` is as it has it."""
        stage = resources.stage
        where = "" if region is None else f"-{region}"
        super().__init__(
            scope,
            stage.named(f"inference-{model.pool}{where}"),
            description=f"Offpeak: {model.id}",
            env=stage.environment
            if region is None
            else Environment(account=stage.account, region=region),
        )
        if abroad is not None:
            resources = seen_from(self, resources)
        image = ecr_assets.DockerImageAsset(
            self,
            "Image",
            directory=str(bundles.container),
            file="containers/vllm/Dockerfile",
            # Its own model and no other: what changes in models.toml is a new image for those whom it concerns.
            build_args={"BASE_IMAGE": base_image.reference, "MODELS_BASE64": _models_base64(model)},
            exclude=["models.toml"],
            platform=ecr_assets.Platform.LINUX_AMD64,
        )
        Pool(
            self,
            "Pool",
            model=model,
            image=image,
            resources=resources,
            success=(abroad or notices).success,
            failure=(abroad or notices).failure,
            region=region,
            answers=None if abroad is None else abroad.answers,
            hub_token_secret=hub_token_secret,
            network=network,
        )


class MonitoringStack(Stack):
    """Alarms, dashboard and budget. It refers to no other stack, and none refers to it: it can go and come back."""

    def __init__(
        self, scope: Construct, *, resources: Resources, dead_letter_queues: Sequence[str]
    ) -> None:
        stage = resources.stage
        super().__init__(
            scope,
            stage.named("monitoring"),
            description="Offpeak: alarms, dashboard and budget",
            env=stage.environment,
        )
        monitoring = Monitoring(
            self, "Monitoring", resources=resources, dead_letter_queues=dead_letter_queues
        )
        CfnOutput(self, "AlarmTopicArn", value=monitoring.topic.topic_arn)


def _models_base64(model: Model) -> str:
    """The models file of an image that serves this model."""
    return base64.b64encode(write_models([worker_facts(model)]).encode()).decode()
