"""SageMaker's control API as far as an update takes it: CreateModel, CreateEndpointConfig, UpdateEndpoint,
DescribeEndpoint. Each region knows its own models, configurations and endpoints alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from offpeak.local.deploy import PSEUDO_PARAMETERS
from offpeak.local.sagemaker.endpoint import Endpoint
from offpeak.local.sagemaker.scaling import ScalableTarget, ScalingApi, ScalingError
from offpeak.local.sagemaker.spec import EndpointSpec, describe_endpoint


class ValidationError(ValueError):
    """SageMaker's own 400."""


class Control:
    """Of one region: what was made there, and the endpoints that stand there, by their names. `operations` are
    SageMaker's calls, `scaling` Application Auto Scaling's."""

    def __init__(self, name: str, endpoints: Mapping[str, Endpoint]) -> None:
        self._name = name
        self._endpoints = endpoints
        self._models: dict[str, Mapping[str, Any]] = {}
        self._configs: dict[str, Mapping[str, Any]] = {}
        self.operations: Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
            "CreateModel": self._create_model,
            "CreateEndpointConfig": self._create_config,
            "UpdateEndpoint": self._update,
            "DescribeEndpoint": lambda asked: _description(self.find(asked["EndpointName"])),
        }
        self.scaling = ScalingApi(name, self._target).operations

    def find(self, name: str) -> Endpoint:
        if name not in self._endpoints:
            account = PSEUDO_PARAMETERS["AWS::AccountId"]
            raise ValidationError(f"Endpoint {name} of account {account} not found.")
        return self._endpoints[name]

    def _target(self, name: str, variant: str) -> ScalableTarget:
        endpoint = self._endpoints.get(name)
        if endpoint is None or endpoint.spec.variant != variant:
            raise ScalingError(
                f"No scalable target registered for endpoint/{name}/variant/{variant}.",
                "ObjectNotFoundException",
            )
        return endpoint.target

    def _create_model(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        self._models[asked["ModelName"]] = asked
        return {"ModelArn": self._arn("model", asked["ModelName"])}

    def _create_config(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        for variant in asked["ProductionVariants"]:
            if variant["ModelName"] not in self._models:
                raise ValidationError(f"Could not find model {variant['ModelName']}.")
        self._configs[asked["EndpointConfigName"]] = asked
        return {"EndpointConfigArn": self._arn("endpoint-config", asked["EndpointConfigName"])}

    def _update(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        endpoint, config_name = self.find(asked["EndpointName"]), asked["EndpointConfigName"]
        config = self._configs.get(config_name)
        if config is None:
            raise ValidationError(f"Could not find endpoint configuration {config_name}.")
        endpoint.update(self._spec(endpoint, config_name, config))
        return {"EndpointArn": endpoint.spec.arn}

    def _spec(
        self, endpoint: Endpoint, config_name: str, config: Mapping[str, Any]
    ) -> EndpointSpec:
        [variant] = config["ProductionVariants"]
        return describe_endpoint(
            endpoint.spec.name,
            config_name,
            config,
            self._models[variant["ModelName"]],
            instances_max=endpoint.spec.instances_max,
            region=self._name,
        )

    def _arn(self, kind: str, name: str) -> str:
        return f"arn:aws:sagemaker:{self._name}:{PSEUDO_PARAMETERS['AWS::AccountId']}:{kind}/{name}"


def _description(endpoint: Endpoint) -> dict[str, Any]:
    spec, ready = endpoint.spec, len(endpoint.ready)
    settled = ready >= endpoint.desired and not endpoint.updating
    description = {
        "EndpointName": spec.name,
        "EndpointArn": spec.arn,
        "EndpointConfigName": spec.config_name,
        "EndpointStatus": "InService" if settled else "Updating",
        "CreationTime": endpoint.created_at.timestamp(),
        "LastModifiedTime": endpoint.modified_at.timestamp(),
        "ProductionVariants": [
            {
                "VariantName": spec.variant,
                "CurrentInstanceCount": ready,
                "DesiredInstanceCount": endpoint.desired,
            }
        ],
    }
    return description | ({"FailureReason": endpoint.failure} if endpoint.failure else {})
