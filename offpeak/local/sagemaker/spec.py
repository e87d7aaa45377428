"""What an inference stack's template says about its endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from offpeak.local.deploy import PSEUDO_PARAMETERS
from offpeak.local.emulator import REGION
from offpeak.local.templates import Resolver, resources_of

CONCURRENCY_DEFAULT = 4


class TemplateError(ValueError):
    """The template does not describe one asynchronous endpoint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSpec:
    """One endpoint: where it stands, where results go, who is told, and what runs on an instance.

    `concurrency` is invocations at once on an instance; paths are `s3://bucket/prefix` without a trailing slash.
    """

    name: str
    config_name: str
    variant: str
    role_arn: str
    environment: Mapping[str, str]
    concurrency: int
    output_path: str
    failure_path: str | None
    success_topic: str | None
    error_topic: str | None
    instances_initial: int
    instances_max: int
    instances_min: int = 0
    region: str = REGION

    @property
    def arn(self) -> str:
        account = PSEUDO_PARAMETERS["AWS::AccountId"]
        return f"arn:aws:sagemaker:{self.region}:{account}:endpoint/{self.name}"


def read_endpoint(
    template: Mapping[str, Any], exports: Mapping[str, str], physical: Mapping[str, str],
    region: str = REGION,
) -> EndpointSpec:  # fmt: skip
    """The endpoint of an inference stack's template. `exports` are those of the deployed stacks, `physical` the names
    of this stack's own resources that exist on the emulator: its roles. `region` is where the stack stands."""
    resolver = _resolver(template, exports, physical, region)
    endpoint = resolver.resolve(_only(template, "AWS::SageMaker::Endpoint"))
    config = resolver.resolve(_only(template, "AWS::SageMaker::EndpointConfig"))
    model = resolver.resolve(_only(template, "AWS::SageMaker::Model"))
    least, most = _capacity(template, resolver)
    spec = describe_endpoint(
        endpoint["EndpointName"], endpoint["EndpointConfigName"], config, model,
        instances_max=most, region=region,
    )  # fmt: skip
    # Application Auto Scaling brings a new target up to its minimum at once.
    return replace(spec, instances_min=least, instances_initial=max(least, spec.instances_initial))


def describe_endpoint(
    name: str,
    config_name: str,
    config: Mapping[str, Any],
    model: Mapping[str, Any],
    *,
    instances_max: int,
    region: str,
) -> EndpointSpec:
    """What an endpoint's configuration and its model say, in the words that templates and the API share."""
    [variant] = config["ProductionVariants"]
    if "AsyncInferenceConfig" not in config:
        raise TemplateError("The endpoint configuration has no AsyncInferenceConfig.")
    asynchronous = config["AsyncInferenceConfig"]
    output = asynchronous["OutputConfig"]
    topics = output.get("NotificationConfig", {})
    container = model.get("PrimaryContainer") or model["Containers"][0]
    return EndpointSpec(
        name=name,
        config_name=config_name,
        variant=variant["VariantName"],
        role_arn=model["ExecutionRoleArn"],
        environment={k: str(v) for k, v in container.get("Environment", {}).items()},
        concurrency=int(
            asynchronous.get("ClientConfig", {}).get(
                "MaxConcurrentInvocationsPerInstance", CONCURRENCY_DEFAULT
            )
        ),
        output_path=output["S3OutputPath"].rstrip("/"),
        failure_path=output["S3FailurePath"].rstrip("/") if "S3FailurePath" in output else None,
        success_topic=topics.get("SuccessTopic"),
        error_topic=topics.get("ErrorTopic"),
        instances_initial=int(variant.get("InitialInstanceCount", 1)),
        instances_max=instances_max,
        region=region,
    )


def _capacity(template: Mapping[str, Any], resolver: Resolver) -> tuple[int, int]:
    """The least and the most that Application Auto Scaling may scale to; one instance when it does not scale."""
    targets = resources_of(template, "AWS::ApplicationAutoScaling::ScalableTarget")
    bounds = [
        (int(resolver.resolve(each["MinCapacity"])), int(resolver.resolve(each["MaxCapacity"])))
        for each in targets.values()
    ]
    return max(bounds, default=(0, 1))


def _only(template: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    found = resources_of(template, kind)
    if len(found) != 1:
        raise TemplateError(f"The template holds {len(found)} resources of {kind}, not one.")
    return next(iter(found.values()))


_NAME_PROPERTIES = {
    "AWS::SageMaker::Endpoint": "EndpointName",
    "AWS::SageMaker::EndpointConfig": "EndpointConfigName",
    "AWS::SageMaker::Model": "ModelName",
    "AWS::IAM::Role": "RoleName",
}


def _resolver(
    template: Mapping[str, Any], exports: Mapping[str, str], physical: Mapping[str, str],
    region: str,
) -> Resolver:  # fmt: skip
    """Logical ids stand for physical names, else for the names that the template gives, else for themselves."""
    names = {**PSEUDO_PARAMETERS, "AWS::Region": region}
    attributes: dict[str, str] = {}
    account = PSEUDO_PARAMETERS["AWS::AccountId"]
    for parameter, definition in template.get("Parameters", {}).items():
        if isinstance(definition.get("Default"), str):
            names[parameter] = definition["Default"]
    for logical_id, resource in template.get("Resources", {}).items():
        given = resource.get("Properties", {}).get(_NAME_PROPERTIES.get(resource["Type"], ""))
        name = physical.get(logical_id) or (given if isinstance(given, str) else logical_id)
        names[logical_id] = name
        attributes[f"{logical_id}.Arn"] = f"arn:aws:iam::{account}:role/{name}"
        for attribute in _NAME_PROPERTIES.values():
            attributes[f"{logical_id}.{attribute}"] = name
    return Resolver(names=names, attributes=attributes, imports=exports)
