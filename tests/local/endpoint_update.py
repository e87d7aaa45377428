"""An endpoint's update as a deployment makes it: another model, another configuration, UpdateEndpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from offpeak.local.sagemaker.spec import EndpointSpec


def begin_update(
    sagemaker: Any, spec: EndpointSpec, name: str, environment: Mapping[str, str]
) -> None:
    """To a configuration called `name`, whose model says `environment` on top of what `spec` says."""
    sagemaker.create_model(
        ModelName=name,
        ExecutionRoleArn=spec.role_arn,
        PrimaryContainer={
            "Image": "any",
            "Environment": {**spec.environment, **environment},
        },
    )
    sagemaker.create_endpoint_config(
        EndpointConfigName=name,
        ProductionVariants=[
            {
                "VariantName": spec.variant,
                "ModelName": name,
                "InstanceType": "ml.g6.xlarge",
                "InitialInstanceCount": spec.instances_initial,
            }
        ],
        AsyncInferenceConfig={
            "ClientConfig": {"MaxConcurrentInvocationsPerInstance": spec.concurrency},
            "OutputConfig": {
                "S3OutputPath": spec.output_path,
                "S3FailurePath": spec.failure_path,
                "NotificationConfig": {
                    "SuccessTopic": spec.success_topic,
                    "ErrorTopic": spec.error_topic,
                },
            },
        },
    )
    sagemaker.update_endpoint(EndpointName=spec.name, EndpointConfigName=name)
